"""Lifecycle hooks: exec, httpGet and sleep handlers of postStart and preStop."""

from __future__ import annotations

from minikube_agents.kubelet import http_probing, pods
from minikube_agents.kubelet.hosting import Host
from minikube_agents.runtime.contract import ContainerStatus, RuntimeError_
from minikube_api.schema.typed import core_v1 as v1

#: a hook without a bound of its own (postStart) may take this long; seconds
EXEC_LIMIT = 24 * 3600.0
HTTP_LIMIT = 30.0


class HookFailed(Exception):
    """The message says what the handler answered."""


async def run(host: Host, pod: v1.Pod, container: ContainerStatus, handler: v1.LifecycleHandler) -> None:
    """Returns when the hook has succeeded. Raises HookFailed. Cancellable."""
    if handler.exec is not None:
        try:
            code, out, err = await host.runtime.exec_sync(container.id, handler.exec.command, EXEC_LIMIT)
        except (RuntimeError_, TimeoutError) as error:
            raise HookFailed(str(error)) from error
        if code != 0:
            text = (out + err).decode(errors="replace")
            raise HookFailed(f"command '{' '.join(handler.exec.command)}' exited with {code}: {text}")
    elif handler.httpGet is not None:
        await _http(host, pod, container, handler.httpGet)
    elif handler.sleep is not None:
        await host.clock.sleep(handler.sleep.seconds)
    elif handler.tcpSocket is not None:
        # As in Kubernetes: the field is accepted for old objects, and the hook always fails.
        raise HookFailed("tcpSocket lifecycle hooks are not supported")


async def _http(host: Host, pod: v1.Pod, container: ContainerStatus, action: v1.HTTPGetAction) -> None:
    member = pods.member(pod, container.name)
    try:
        port = http_probing.resolve_port(action.port, member.container if member is not None else None)
        status, body = await http_probing.get(
            host.runtime, container.sandbox_id, http_probing.request_of(action, await address_of(host, pod, container), port),
            timeout=HTTP_LIMIT,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError_) as error:
        raise HookFailed(str(error)) from error
    if not 200 <= status < 400:
        raise HookFailed(f"HTTP hook answered {status}: {body[:1024].decode(errors='replace')}")


async def address_of(host: Host, pod: v1.Pod, container: ContainerStatus) -> str:
    if pods.host_network(pod):
        return host.facts.host_ips[0]
    ips = (await host.runtime.sandbox_status(container.sandbox_id)).ips
    return ips[0] if ips else "127.0.0.1"
