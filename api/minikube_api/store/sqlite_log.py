"""The append-only log in SQL: synchronous functions on a connection, each one transaction. `sqlite` runs them in threads.

    log(revision, key, prev, created, deleted, value, expires)

`revision` is an AUTOINCREMENT row id: never given twice, not even after the newest row was compacted away. `prev` is the
revision of the key's row before (also of a deletion), 0 for the first; it grows with `revision` within a key, so the one index
UNIQUE(key, prev) finds the newest row, orders ranges, and is a second guard against two successors of one row. Alone it would be
wrong: after compaction has removed a deletion, a key starts at prev 0 again. `created` 0 means the row's own revision.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from minikube_api.store.contract import CompareFailed, Event, KeyValue, RangeResult, Revision, StoreError, WatchBatch
from minikube_api.store.log import FIRST_REVISION, Expiry, Write, compared, prefix_end

#: "mkpy"
APPLICATION_ID = 0x6D6B7079
FORMAT = 1

_SCHEMA = """
CREATE TABLE log (
  revision INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL,
  prev INTEGER NOT NULL,
  created INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  value BLOB,
  expires REAL,
  UNIQUE (key, prev)
);
CREATE INDEX log_expires ON log (expires) WHERE expires IS NOT NULL;
CREATE TABLE compaction (asked INTEGER NOT NULL, done INTEGER NOT NULL);
"""
_NEWEST = "SELECT revision, created, deleted, value FROM log WHERE key = ? ORDER BY prev DESC LIMIT 1"
_INSERT = "INSERT INTO log (key, prev, created, deleted, value, expires) VALUES (?, ?, ?, ?, ?, ?)"
#: bare columns beside max() are those of the row with the maximum (SQLite, "Bare columns in an aggregate query")
_STATES = """
SELECT key, max(prev), revision, created, deleted, value FROM log
WHERE key >= ? AND (? IS NULL OR key < ?) AND revision <= ? GROUP BY key HAVING NOT deleted"""
_EVENTS = """
SELECT n.revision, n.key, n.created, n.deleted, n.value, p.revision, p.created, p.deleted, p.value
FROM log n LEFT JOIN log p ON p.revision = n.prev
WHERE n.revision > ? AND n.revision <= ? AND n.key >= ? AND (? IS NULL OR n.key < ?) ORDER BY n.revision LIMIT ?"""


class UnknownFormat(StoreError):
    """The file is not ours, or a newer version of this program wrote it."""


def prepare(connection: sqlite3.Connection) -> None:
    """Settings of every connection; makes the tables in a new file. Raises UnknownFormat."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        connection.executescript(
            f"BEGIN IMMEDIATE;{_SCHEMA}"
            f"INSERT INTO sqlite_sequence (name, seq) VALUES ('log', {FIRST_REVISION});"
            f"INSERT INTO compaction VALUES ({FIRST_REVISION}, {FIRST_REVISION});"
            f"PRAGMA application_id = {APPLICATION_ID};PRAGMA user_version = {FORMAT};COMMIT;"
        )
    elif application != APPLICATION_ID:
        raise UnknownFormat("the database is not one of minikube-py's")
    elif version != FORMAT:
        raise UnknownFormat(f"the data has format {version}, this version of minikube-py reads format {FORMAT}")


def revisions(connection: sqlite3.Connection) -> tuple[Revision, Revision]:
    """(newest given, compacted up to)."""
    newest = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'log'").fetchone()[0]
    return Revision(newest), Revision(connection.execute("SELECT asked FROM compaction").fetchone()[0])


def apply(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[Event | CompareFailed]:
    """All writes in one transaction, durable on return; on any error none of them happened."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_apply(connection, write) for write in writes]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return outcomes


def _apply(connection: sqlite3.Connection, write: Write) -> Event | CompareFailed:
    row = connection.execute(_NEWEST, (write.key,)).fetchone()
    standing = None if row is None else _state(write.key, *row)
    failed = compared(write, standing)
    if failed is not None:
        return failed
    created = 0 if standing is None else standing.create_revision
    deleted = write.value is None
    values = (write.key, 0 if row is None else row[0], created, deleted, write.value, write.expires)
    try:
        revision = connection.execute(_INSERT, values).lastrowid
    except sqlite3.IntegrityError:
        return CompareFailed(write.key, get(connection, write.key))
    current = None if write.value is None else KeyValue(write.key, write.value, created or revision, revision)  # type: ignore
    return Event(write.key, Revision(revision), current, standing)  # type: ignore


def _state(key: str, revision: Any, created: Any, deleted: Any, value: Any) -> KeyValue | None:
    return None if deleted else KeyValue(key, value, created or revision, revision)


def get(connection: sqlite3.Connection, key: str) -> KeyValue | None:
    row = connection.execute(_NEWEST, (key,)).fetchone()
    return None if row is None else _state(key, *row)


def states(connection: sqlite3.Connection, prefix: str, start: str, limit: int, at: Revision) -> RangeResult:
    end = prefix_end(prefix)
    bounds = (start, end, end, at)
    sql = f"{_STATES} LIMIT {limit + 1}" if limit else _STATES
    found = [
        KeyValue(key, value, created or revision, revision)
        for key, _, revision, created, _, value in connection.execute(sql, bounds)
    ]
    more = bool(limit) and len(found) > limit
    count = len(found)
    if more:
        del found[limit:]
        count = connection.execute(f"SELECT count(*) FROM ({_STATES})", bounds).fetchone()[0]
    return RangeResult(found, at, more, count)


def events(connection: sqlite3.Connection, prefix: str, after: Revision, upto: Revision, limit: int) -> WatchBatch:
    """Events in (after, upto]; the batch's revision is `upto`, or that of the last event when `limit` cut it."""
    end = prefix_end(prefix)
    found = []
    for revision, key, created, deleted, value, *old in connection.execute(_EVENTS, (after, upto, prefix, end, end, limit)):
        previous = None if old[0] is None else _state(key, *old)
        found.append(Event(key, revision, _state(key, revision, created, deleted, value), previous))
    return WatchBatch(tuple(found), found[-1].revision if len(found) == limit else upto)


def expiries(connection: sqlite3.Connection) -> list[Expiry]:
    rows = connection.execute("SELECT expires, key, revision FROM log WHERE expires IS NOT NULL")
    return [Expiry(at, key, revision) for at, key, revision in rows]


def ask_compaction(connection: sqlite3.Connection, revision: Revision) -> None:
    """From here on history before `revision` must not be read; `compact_step` removes it."""
    connection.execute("UPDATE compaction SET asked = max(asked, ?)", (revision,))


def compact_step(connection: sqlite3.Connection, rows: int) -> bool:
    """Remove what the next `rows` revisions superseded, and those of them that are deletions; False when done.

    Works through revisions in order and remembers how far it came, so that a crash between steps costs nothing.
    """
    asked, done = connection.execute("SELECT asked, done FROM compaction").fetchone()
    if done >= asked:
        return False
    upto = min(asked, done + rows)
    connection.execute("BEGIN IMMEDIATE")
    try:
        span = (done, upto)
        connection.execute("DELETE FROM log WHERE revision IN (SELECT prev FROM log WHERE revision > ? AND revision <= ?)", span)
        connection.execute("DELETE FROM log WHERE revision > ? AND revision <= ? AND deleted", span)
        connection.execute("UPDATE compaction SET done = ?", (upto,))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return upto < asked
