"""Limits and accounting through cgroups, v1 or v2, found per controller (a hybrid machine has some of each, or v1 only).

Groups are directories `minikube-py/CLUSTER/NODE/podUID/CONTAINER` below the topmost group that we may write to: the hierarchy's own as root,
a delegated one (systemd's `Delegate=yes`) as a normal user. Conversions are runc's: shares = 1024 a core, quota over a period of 100 ms.
A controller that can't be had is missing from `controllers`; who asks for a limit learns it from there, before it starts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WANTED = ("cpu", "cpuacct", "memory")
PERIOD = 100_000


def shares(cores: float) -> int:
    return max(2, min(262_144, int(cores * 1024)))


def weight(cores: float) -> int:
    """cgroup v2's cpu.weight for v1's shares, as runc converts them."""
    return 1 + (shares(cores) - 2) * 9999 // 262_142


def quota(cores: float) -> int:
    """Microseconds in a period of 100 ms; -1 = none. The kernel refuses less than 1 ms."""
    return max(1000, int(cores * PERIOD)) if cores > 0 else -1


def _mounts() -> Iterator[tuple[str, str, str, list[str]]]:
    """(file system type, root, mount point, super options) of the cgroup mounts that we see."""
    with open("/proc/self/mountinfo") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            fields, (kind, _source, options, *_rest) = left.split(), right.split()
            if kind in ("cgroup", "cgroup2"):
                yield kind, fields[3], fields[4], options.split(",")


def _own_paths() -> dict[str, str]:
    """Controller -> path of our own group; the unified hierarchy under the key ''."""
    paths: dict[str, str] = {}
    with open("/proc/self/cgroup") as file:
        for line in file:
            _number, controllers, path = line.rstrip("\n").split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path))
    return paths


def _below(mount_root: str, path: str) -> str:
    """A group's path relative to a mount that shows only part of the hierarchy."""
    if mount_root != "/" and path.startswith(mount_root):
        path = path[len(mount_root) :]
    return path.strip("/")


def _write(path: str, value: object) -> None:
    with open(path, "w") as file:
        file.write(str(value))


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def available() -> frozenset[str]:
    """Controllers that this account could use, without making anything."""
    own, found = _own_paths(), set()
    for kind, root, point, options in _mounts():
        if kind == "cgroup":
            for controller in set(WANTED) & set(options) & set(own):
                if os.access(os.path.join(point, _below(root, own[controller])), os.W_OK):
                    found.add(controller)
        else:
            offered = set(_read(os.path.join(point, "cgroup.controllers")).split()) & set(WANTED)
            top = os.path.join(point, _below(root, own.get("", "/")))
            if any(os.access(os.path.join(place, "cgroup.procs"), os.W_OK) for place in (point, top)):
                found |= offered
    return frozenset(found)


