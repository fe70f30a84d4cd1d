"""From a pod to the runtime's configurations of its sandbox and containers. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

from minikube_agents.kubelet import observations as labels
from minikube_agents.kubelet import pods
from minikube_agents.kubelet.environment import ConfigError
from minikube_agents.kubelet.expansion import expand_all
from minikube_agents.kubelet.pods import Member
from minikube_agents.runtime.contract import (
    ContainerConfig,
    DNSConfig,
    Image,
    Mount,
    PortMapping,
    SandboxConfig,
    SecurityContext,
)
from minikube_api.meta import quantities
from minikube_api.schema.typed import core_v1 as v1

SAFE_SYSCTLS = frozenset({
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
})  # fmt: skip
DEFAULT_TERMINATION_PATH = "/dev/termination-log"


def log_directory(root: Path, pod: v1.Pod) -> Path:
    meta = pod.metadata
    return root / f"{meta.namespace}_{meta.name}_{meta.uid}"


def sandbox_config(pod: v1.Pod, *, attempt: int, logs: Path, dns: DNSConfig, hostname: str) -> SandboxConfig:
    spec = pod.spec
    security = spec.securityContext
    limits, requests = pod_resources(pod)
    meta = pod.metadata
    return SandboxConfig(
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        attempt=attempt,
        hostname=hostname,
        log_directory=str(log_directory(logs, pod)),
        dns=dns,
        port_mappings=tuple(_host_ports(pod)),
        host_network=bool(spec.hostNetwork),
        host_pid=bool(spec.hostPID),
        host_ipc=bool(spec.hostIPC),
        share_process_namespace=bool(spec.shareProcessNamespace),
        sysctls={one.name: one.value for one in security.sysctls} if security is not None else {},
        cpu_limit=cpus(limits),
        memory_limit=memory(limits),
        cpu_request=cpus(requests),
        labels={
            **meta.labels,
            labels.LABEL_POD: meta.name,
            labels.LABEL_NAMESPACE: meta.namespace,
            labels.LABEL_UID: meta.uid,
        },
        annotations=dict(meta.annotations),
    )


def _host_ports(pod: v1.Pod) -> Iterable[PortMapping]:
    if pods.host_network(pod):
        return
    for one in pods.members(pod):
        for port in one.container.ports:
            if port.hostPort:
                protocol = port.protocol or "TCP"
                assert protocol in ("TCP", "UDP", "SCTP")
                yield PortMapping(
                    container_port=port.containerPort, host_port=port.hostPort, protocol=protocol, host_ip=port.hostIP or ""
                )


def pod_resources(pod: v1.Pod) -> tuple[dict[str, str], dict[str, str]]:
    """(limits, requests) of the whole pod: its own, else sums; a container without a limit leaves the pod without one."""
    if pod.spec.resources is not None and (pod.spec.resources.limits or pod.spec.resources.requests):
        return dict(pod.spec.resources.limits), dict(pod.spec.resources.requests)
    running = [c for c in pod.spec.initContainers if c.restartPolicy == "Always"] + list(pod.spec.containers)
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for resource in ("cpu", "memory"):
        every = [c.resources.limits.get(resource) for c in running]
        if all(every):
            limits[resource] = str(sum((quantities.parse(text or "0") for text in every), quantities.parse("0")))
        asked = [c.resources.requests.get(resource, "0") for c in running]
        requests[resource] = str(sum((quantities.parse(text) for text in asked), quantities.parse("0")))
    return limits, requests


def cpus(amounts: Mapping[str, str]) -> float:
    text = amounts.get("cpu")
    return float(Fraction(quantities.parse(text).milli_value(), 1000)) if text else 0.0


def memory(amounts: Mapping[str, str]) -> int:
    text = amounts.get("memory")
    return quantities.parse(text).value() if text else 0


def container_config(
    pod: v1.Pod,
    one: Member,
    *,
    attempt: int,
    image: Image,
    variables: Mapping[str, str],
    mounts: Iterable[Mount],
    termination_file: Path,
    target_id: str,
    resources: v1.ResourceRequirements,
) -> ContainerConfig:
    """Raises ConfigError."""
    container = one.container
    path = container.terminationMessagePath or DEFAULT_TERMINATION_PATH
    meta = pod.metadata
    return ContainerConfig(
        name=one.name,
        attempt=attempt,
        image=container.image or "",
        command=expand_all(container.command, variables) if container.command else None,
        args=expand_all(container.args, variables) if container.args else None,
        working_dir=container.workingDir or "",
        env=dict(variables),
        mounts=(*mounts, Mount(host_path=str(termination_file), container_path=path)),
        log_path=f"{one.name}/{attempt}.log",
        stdin=bool(container.stdin),
        stdin_once=bool(container.stdinOnce),
        tty=bool(container.tty),
        security=security_context(pod, one, image),
        cpu_limit=cpus(resources.limits),
        cpu_request=cpus(resources.requests),
        memory_limit=memory(resources.limits),
        target_id=target_id,
        labels={
            labels.LABEL_POD: meta.name,
            labels.LABEL_NAMESPACE: meta.namespace,
            labels.LABEL_UID: meta.uid,
            labels.LABEL_CONTAINER: one.name,
            labels.LABEL_HASH: pods.spec_hash(one),
            labels.LABEL_TYPE: one.type,
            labels.LABEL_TERMINATION_FILE: str(termination_file),
            labels.LABEL_TERMINATION_POLICY: container.terminationMessagePolicy or "File",
        },
    )


def security_context(pod: v1.Pod, one: Member, image: Image) -> SecurityContext:
    """The container's settings over the pod's. Raises ConfigError when runAsNonRoot can't be kept."""
    own = one.container.securityContext or v1.SecurityContext()
    shared = pod.spec.securityContext or v1.PodSecurityContext()
    user = own.runAsUser if own.runAsUser is not None else shared.runAsUser
    group = own.runAsGroup if own.runAsGroup is not None else shared.runAsGroup
    non_root = own.runAsNonRoot if own.runAsNonRoot is not None else shared.runAsNonRoot
    if non_root:
        _check_non_root(pod, one, user, image)
    seccomp = own.seccompProfile or shared.seccompProfile
    groups = shared.supplementalGroups
    if shared.fsGroup is not None and shared.fsGroup not in groups:
        groups = (*groups, shared.fsGroup)
    capabilities = own.capabilities or v1.Capabilities()
    return SecurityContext(
        run_as_user=user,
        run_as_group=group,
        supplemental_groups=groups,
        privileged=bool(own.privileged),
        read_only_root_filesystem=bool(own.readOnlyRootFilesystem),
        allow_privilege_escalation=own.allowPrivilegeEscalation is not False,
        add_capabilities=capabilities.add,
        drop_capabilities=capabilities.drop,
        seccomp=_seccomp(seccomp),
        proc_mount=own.procMount or "Default",
    )


def _seccomp(profile: v1.SeccompProfile | None) -> str:
    if profile is None:
        return ""
    return f"localhost/{profile.localhostProfile}" if profile.type == "Localhost" else profile.type


def _check_non_root(pod: v1.Pod, one: Member, user: int | None, image: Image) -> None:
    where = f'(pod: "{pods.full_name(pod)}", container: {one.name})'
    if user is not None:
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image.user.split(":", 1)[0]
    if name in ("", "0"):
        raise ConfigError(f"container has runAsNonRoot and image will run as root {where}")
    if not name.isdigit():
        raise ConfigError(
            f"container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root {where}"
        )


def termination_message(path: Path, *, fall_back: bool, log: Path | None) -> str:
    """The file's text (4096 bytes), or with FallbackToLogsOnError the log's end (2048 bytes, 80 lines) when it is empty."""
    body = b""
    if path.is_file():
        with path.open("rb") as file:
            body = file.read(4096)
    if body or not fall_back or log is None or not log.is_file():
        return body.decode(errors="replace")
    from minikube_agents.kubelet.logs import tail_text

    return tail_text(log, lines=80, limit=2048)
