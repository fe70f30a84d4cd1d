"""What the shim knows, kept in a file so that it outlives everybody: one JSON line a change, `fsync`ed where losing it would lose an exit code.

The shim that starts next reads it to clean up, and to tell the runtime what became of the containers: they died with their shim.
"""

from __future__ import annotations

import errno
import json
import os

from minikube_agents.shim.loop import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class StateFile:
    """Two tables, `sandbox` and `container`: id -> record. A line is [table, id, changes] or [table, id, null] for a removal."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.tables: dict[str, dict[str, dict[str, Any]]] = {"sandbox": {}, "container": {}}
        self._lines = 0
        self._behind = False
        self._load()
        self._fd = -1
        self._compact()

    def _load(self) -> None:
        try:
            with open(self.path, "rb") as file:
                data = file.read()
        except FileNotFoundError:
            return
        for line in data.split(b"\n")[:-1]:  # what follows the last newline was torn by a crash
            try:
                table, key, changes = json.loads(line)
            except ValueError:
                continue  # torn by a power cut in the middle of a block: the records before and after stand
            self._change(self.tables[table], key, changes)

    @staticmethod
    def _change(table: dict[str, dict[str, Any]], key: str, changes: dict[str, Any] | None) -> None:
        if changes is None:
            table.pop(key, None)
        else:
            table.setdefault(key, {}).update(changes)

    def _compact(self) -> None:
        fresh = self.path + ".new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_APPEND, 0o600)
        for name, table in self.tables.items():
            for key, record in table.items():
                os.write(fd, _line(name, key, record))
        os.fsync(fd)
        os.replace(fresh, self.path)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._lines = sum(map(len, self.tables.values()))

    def put(self, table: str, key: str, changes: dict[str, Any], *, durable: bool = False) -> dict[str, Any]:
        """Merge `changes` into the record and write them down; the whole record."""
        self._change(self.tables[table], key, changes)
        self._append(_line(table, key, changes), durable=durable)
        return self.tables[table][key]

    def delete(self, table: str, key: str) -> None:
        if self.tables[table].pop(key, None) is not None:
            self._append(_line(table, key, None), durable=False)

    def _append(self, line: bytes, *, durable: bool) -> None:
        """A full disk must not keep the shim from seeing its containers end: what could not be written is made up for with the next change."""
        try:
            if self._behind or self._lines > 1000 + 10 * sum(map(len, self.tables.values())):
                self._compact()
                self._behind = False
                return
            if os.write(self._fd, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if durable:
                os.fdatasync(self._fd)
            self._lines += 1
        except OSError as error:
            if not self._behind:
                log(f"state file {self.path}: {error}")
            self._behind = True

    def close(self) -> None:
        os.close(self._fd)


def _line(table: str, key: str, changes: dict[str, Any] | None) -> bytes:
    return json.dumps([table, key, changes], separators=(",", ":")).encode() + b"\n"
