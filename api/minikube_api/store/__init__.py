"""The revisioned key-value store behind the API. `contract` says what it promises; `open` gives one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from minikube_api.meta.times import SYSTEM, Clock
from minikube_api.store.contract import Store

#: seconds between background compactions, as kube-apiserver's --etcd-compaction-interval
COMPACTION_INTERVAL = 300.0


async def open(
    kind: Literal["memory", "sqlite"],
    path: str | Path | None = None,
    *,
    clock: Clock = SYSTEM,
    compaction_interval: float | None = COMPACTION_INTERVAL,
) -> Store:
    """Open a store. sqlite: `path` is a directory of its own, made when missing.

    Raises DirectoryLocked when another process has it open, UnknownFormat when a newer version wrote it, StoreFailed when
    it can't be read. `compaction_interval` None: history is forgotten only when `compact` is called.
    """
    from minikube_api.store.embedded import EmbeddedStore

    if kind == "memory":
        from minikube_api.store.memory import MemoryLog

        log = MemoryLog()
    elif kind == "sqlite":
        from minikube_api.store.sqlite import SqliteLog

        if path is None:
            raise ValueError("the sqlite store needs a directory")
        log = await SqliteLog.open(Path(path))
    else:
        raise ValueError(f"unknown store {kind!r}: memory or sqlite")
    store = EmbeddedStore(log, clock=clock, compaction_interval=compaction_interval)
    await store.start()
    return store
