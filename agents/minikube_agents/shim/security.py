"""What a container's process may do: capabilities, ids, no_new_privs. Names and the default set are the container runtimes' (containerd, Docker)."""

from __future__ import annotations

import os

from minikube_agents.shim import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

#: capability(7), in the kernel's order: the position is the number.
CAPABILITIES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]
DEFAULT = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
]


def number(name: str) -> int:
    """KeyError-free: ValueError names what is unknown."""
    short = name.upper().removeprefix("CAP_")
    if short not in CAPABILITIES:
        raise ValueError(f"unknown capability {name!r}")
    return CAPABILITIES.index(short)


def capability_mask(add: Sequence[str], drop: Sequence[str], *, privileged: bool) -> int:
    """The bounding set of a container: the default one, less `drop`, plus `add`; ALL in either, as Kubernetes has it."""
    everything = (1 << len(CAPABILITIES)) - 1
    if privileged:
        return everything
    mask = sum(1 << CAPABILITIES.index(name) for name in DEFAULT)
    if "ALL" in drop:
        mask = 0
    if "ALL" in add:
        mask = everything
    for name in drop:
        if name != "ALL":
            mask &= ~(1 << number(name))
    for name in add:
        if name != "ALL":
            mask |= 1 << number(name)
    return mask


def _bounded() -> int:
    """What of the bounding set this process itself has: a container can't get more."""
    mask = 0
    for bit in range(len(CAPABILITIES)):
        try:
            mask |= libc.prctl(libc.PR_CAPBSET_READ, bit) << bit
        except OSError:
            break  # a kernel that does not know the newest ones
    return mask


def drop_privileges(spec: dict[str, Any]) -> None:
    """Become the container's user with the container's capabilities; the last thing before exec.

    `spec`: uid, gid, groups, capabilities (mask), no_new_privs, can_set_groups. The order matters: bounding set while CAP_SETPCAP is there, groups
    before the gid, the uid last. A user other than 0 keeps no capability (Kubernetes has no ambient ones).
    """
    bounded = _bounded()
    wanted = spec["capabilities"] & bounded
    for bit in range(len(CAPABILITIES)):
        if bounded >> bit & 1 and not wanted >> bit & 1:
            libc.prctl(libc.PR_CAPBSET_DROP, bit)
    if spec["can_set_groups"]:
        os.setgroups(spec["groups"])
    os.setresgid(spec["gid"], spec["gid"], spec["gid"])
    os.setresuid(spec["uid"], spec["uid"], spec["uid"])
    if spec["uid"] == 0:
        libc.set_capabilities(wanted, wanted, 0)
    if spec["no_new_privs"]:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
