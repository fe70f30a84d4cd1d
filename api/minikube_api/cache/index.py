"""A sorted index of entries whose every state is a snapshot: changes make a new index and share nearly all of the old one.

Entries lie in chunks of about a hundred; a change copies one chunk and the list of chunks (microseconds at a hundred thousand
objects). So a list that is written out slowly, or a page that is continued later, needs no lock and no copy.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from minikube_api.cache.entries import Entry

_CHUNK = 128
Chunk = tuple[list[str], list[Entry]]


class Index:
    """Immutable. Keys are store keys; `start` is inclusive, `end` exclusive."""

    __slots__ = ("_chunks", "_firsts", "size")

    def __init__(self, firsts: list[str], chunks: list[Chunk], size: int) -> None:
        self._firsts = firsts
        self._chunks = chunks
        self.size = size

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Index:
        """Entries must come in key order."""
        ordered = list(entries)
        chunks: list[Chunk] = []
        for at in range(0, len(ordered), _CHUNK):
            part = ordered[at : at + _CHUNK]
            chunks.append(([entry.key for entry in part], part))
        return cls([keys[0] for keys, _ in chunks], chunks, len(ordered))

    def get(self, key: str) -> Entry | None:
        if not self._chunks:
            return None
        keys, entries = self._chunks[max(bisect_right(self._firsts, key) - 1, 0)]
        at = bisect_left(keys, key)
        return entries[at] if at < len(keys) and keys[at] == key else None

    def put(self, entry: Entry) -> Index:
        key = entry.key
        if not self._chunks:
            return Index([key], [([key], [entry])], 1)
        which = max(bisect_right(self._firsts, key) - 1, 0)
        keys, entries = self._chunks[which]
        at = bisect_left(keys, key)
        entries = entries.copy()
        if at < len(keys) and keys[at] == key:
            entries[at] = entry
            chunks = self._chunks.copy()
            chunks[which] = (keys, entries)
            return Index(self._firsts, chunks, self.size)
        keys = keys.copy()
        keys.insert(at, key)
        entries.insert(at, entry)
        return self._replaced(which, keys, entries, self.size + 1)

    def remove(self, key: str) -> Index:
        """The index itself when it has no such key."""
        if self.get(key) is None:
            return self
        which = max(bisect_right(self._firsts, key) - 1, 0)
        keys, entries = self._chunks[which]
        at = bisect_left(keys, key)
        return self._replaced(which, keys[:at] + keys[at + 1 :], entries[:at] + entries[at + 1 :], self.size - 1)

    def _replaced(self, which: int, keys: list[str], entries: list[Entry], size: int) -> Index:
        if len(keys) > 2 * _CHUNK:
            parts = [(keys[:_CHUNK], entries[:_CHUNK]), (keys[_CHUNK:], entries[_CHUNK:])]
        else:
            parts = [(keys, entries)] if keys else []
        chunks = [*self._chunks[:which], *parts, *self._chunks[which + 1 :]]
        firsts = [*self._firsts[:which], *(part[0][0] for part in parts), *self._firsts[which + 1 :]]
        return Index(firsts, chunks, size)

    def span(self, start: str, end: str | None) -> Iterator[Entry]:
        """Entries in key order."""
        for keys, entries, first, last in self._parts(start, end):
            yield from entries if first == 0 and last == len(keys) else entries[first:last]

    def count(self, start: str, end: str | None) -> int:
        return sum(last - first for _, _, first, last in self._parts(start, end))

    def _parts(self, start: str, end: str | None) -> Iterator[tuple[list[str], list[Entry], int, int]]:
        for which in range(max(bisect_right(self._firsts, start) - 1, 0), len(self._chunks)):
            keys, entries = self._chunks[which]
            if end is not None and keys[0] >= end:
                return
            first = bisect_left(keys, start) if keys[0] < start else 0
            last = len(keys) if end is None or keys[-1] < end else bisect_left(keys, end)
            if first < last:
                yield keys, entries, first, last


EMPTY = Index([], [], 0)
