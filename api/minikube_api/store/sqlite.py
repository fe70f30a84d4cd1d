"""The log in a sqlite file: durable when `commit` returns (WAL, synchronous=FULL), safe against power loss and kill -9.

Two connections, each in a thread of its own: one writes (commits and compaction steps, nothing else), one reads a committed
state without waiting for it. A batch crosses into the thread in one hop; a hop a statement would cost eight tenths of the speed.
The directory is locked for as long as the log is open.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import aiosqlite

from minikube_api.store import sqlite_log
from minikube_api.store.contract import CompareFailed, Event, KeyValue, RangeResult, Revision, StoreFailed, WatchBatch
from minikube_api.store.locking import DirectoryLock
from minikube_api.store.log import Expiry, Write

P = ParamSpec("P")
T = TypeVar("T")

#: revisions a compaction step works through: keeps the writer's thread free within a few milliseconds
_COMPACTION_STEP = 500


class _Connection(aiosqlite.Connection):
    """A connection that runs a whole function in its thread, in one hop. The thread never keeps the process alive."""

    def __init__(self, path: Path) -> None:
        super().__init__(partial(_connect, path), iter_chunk_size=64)
        self._thread.daemon = True

    async def run(self, function: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Cancelling the caller does not stop the function. Raises StoreFailed for what sqlite raises."""
        try:
            return await self._execute(function, self._conn, *args, **kwargs)
        except sqlite3.Error as error:
            raise StoreFailed(f"sqlite: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0, cached_statements=64)


class SqliteLog:
    """Make one with `open`."""

    def __init__(self, lock: DirectoryLock, writer: _Connection, reader: _Connection) -> None:
        self._lock = lock
        self._writer = writer
        self._reader = reader
        self.revision = Revision(0)
        self.compact_revision = Revision(0)
        self._compacting = asyncio.Lock()

    @classmethod
    async def open(cls, directory: Path) -> SqliteLog:
        """Raises DirectoryLocked, UnknownFormat, StoreFailed."""
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = DirectoryLock.take(directory)
        file = directory / "state.db"
        writer, reader = _Connection(file), _Connection(file)
        log = cls(lock, writer, reader)
        try:
            try:
                await writer
                await writer.run(sqlite_log.prepare)
                await reader
            except sqlite3.Error as error:
                raise StoreFailed(f"{file}: {error}") from error
            log.revision, log.compact_revision = await writer.run(sqlite_log.revisions)
        except BaseException:
            await log.close()
            raise
        return log

    async def commit(self, writes: Sequence[Write]) -> list[Event | CompareFailed]:
        outcomes = await self._writer.run(sqlite_log.apply, writes)
        for outcome in reversed(outcomes):
            if isinstance(outcome, Event):
                self.revision = outcome.revision
                break
        return outcomes

    async def get(self, key: str) -> KeyValue | None:
        return await self._reader.run(sqlite_log.get, key)

    async def range(self, prefix: str, start: str, limit: int, revision: Revision) -> RangeResult:
        return await self._reader.run(sqlite_log.states, prefix, start, limit, revision)

    async def events(self, prefix: str, after: Revision, limit: int) -> WatchBatch:
        return await self._reader.run(sqlite_log.events, prefix, after, self.revision, limit)

    async def expiries(self) -> Iterable[Expiry]:
        return await self._reader.run(sqlite_log.expiries)

    async def compact(self, revision: Revision) -> None:
        async with self._compacting:
            await self._writer.run(sqlite_log.ask_compaction, revision)
            self.compact_revision = max(self.compact_revision, revision)
            while await self._writer.run(sqlite_log.compact_step, _COMPACTION_STEP):
                pass

    async def close(self) -> None:
        try:
            for connection in (self._reader, self._writer):
                await connection.close()
        finally:
            self._lock.release()
