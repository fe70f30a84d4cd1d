"""Event correlation with client-go's rules (tools/record): aggregate similar events, count equal ones, drop spam. Pure.

- Aggregation: more than 10 events within 10 minutes that differ only in their message become one, whose message is
  "(combined from similar events): " + the newest message.
- Counting: an event equal to an earlier one (last 4096) raises that one's count and lastTimestamp instead of being created.
- Spam: a token bucket an object and source: 25 at once, then one every 5 minutes.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from minikube_api.schema.typed.core_v1 import ObjectReference

CACHE: Final = 4096
AGGREGATE_EVENTS: Final = 10
AGGREGATE_SECONDS: Final = 600.0
SPAM_BURST: Final = 25
SPAM_PER_SECOND: Final = 1 / 300
COMBINED: Final = "(combined from similar events): "

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Something that happened to an object, as a component tells it. `at` is in seconds since the epoch."""

    involved: ObjectReference
    type: str
    reason: str
    message: str
    component: str
    host: str
    at: float
    annotations: dict[str, str] = field(default_factory=dict)
    action: str = ""
    related: ObjectReference | None = None

    @property
    def source_key(self) -> tuple[str, ...]:
        ref = self.involved
        return (
            self.component, self.host, ref.kind or "", ref.namespace or "", ref.name or "", ref.uid or "",
            ref.apiVersion or "",
        )  # fmt: skip

    @property
    def aggregate_key(self) -> tuple[str, ...]:
        return (*self.source_key, self.type, self.reason)


@dataclass(slots=True)
class Written:
    """What was last written of an event: its name, count and first time."""

    name: str
    namespace: str
    count: int
    first: float
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class Correlated:
    """What to write: `known` set means "patch that event to `count`"; else create."""

    message: str
    key: tuple[str, ...]
    known: Written | None
    aggregated: bool


class _Recent(Generic[V]):
    """A map that keeps the last `size` used keys."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[tuple[str, ...], V] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> V | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: tuple[str, ...], value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


@dataclass(slots=True)
class _Similar:
    messages: set[str]
    last: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled: float


class Correlator:
    def __init__(self, *, burst: int = SPAM_BURST, per_second: float = SPAM_PER_SECOND, cache: int = CACHE) -> None:
        self._burst = burst
        self._per_second = per_second
        self._similar: _Recent[_Similar] = _Recent(cache)
        self._written: _Recent[Written] = _Recent(cache)
        self._buckets: _Recent[_Bucket] = _Recent(cache)

    def correlate(self, occurrence: Occurrence) -> Correlated | None:
        """None: spam, write nothing."""
        message, key, aggregated = self._aggregate(occurrence)
        known = self._written.get(key)
        if not self._accept(occurrence):
            if known is not None:
                known.count += 1  # what was dropped is still counted
            return None
        return Correlated(message, key, known, aggregated)

    def written(self, key: tuple[str, ...], written: Written) -> None:
        """Remember what the server has now."""
        self._written.put(key, written)

    def _aggregate(self, occurrence: Occurrence) -> tuple[str, tuple[str, ...], bool]:
        own_key = (*occurrence.aggregate_key, occurrence.message)
        similar = self._similar.get(occurrence.aggregate_key)
        if similar is None or occurrence.at - similar.last > AGGREGATE_SECONDS:
            similar = _Similar(set(), occurrence.at)
        similar.messages.add(occurrence.message)
        similar.last = occurrence.at
        self._similar.put(occurrence.aggregate_key, similar)
        if len(similar.messages) < AGGREGATE_EVENTS:
            return occurrence.message, own_key, False
        # keep the set small: only whether the limit is reached counts
        similar.messages.pop()
        return COMBINED + occurrence.message, occurrence.aggregate_key, True

    def _accept(self, occurrence: Occurrence) -> bool:
        bucket = self._buckets.get(occurrence.source_key)
        if bucket is None:
            bucket = _Bucket(float(self._burst), occurrence.at)
        bucket.tokens = min(self._burst, bucket.tokens + (occurrence.at - bucket.filled) * self._per_second)
        bucket.filled = occurrence.at
        accepted = bucket.tokens >= 1
        if accepted:
            bucket.tokens -= 1
        self._buckets.put(occurrence.source_key, bucket)
        return accepted
