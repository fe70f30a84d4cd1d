"""What only the file can go wrong with: locking, formats, failing media, kill -9."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from minikube_api import store as stores
from minikube_api.client.stepping import SteppedClock
from minikube_api.store import sqlite_log
from minikube_api.store.contract import StoreFailed
from minikube_api.store.locking import DirectoryLocked
from minikube_api.store.sqlite_log import UnknownFormat

WRITER = """
import asyncio, sys
from minikube_api import store
async def main(path):
    opened = await store.open("sqlite", path, compaction_interval=None)
    async def write(lane):
        n = 0
        while True:
            n += 1
            key = f"/w/{lane}-{n % 50}"
            revision = await opened.put(key, f"{lane}:{n}".encode() * 20)
            sys.stdout.write(f"{revision} {key} {lane}:{n}\\n")
            sys.stdout.flush()
            if n % 40 == 0 and lane == 0:
                await opened.compact(revision - 100 if revision > 200 else 1)
    await asyncio.gather(*(write(lane) for lane in range(4)))
asyncio.run(main(sys.argv[1]))
"""


async def test_second_opener_is_told_who_has_the_directory(tmp_path: Path) -> None:
    store = await stores.open("sqlite", tmp_path)
    with pytest.raises(DirectoryLocked, match=f"in use by process {os.getpid()}"):
        await stores.open("sqlite", tmp_path)
    await store.close()
    await (await stores.open("sqlite", tmp_path)).close()


async def test_data_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    await (await stores.open("sqlite", tmp_path)).close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UnknownFormat, match="format 99"):
        await stores.open("sqlite", tmp_path)


async def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(UnknownFormat, match="not one of"):
        await stores.open("sqlite", tmp_path)


async def test_a_corrupt_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreFailed, match="not a database"):
        await stores.open("sqlite", tmp_path)


async def test_a_full_disk_fails_the_write_and_stops_the_store(tmp_path: Path) -> None:
    store = await stores.open("sqlite", tmp_path)
    acknowledged = await store.put("/a", b"1")
    watch = store.watch("/", after=acknowledged)
    await store._log._writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 1"))  # type: ignore
    with pytest.raises(StoreFailed, match="full"):
        await store.put("/big", b"x" * 200_000)
    with pytest.raises(StoreFailed):
        await store.put("/b", b"1")
    with pytest.raises(StoreFailed):
        await anext(aiter(watch))
    await store.close()
    store = await stores.open("sqlite", tmp_path)
    assert [(kv.key, kv.mod_revision) for kv in (await store.range("/")).kvs] == [("/a", acknowledged)]
    await store.close()


async def test_a_failed_fsync_is_never_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await stores.open("sqlite", tmp_path)
    calls = 0

    def failing(connection: sqlite3.Connection, writes: object) -> list:
        nonlocal calls
        calls += 1
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite_log, "apply", failing)
    outcomes = await asyncio.gather(*(store.put(f"/{n}", b"1") for n in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, StoreFailed) for outcome in outcomes)
    assert calls == 1
    await store.close()


async def test_leases_outlive_a_restart(tmp_path: Path) -> None:
    clock = SteppedClock()
    store = await stores.open("sqlite", tmp_path, clock=clock)
    await store.put("/e/a", b"1", ttl=100)
    await store.put("/e/b", b"1", ttl=10)
    await store.close()
    await clock.advance(50)
    store = await stores.open("sqlite", tmp_path, clock=clock)
    watch = store.watch("/e/", after=3)  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        batch = await anext(aiter(watch))
    assert [(event.key, event.current) for event in batch.events] == [("/e/b", None)]
    assert [kv.key for kv in (await store.range("/e/")).kvs] == ["/e/a"]
    await store.close()


async def test_revisions_go_on_after_everything_was_deleted_and_compacted(tmp_path: Path) -> None:
    store = await stores.open("sqlite", tmp_path)
    await store.put("/a", b"1")
    last = await store.delete("/a")
    await store.compact(last)
    await store.close()
    store = await stores.open("sqlite", tmp_path)
    assert await store.current_revision() == last
    assert await store.put("/a", b"1") == last + 1
    await store.close()


async def test_compaction_interrupted_between_steps_is_finished_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await stores.open("sqlite", tmp_path, compaction_interval=None)
    for n in range(20):
        await store.put(f"/{n % 2}", str(n).encode())
    real = sqlite_log.compact_step
    monkeypatch.setattr(sqlite_log, "compact_step", lambda connection, rows: real(connection, 5) and False)
    await store.compact(15)  # type: ignore[arg-type]
    await store.close()
    monkeypatch.undo()
    store = await stores.open("sqlite", tmp_path, compaction_interval=None)
    await store.compact(20)  # type: ignore[arg-type]
    with sqlite3.connect(tmp_path / "state.db") as connection:
        assert [row[0] for row in connection.execute("SELECT revision FROM log ORDER BY revision")] == [19, 20, 21]
    await store.close()


@pytest.mark.parametrize("seed", range(4))
async def test_acknowledged_writes_survive_sigkill(tmp_path: Path, seed: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline()]
    target = random.Random(seed).randint(1, 800)
    while len(lines) < target:
        lines.append(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    lines += process.stdout.read().splitlines(keepends=True)
    process.wait()
    acknowledged = [line.split() for line in lines if line.endswith("\n")]
    revisions = [int(revision) for revision, _, _ in acknowledged]
    assert len(set(revisions)) == len(revisions)
    store = await stores.open("sqlite", tmp_path)
    found = {kv.key: kv for kv in (await store.range("/w/")).kvs}
    newest = {key: (int(revision), mark) for revision, key, mark in acknowledged}
    for key, (revision, mark) in newest.items():
        # a later write of the lane may have been committed and not yet told
        assert found[key].mod_revision >= revision
        if found[key].mod_revision == revision:
            assert found[key].value == mark.encode() * 20
    assert await store.put("/w/after", b"x") > max(revisions)
    await store.close()
