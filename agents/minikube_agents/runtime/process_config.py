"""From the runtime's contract to the shim's words: what a container's configuration, its image and its node make of each other.
No I/O but the image's
/etc/passwd. What the node can't give is refused here, before anything is made.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection
from typing import Any

from minikube_agents.runtime import users
from minikube_agents.runtime.contract import ContainerConfig, RuntimeError_, SandboxConfig, SecurityContext, Unsupported
from minikube_agents.runtime.images import Content
from minikube_agents.shim import launching, seccomp, security

_LIMITS = {"cpu_limit": "cpu", "memory_limit": "memory"}


class CreateError(RuntimeError_):
    reason = "CreateContainerError"


def sandbox(config: SandboxConfig) -> dict[str, Any]:
    pid_mode = "pod" if config.share_process_namespace else "node" if config.host_pid else "container"
    return {
        "namespace": config.namespace,
        "name": config.name,
        "uid": config.uid,
        "attempt": config.attempt,
        "labels": dict(config.labels),
        "annotations": dict(config.annotations),
        "hostname": config.hostname or config.name[:63],
        "log_directory": config.log_directory,
        "dns": {
            "servers": list(config.dns.servers),
            "searches": list(config.dns.searches),
            "options": list(config.dns.options),
        },
        "sysctls": dict(config.sysctls),
        "host_network": config.host_network,
        "host_ipc": config.host_ipc,
        "pid_mode": pid_mode,
        "cpu_limit": config.cpu_limit,
        "cpu_request": config.cpu_request,
        "memory_limit": config.memory_limit,
        "ports": [
            {
                "container_port": port.container_port,
                "host_port": port.host_port,
                "protocol": port.protocol,
                "host_ip": port.host_ip,
            }
            for port in config.port_mappings
            if not config.host_network
        ],
    }


def record(config: ContainerConfig, image: Content, pod: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": config.name,
        "attempt": config.attempt,
        "image": config.image,
        "image_id": image.id,
        "labels": dict(config.labels),
        "log_path": os.path.join(pod["log_directory"], config.log_path),
    }


def container(config: ContainerConfig, image: Content, pod: dict[str, Any], *, many_ids: bool) -> dict[str, Any]:
    """The shim's `spec`. `pod`: the sandbox's record. Unsupported or CreateError with a message for the user."""
    who = users.resolve(image.root, image.user, config.security)
    _check_ids(who, many_ids=many_ids)
    env = {"PATH": launching.DEFAULT_PATH, "HOSTNAME": pod["hostname"], **image.env, **config.env}
    env.setdefault("HOME", who.home)
    if config.tty:
        env.setdefault("TERM", "xterm")
    return {
        "argv": _argv(config, image),
        "env": env,
        "cwd": config.working_dir or image.working_dir or "/",
        "security": _security(config.security, who, many_ids=many_ids),
        "tty": config.tty,
        "stdin": config.stdin,
        "stdin_once": config.stdin_once,
        "root": {
            "lower": image.root,
            "privileged": config.security.privileged,
            "host_pid": pod["pid_mode"] == "node" and not config.target_id,
            "unmasked_proc": config.security.proc_mount == "Unmasked",
            "read_only_root": config.security.read_only_root_filesystem,
        },
        "mounts": _mounts(config),
        "pid_mode": "target" if config.target_id else pod["pid_mode"],
        "target": config.target_id,
        "stop_signal": stop_signal(image.stop_signal),
        "cpu_limit": config.cpu_limit,
        "cpu_request": config.cpu_request,
        "memory_limit": config.memory_limit,
    }


def _argv(config: ContainerConfig, image: Content) -> list[str]:
    """Kubernetes' table of command and args: a command of the pod's own sets the image's CMD aside."""
    head = config.command if config.command else image.entrypoint
    tail = config.args if config.args else () if config.command else image.command
    argv = [*head, *tail]
    if not argv:
        raise CreateError("no command specified")
    return argv


def _check_ids(who: users.Identity, *, many_ids: bool) -> None:
    if many_ids:
        return
    foreign = next((number for number in (who.uid, who.gid, *who.groups) if number), 0)
    if foreign:
        raise Unsupported(
            f"user or group {foreign}: this node has only id 0; for others install uidmap (newuidmap) and give this account "
            "ids in /etc/subuid and /etc/subgid"
        )


def _security(context: SecurityContext, who: users.Identity, *, many_ids: bool) -> dict[str, Any]:
    try:
        mask = security.capability_mask(context.add_capabilities, context.drop_capabilities, privileged=context.privileged)
    except ValueError as error:
        raise Unsupported(str(error)) from error
    profile = "" if context.privileged else context.seccomp
    if profile not in ("", "Unconfined", "unconfined", "RuntimeDefault"):
        raise Unsupported(f"seccomp profile {profile!r}: only RuntimeDefault and Unconfined are supported")
    if profile == "RuntimeDefault" and not seccomp.is_supported():
        raise Unsupported(f"seccomp profile RuntimeDefault is not known for {os.uname().machine}")
    return {
        "uid": who.uid,
        "gid": who.gid,
        "groups": list(who.groups),
        "capabilities": mask,
        "no_new_privs": not context.allow_privilege_escalation and not context.privileged,
        "can_set_groups": many_ids,
        "seccomp": profile == "RuntimeDefault",
    }


def _mounts(config: ContainerConfig) -> list[dict[str, Any]]:
    for mount in config.mounts:
        if mount.propagation == "Bidirectional":
            raise Unsupported(
                f"mount propagation Bidirectional of {mount.container_path}: mounts can't leave a pod of this runtime"
            )
    return [
        {
            "source": mount.host_path,
            "target": mount.container_path,
            "read_only": mount.read_only,
            "propagation": mount.propagation,
        }
        for mount in config.mounts
    ]


def stop_signal(name: str) -> int:
    """The image's STOPSIGNAL, by name or number; SIGTERM when it is none."""
    if name.isdigit():
        return int(name)
    full = name.upper() if name.upper().startswith("SIG") else f"SIG{name.upper()}"
    return int(getattr(signal, full, signal.SIGTERM)) if name else int(signal.SIGTERM)


def missing_limits(config: ContainerConfig | SandboxConfig, controllers: Collection[str]) -> list[str]:
    """Names of the limits asked for that no cgroup controller here can hold."""
    return [_LIMITS[name] for name in _LIMITS if getattr(config, name) and _LIMITS[name] not in controllers]
