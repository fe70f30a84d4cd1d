"""One process at a time on a data directory: an advisory lock that the kernel drops with its holder, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from minikube_api.store.contract import StoreError


class DirectoryLocked(StoreError):
    """Another process has the data directory open."""


class DirectoryLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> DirectoryLock:
        """Lock `directory` through its file `lock`, which names the holder's process. Raises DirectoryLocked."""
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise DirectoryLocked(f"data directory {directory} is in use by process {holder}") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return cls(descriptor)

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
