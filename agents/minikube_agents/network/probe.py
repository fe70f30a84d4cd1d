"""What this machine can give to a cluster, found out by trying, with a reason and a remedy in words for each thing it can't."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from dataclasses import dataclass

from minikube_agents.network import egress
from minikube_agents.shim import cgroups, libc, userns

_APPARMOR = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"
_APPARMOR_SYSCTL = "kernel.apparmor_restrict_unprivileged_userns"
_CLONE = "/proc/sys/kernel/unprivileged_userns_clone"
_MAXIMUM = "/proc/sys/user/max_user_namespaces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`namespaces` "" = real nodes are possible, else why not and the line that allows them. The others likewise: "" = there."""

    is_root: bool
    namespaces: str
    overlay: str
    nft: str
    cgroup_controllers: frozenset[str]
    subordinate_ids: str
    egress_tool: str

    def notes(self) -> list[str]:
        """What pods will miss, a line each; empty on a machine that gives everything."""
        missing = sorted({"cpu", "memory"} - self.cgroup_controllers)
        limits = f"no {' and '.join(missing)} limits: no cgroup that this account may write to" if missing else ""
        return [line for line in (self.namespaces, self.overlay, self.nft, limits, self.subordinate_ids) if line]


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def _tried(action: object) -> str:
    """Run `action` in a forked child (what it does to namespaces stays there); "" or the error's words."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        problem = ""
        try:
            os.close(reader)
            action()  # type: ignore[operator]
        except BaseException as error:  # the child must tell and must not return
            problem = f"{type(error).__name__}: {error}"
        os.write(writer, problem.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        problem = file.read().decode()
    os.waitpid(pid, 0)
    return problem


def _become_root() -> None:
    if os.geteuid():
        userns.enter()


def _make_namespaces() -> None:
    _become_root()
    libc.unshare(libc.CLONE_NEWNS | libc.CLONE_NEWNET | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS | libc.CLONE_NEWPID)
    libc.mount("", "/", flags=libc.MS_SLAVE | libc.MS_REC)


@functools.cache
def namespaces_refused() -> str:
    """Why real nodes are not possible, with the remedy; "" when they are. Takes some milliseconds the first time."""
    problem = _tried(_make_namespaces)
    if not problem:
        return ""
    if os.geteuid() == 0:
        return f"this root may not make namespaces ({problem}): in a container, run it with --privileged"
    if _read(_APPARMOR) == "1":
        why, remedy = "user namespaces are forbidden by AppArmor (as on Ubuntu 24.04)", f"{_APPARMOR_SYSCTL}=0"
        return f"{why}; allow them: sudo sysctl -w {remedy}"
    if _read(_CLONE) == "0":
        return "user namespaces are forbidden to normal users; allow them: sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _read(_MAXIMUM) == "0":
        return "user namespaces are switched off; allow them: sudo sysctl -w user.max_user_namespaces=15000"
    return f"user namespaces can't be made here ({problem}); in a container, its seccomp profile may forbid them"


def overlay_refused(directory: str) -> str:
    """Whether containers' private layers can stand in `directory`."""

    def attempt() -> None:
        _make_namespaces()
        base = tempfile.mkdtemp(dir=directory)
        try:
            places = {name: os.path.join(base, name) for name in ("lower", "upper", "work", "root")}
            for place in places.values():
                os.mkdir(place)
            options = "lowerdir={lower},upperdir={upper},workdir={work}".format(**places)
            libc.mount("overlay", places["root"], "overlay", data=options + (",userxattr" if userns_is_used else ""))
            libc.umount(places["root"])
        finally:
            shutil.rmtree(base, ignore_errors=True)

    userns_is_used = os.geteuid() != 0
    problem = _tried(attempt)
    return (
        f"no overlay file system over {directory} ({problem}): put the data directory on a disk (ext4, xfs, btrfs)"
        if problem
        else ""
    )


def probe(data_directory: str) -> Machine:
    """All of it. Some 20 ms; `data_directory` must exist."""
    is_root = os.geteuid() == 0
    refused = namespaces_refused()
    ids = ""
    if not is_root and not _has_subordinate_ids():
        ids = (
            "containers run as id 0 only (runAsUser is refused): install uidmap, and give this account ids: "
            'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 "$USER"'
        )
    return Machine(
        is_root=is_root,
        namespaces=refused,
        overlay="" if refused else overlay_refused(data_directory),
        nft="" if _has_nft() else "no nft (package nftables): Services go through the userspace forwarder, no hostPorts",
        cgroup_controllers=cgroups.available(),
        subordinate_ids=ids,
        egress_tool=egress.find_tool(),
    )


def _has_nft() -> bool:
    return bool(shutil.which("nft", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"))


def _has_subordinate_ids() -> bool:
    uid = os.geteuid()
    name = userns.user_name(uid)
    return (
        userns.subordinate_ids("/etc/subuid", name, uid) is not None
        and userns.subordinate_ids("/etc/subgid", name, os.getegid()) is not None
        and userns.has_tools()
    )
