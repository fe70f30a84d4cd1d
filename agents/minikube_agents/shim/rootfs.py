"""A container's root, built inside its fresh mount namespace: an overlay, private above, over an image's tree or over the machine's own (`host`).

As root one overlay takes the whole of `/`. In a user namespace that is refused (`/` has mounts that are locked to it), and what belongs to the host's
root can't be written; so there the root is a tmpfs, and each top directory an overlay of its own. A directory that exists in the
upper layer takes its
owner from there: making the missing mount points beforehand in the upper layer makes them possible at all.

Paths: `source` is a path of the node, `target` a path in the container, resolved within the new root as if it were `/` already.
"""

from __future__ import annotations

import contextlib
import os
import stat

from minikube_agents.shim import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: Of the machine's own tree these are replaced, never shown.
REPLACED = ("proc", "sys", "dev", "run", "tmp")
#: File systems that hold files: a mount of one of them below / belongs to the image `host`.
DISKS = frozenset(
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "overlay", "nfs", "nfs4"]
)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
#: As containerd masks them (OCI runtime spec, "maskedPaths" and "readonlyPaths").
MASKED = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]

_QUIET = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC


def resolve(root: str, path: str) -> str:
    """`path` with its symbolic links followed as if `root` were `/`; never leaves it. What does not exist is taken as it stands."""
    done: list[str] = []
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        here = os.path.join(root, *done, part)
        if os.path.islink(here):
            links += 1
            if links > 40:
                raise OSError(40, "too many levels of symbolic links", path)
            target = os.readlink(here)
            if target.startswith("/"):
                done = []
            todo += [piece for piece in target.split("/") if piece not in ("", ".")][::-1]
        else:
            done.append(part)
    return "/" + "/".join(done)


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _overlay(target: str, lower: str, upper: str, work: str, *, userns: bool) -> None:
    os.makedirs(upper, exist_ok=True)
    os.makedirs(work, exist_ok=True)
    options = f"lowerdir={_escape(lower)},upperdir={_escape(upper)},workdir={_escape(work)}"
    libc.mount("overlay", target, "overlay", data=options + (",userxattr" if userns else ""))


def _disk_mounts(below: str) -> list[str]:
    """Mount points of disks below /, parents first; not the replaced directories, nor what lies in `below` (our own data)."""
    found = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            point = left.split()[4].encode().decode("unicode_escape")
            top = point.split("/")[1]
            inside = point == below or point.startswith(below.rstrip("/") + "/")
            is_replaced = top in REPLACED or point.startswith("/var/lib/docker")
            if point != "/" and right.split()[0] in DISKS and not is_replaced and not inside and os.path.isdir(point):
                found.append(point)
    return sorted(set(found))


def _mirror_modes(upper: str, lower: str, parts: list[str]) -> None:
    """Make the directories `parts` in the upper layer with the modes they have below (0755 where there are none)."""
    for depth in range(len(parts) + 1):
        mine = os.path.join(upper, *parts[:depth])
        if os.path.isdir(mine):
            continue
        os.mkdir(mine)
        with contextlib.suppress(FileNotFoundError):
            os.chmod(mine, stat.S_IMODE(os.stat(os.path.join(lower, *parts[:depth])).st_mode))


def _premake(upper: str, lower: str, path: str, *, directory: bool) -> None:
    """A mount point that the lower layer lacks, in the upper one, before the overlay is mounted."""
    if os.path.lexists(lower + path):
        return
    *parents, name = [part for part in path.split("/") if part]
    _mirror_modes(upper, lower, parents)
    place = os.path.join(upper, *parents, name)
    if directory:
        os.makedirs(place, exist_ok=True)
    else:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))


def make_mount_point(root: str, target: str, *, directory: bool) -> str:
    """The place of `target` in the mounted root, made when missing."""
    place = root + resolve(root, target)
    if not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if directory:
            os.mkdir(place)
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
    return place


def _host_in_userns(root: str, base: str, mounts: list[dict[str, Any]]) -> None:
    libc.mount("tmpfs", root, "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "mode=755")
    points = [(resolve("/", mount["target"]), mount["directory"]) for mount in mounts]
    for entry in os.scandir("/"):
        place = os.path.join(root, entry.name)
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), place)
        elif entry.is_dir() and entry.name not in REPLACED:
            os.mkdir(place)
            upper = os.path.join(base, "upper", entry.name)
            os.makedirs(os.path.join(base, "upper"), exist_ok=True)
            _mirror_modes(upper, entry.path, [])
            for path, directory in points:
                if path.startswith(f"/{entry.name}/"):
                    _premake(upper, entry.path, path[len(entry.name) + 1 :], directory=directory)
            try:
                _overlay(place, entry.path, upper, os.path.join(base, "work", entry.name), userns=True)
            except OSError:  # mounts below that are locked to it, or a file system that can't be a lower layer: show it read-only
                libc.bind(entry.path, place)
                libc.make_read_only(place)


def _host_as_root(root: str, base: str, data_directory: str) -> None:
    _overlay(root, "/", os.path.join(base, "upper"), os.path.join(base, "work"), userns=False)
    for number, point in enumerate(_disk_mounts(data_directory)):
        place = root + point
        if not os.path.isdir(place):
            continue
        upper, work = os.path.join(base, f"upper-{number}"), os.path.join(base, f"work-{number}")
        try:
            _overlay(place, point, upper, work, userns=False)
        except OSError:  # no overlay over this kind (NFS...): show it read-only
            libc.bind(point, place)
            libc.make_read_only(place)