class Cgroups:
    def __init__(self, base: str, journal: Callable[[str], None]) -> None:
        """`base` such as `minikube-py/CLUSTER/NODE`; `journal(directory)` is told of a directory before it is made."""
        self._base = base
        self._journal = journal
        #: v1: directory of our base by controller
        self._v1: dict[str, str] = {}
        self._v2 = ""
        self._v2_controllers: frozenset[str] = frozenset()
        self._detect()

    @property
    def controllers(self) -> frozenset[str]:
        return frozenset(self._v1) | self._v2_controllers

    def _detect(self) -> None:
        own = _own_paths()
        for kind, root, point, options in _mounts():
            if kind == "cgroup":
                for controller in WANTED:
                    if controller in options and controller in own and controller not in self._v1:
                        top = os.path.join(point, _below(root, own[controller]))
                        if self._make_base(top):
                            self._v1[controller] = os.path.join(top, self._base)
            elif not self._v2:
                self._detect_v2(point, os.path.join(point, _below(root, own.get("", "/"))))

    def _make_base(self, top: str) -> bool:
        directory = os.path.join(top, self._base)
        if not os.access(top, os.W_OK):
            return False
        self._journal(os.path.join(top, self._base.split("/")[0]))
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError:
            return False  # a read-only mount, as in a container: the controller is not to be had
        return True

    def _detect_v2(self, mount_point: str, own: str) -> None:
        available = set(_read(os.path.join(mount_point, "cgroup.controllers")).split()) & set(WANTED)
        if not available:
            return
        top = mount_point if os.access(os.path.join(mount_point, "cgroup.procs"), os.W_OK) else own
        if not self._make_base(top):
            return
        if top == own and top != mount_point:
            self._leave(own)
        path = top
        for part in ["", *self._base.split("/")]:
            path = os.path.join(path, part)
            available &= self._enable(path, available)
        self._v2 = os.path.join(top, self._base)
        self._v2_controllers = frozenset(available | ({"cpuacct"} if available else set()))

    def _leave(self, own: str) -> None:
        """A v2 group with processes of its own can't hand controllers down: move ours to a leaf."""
        leaf = os.path.join(own, "minikube-py-shim")
        os.makedirs(leaf, exist_ok=True)
        _write(os.path.join(leaf, "cgroup.procs"), os.getpid())

    @staticmethod
    def _enable(path: str, controllers: set[str]) -> set[str]:
        control = os.path.join(path, "cgroup.subtree_control")
        for controller in controllers:
            with contextlib.suppress(OSError):  # what stands in the file afterwards is what counts
                _write(control, f"+{controller}")
        return set(_read(control).split())

    def directories(self, group: str) -> list[str]:
        found = dict.fromkeys(os.path.join(base, group) for base in self._v1.values())
        return [*found, os.path.join(self._v2, group)] if self._v2_controllers else list(found)

    def make(self, group: str, *, is_leaf: bool) -> None:
        for directory in self.directories(group):
            os.makedirs(directory, exist_ok=True)
            if self._is_v2(directory) and not is_leaf:
                self._enable(directory, set(self._v2_controllers) - {"cpuacct"})

    def limit(self, group: str, *, cpu_limit: float, cpu_request: float, memory_limit: int) -> None:
        """Cores and bytes; 0 = none. Also changes the limits of a running container."""
        if "cpu" in self._v1:
            directory = os.path.join(self._v1["cpu"], group)
            _write(os.path.join(directory, "cpu.shares"), shares(cpu_request))
            _write(os.path.join(directory, "cpu.cfs_quota_us"), quota(cpu_limit))
        elif "cpu" in self._v2_controllers:
            directory = os.path.join(self._v2, group)
            _write(os.path.join(directory, "cpu.weight"), weight(cpu_request))
            _write(os.path.join(directory, "cpu.max"), f"{quota(cpu_limit) if cpu_limit > 0 else 'max'} {PERIOD}")
        if "memory" in self._v1:
            self._limit_memory_v1(os.path.join(self._v1["memory"], group), memory_limit)
        elif "memory" in self._v2_controllers:
            directory = os.path.join(self._v2, group)
            _write(os.path.join(directory, "memory.max"), memory_limit or "max")
            with contextlib.suppress(FileNotFoundError):  # no swap in this kernel
                _write(os.path.join(directory, "memory.swap.max"), 0 if memory_limit else "max")

    @staticmethod
    def _limit_memory_v1(directory: str, limit: int) -> None:
        """Memory may never stand above memory+swap, so the order depends on the direction."""
        names = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"]
        for name in names if limit else reversed(names):
            path = os.path.join(directory, name)
            if os.path.exists(path):
                try:
                    _write(path, limit or -1)
                except OSError as error:
                    if error.errno != errno.EINVAL or not limit:
                        raise
                    _write(os.path.join(directory, names[1]), limit)  # raising: memory+swap goes first
                    _write(path, limit)

    def entrances(self, group: str) -> list[str]:
        """Files into which a process of one thread writes 0 to enter the group. v1's `tasks` spares the kernel the lock of a whole thread
        group, which costs 10 ms of RCU grace periods."""
        return [
            os.path.join(directory, "cgroup.procs" if self._is_v2(directory) else "tasks")
            for directory in self.directories(group)
        ]

    def _is_v2(self, directory: str) -> bool:
        return bool(self._v2) and directory.startswith(self._v2)

    def processes(self, group: str) -> set[int]:
        found: set[int] = set()
        for directory in self.directories(group):
            with contextlib.suppress(FileNotFoundError):
                found.update(map(int, _read(os.path.join(directory, "cgroup.procs")).split()))
        return found

    def oom_kills(self, group: str) -> int:
        path = ""
        if "memory" in self._v1:
            path = os.path.join(self._v1["memory"], group, "memory.oom_control")
        elif "memory" in self._v2_controllers:
            path = os.path.join(self._v2, group, "memory.events")
        try:
            fields = dict(line.split() for line in _read(path).splitlines()) if path else {}
        except FileNotFoundError:
            return 0
        return int(fields.get("oom_kill", 0))

    def usage(self, group: str) -> dict[str, float]:
        """cpu seconds, memory bytes and working set (usage less inactive file pages, as the kubelet defines it)."""
        found: dict[str, float] = {}
        with contextlib.suppress(FileNotFoundError):
            if "cpuacct" in self._v1:
                found["cpu"] = int(_read(os.path.join(self._v1["cpuacct"], group, "cpuacct.usage"))) / 1e9
            elif "cpuacct" in self._v2_controllers:
                fields = dict(line.split() for line in _read(os.path.join(self._v2, group, "cpu.stat")).splitlines())
                found["cpu"] = int(fields["usage_usec"]) / 1e6
            if "memory" in self._v1:
                directory = os.path.join(self._v1["memory"], group)
                found.update(_memory(directory, "memory.usage_in_bytes", "total_inactive_file"))
            elif "memory" in self._v2_controllers:
                found.update(_memory(os.path.join(self._v2, group), "memory.current", "inactive_file"))
        return found

    def remove(self, group: str) -> bool:
        """False when a directory is still busy, as it may be just after its last process was reaped: call again."""
        gone = True
        for directory in self.directories(group):
            try:
                os.rmdir(directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                    raise
                gone = False
        return gone


def _memory(directory: str, usage_file: str, inactive_field: str) -> dict[str, float]:
    usage = int(_read(os.path.join(directory, usage_file)))
    fields = dict(line.split() for line in _read(os.path.join(directory, "memory.stat")).splitlines())
    return {"memory": usage, "working_set": max(0, usage - int(fields.get(inactive_field, 0)))}


def remove_tree(directory: str, patience: float = 2.0) -> bool:
    """rmdir from the leaves up, waiting a little for a group that is still busy (EBUSY just after its processes were reaped)."""
    deadline = time.monotonic() + patience
    while os.path.isdir(directory):
        for path, _names, _files in os.walk(directory, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
        if os.path.isdir(directory):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
    return True
