"""Where a cluster keeps its things: the data directory and the run directory (short paths, for Unix sockets).

Standard library only: the start path and `minictl status` import this.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path


def clusters_root() -> Path:
    """The directory that holds a data directory for each named cluster of this user."""
    if home := os.environ.get("MINIKUBE_PY_HOME"):
        return Path(home)
    if os.geteuid() == 0:
        return Path("/var/lib/minikube-py")
    data_home = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return Path(data_home) / "minikube-py"


class Layout:
    """Paths of one cluster. Nothing is made until `make`."""

    def __init__(self, data_dir: str | Path) -> None:
        self.data = Path(os.path.abspath(data_dir))
        digest = hashlib.sha256(str(self.data).encode()).hexdigest()[:10]
        if os.geteuid() == 0:
            base = Path("/run/minikube-py")
        elif (runtime := os.environ.get("XDG_RUNTIME_DIR")) and os.access(runtime, os.W_OK):
            base = Path(runtime) / "minikube-py"
        else:
            base = Path(f"/tmp/minikube-py-{os.geteuid()}")
        self.run = base / digest

    @property
    def spec(self) -> Path:
        return self.data / "cluster.json"

    @property
    def settled(self) -> Path:
        """The spec of the running cluster with all that was chosen at its start, for components in processes of their own."""
        return self.run / "cluster.json"

    @property
    def state(self) -> Path:
        """What the running daemon says of itself: pid, URL, time it took, component processes."""
        return self.run / "state.json"

    @property
    def lock(self) -> Path:
        return self.data / "lock"

    @property
    def log(self) -> Path:
        return self.data / "logs" / "cluster.log"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def kubeconfig(self) -> Path:
        return self.data / "kubeconfig"

    @property
    def kubeconfigs(self) -> Path:
        """Kubeconfigs of the components, one file each."""
        return self.data / "kubeconfigs"

    @property
    def images(self) -> Path:
        """The image store; the nodes of one machine share it."""
        return self.data / "images"

    @property
    def volumes(self) -> Path:
        """Volumes of the storage class `standard`, a directory each."""
        return self.data / "volumes"

    def node(self, name: str) -> Path:
        return self.data / "nodes" / name

    def make(self) -> None:
        for path in (self.data, self.logs, self.pki, self.kubeconfigs):
            path.mkdir(parents=True, exist_ok=True)
        self.pki.chmod(0o700)
        self.kubeconfigs.chmod(0o700)
        self.run.parent.mkdir(parents=True, exist_ok=True)
        if self.run.parent.stat().st_uid != os.geteuid():
            raise PermissionError(f"{self.run.parent} belongs to another user")
        self.run.mkdir(mode=0o700, exist_ok=True)


class AlreadyRunning(Exception):
    """Another process holds this data directory."""


def take_lock(layout: Layout) -> int:
    """Lock the data directory for the life of this process; returns the descriptor. Raises AlreadyRunning with the holder's pid."""
    fd = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _exclusive_holder(fd)
        os.close(fd)
        raise AlreadyRunning(f"a cluster is already running on {layout.data} (pid {holder or 'unknown'})") from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _exclusive_holder(fd: int) -> int | None:
    """The process that locked the file, as the kernel knows it (proc(5), /proc/locks); else, where a file system has another device
    number there (btrfs), as the file says, which may be damaged."""
    status = os.fstat(fd)
    file = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if fields[1:4] == ["FLOCK", "ADVISORY", "WRITE"] and fields[5] == file and int(fields[4]) > 0:
            return int(fields[4])
    written = os.pread(fd, 32, 0).decode(errors="replace").strip()
    return int(written) if written.isdecimal() else None


def lock_holder(layout: Layout) -> int | None:
    """The pid of the process that holds the data directory, -1 when it can't be known, None when nobody does."""
    try:
        fd = os.open(layout.lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _exclusive_holder(fd) or -1
    finally:
        os.close(fd)
    return None