def _mount_dev(root: str, spec: dict[str, Any]) -> None:
    dev = root + "/dev"
    if spec["privileged"]:
        libc.bind("/dev", dev)
    else:
        libc.mount("tmpfs", dev, "tmpfs", libc.MS_NOSUID, "mode=755,size=65536k")
        for name in DEVICES:
            place = f"{dev}/{name}"
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o666))
            libc.bind(f"/dev/{name}", place)
        links = {"fd": "/proc/self/fd", "ptmx": "pts/ptmx", "core": "/proc/kcore"}
        links |= {name: f"/proc/self/fd/{fd}" for fd, name in enumerate(("stdin", "stdout", "stderr"))}
        for name, target in links.items():
            os.symlink(target, f"{dev}/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.makedirs(f"{dev}/{name}", exist_ok=True)
    group = "" if spec["userns"] else ",gid=5"
    pts_flags = libc.MS_NOSUID | libc.MS_NOEXEC
    libc.mount("devpts", f"{dev}/pts", "devpts", pts_flags, "newinstance,ptmxmode=0666,mode=0620" + group)
    if spec["privileged"] and not os.path.islink(f"{dev}/ptmx"):
        libc.bind(f"{dev}/pts/ptmx", f"{dev}/ptmx")
    libc.bind(spec["shm"], f"{dev}/shm")
    with contextlib.suppress(OSError):  # a kernel without POSIX message queues
        libc.mount("mqueue", f"{dev}/mqueue", "mqueue", _QUIET)


def _mount_kernel(root: str, spec: dict[str, Any]) -> None:
    for name in ("proc", "sys", "dev"):
        os.makedirs(f"{root}/{name}", exist_ok=True)
    if spec["host_pid"] and spec["userns"]:
        libc.bind("/proc", f"{root}/proc")  # a proc of the machine's PID namespace is not ours to mount
    else:
        libc.mount("proc", f"{root}/proc", "proc", _QUIET)
    libc.mount("sysfs", f"{root}/sys", "sysfs", _QUIET | (0 if spec["privileged"] else libc.MS_RDONLY))
    _mount_dev(root, spec)
    if spec["privileged"] or spec["unmasked_proc"]:
        return
    for path in READ_ONLY:
        if os.path.exists(root + path):
            libc.bind(root + path, root + path)
            libc.make_read_only(root + path)
    mask_paths(root, MASKED)


def mask_paths(root: str, paths: Iterable[str]) -> None:
    """Hide files behind /dev/null and directories behind an empty read-only tmpfs."""
    for path in paths:
        if os.path.isdir(root + path):
            libc.mount("tmpfs", root + path, "tmpfs", libc.MS_RDONLY | _QUIET, "size=0,mode=755")
        elif os.path.exists(root + path):
            libc.bind(root + "/dev/null", root + path)


def _mount_volume(root: str, volume: dict[str, Any]) -> None:
    place = make_mount_point(root, volume["target"], directory=volume["directory"])
    libc.bind(volume["source"], place)
    if volume["propagation"] == "None":
        libc.mount("", place, flags=libc.MS_PRIVATE | libc.MS_REC)
    if volume["read_only"]:
        libc.make_read_only(place, recursive=False)


def build(spec: dict[str, Any]) -> str:
    """Mount everything; returns the new root, to be pivoted into.

    `spec`: base (the container's own directory), lower ('' = the machine's tree), mounts (source, target, read_only,
    propagation), shm, data_directory (hidden
    from the image `host`), userns, privileged, host_pid, unmasked_proc, read_only_root.
    """
    libc.mount("", "/", flags=libc.MS_SLAVE | libc.MS_REC)
    base, root = spec["base"], os.path.join(spec["base"], "root")
    os.makedirs(root, exist_ok=True)
    volumes = sorted(spec["mounts"], key=lambda volume: volume["target"].rstrip("/").count("/"))
    for volume in volumes:
        if not os.path.exists(volume["source"]):
            os.makedirs(volume["source"])  # containerd does so for a hostPath of no type
        volume["directory"] = os.path.isdir(volume["source"])
    if spec["lower"]:
        _overlay(root, spec["lower"], f"{base}/upper", f"{base}/work", userns=spec["userns"])
    elif spec["userns"]:
        _host_in_userns(root, base, volumes)
    else:
        _host_as_root(root, base, spec["data_directory"])
    if not spec["lower"]:
        for name, mode in (("run", 0o755), ("tmp", 0o1777)):
            fresh = os.path.join(base, name)
            os.makedirs(fresh, exist_ok=True)
            os.chmod(fresh, mode)
            os.makedirs(f"{root}/{name}", exist_ok=True)
            libc.bind(fresh, f"{root}/{name}")
    _mount_kernel(root, spec)
    if not spec["lower"]:
        mask_paths(root, [spec["data_directory"]])
    for volume in volumes:
        _mount_volume(root, volume)
    if spec["read_only_root"]:
        libc.make_read_only(root, recursive=False)
        if spec["userns"] and not spec["lower"]:
            _freeze_tops(root)
    return root


def _freeze_tops(root: str) -> None:
    for entry in os.scandir(root):
        if entry.is_dir(follow_symlinks=False) and os.path.ismount(entry.path) and entry.name not in ("proc", "sys", "dev"):
            libc.make_read_only(entry.path, recursive=False)


def enter(root: str) -> None:
    """Make `root` the root of this mount namespace and drop the old one."""
    os.chdir(root)
    libc.pivot_root(".", ".")
    libc.umount(".")
    os.chdir("/")
