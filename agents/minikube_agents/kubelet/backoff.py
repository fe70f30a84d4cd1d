"""Back-off per key as the kubelet keeps it: 10 s doubling to 5 min; forgotten when nothing failed for twice the maximum."""

from __future__ import annotations

from dataclasses import dataclass, field

INITIAL = 10.0
MAXIMUM = 300.0


@dataclass(slots=True)
class Backoff:
    """`wait(key, since, now)`: seconds still to wait after an end at `since`; `next(key, now)`: one more try is made. Times in seconds."""

    initial: float = INITIAL
    maximum: float = MAXIMUM
    _entries: dict[str, tuple[float, float]] = field(default_factory=dict)

    def delay(self, key: str) -> float:
        """The present delay of `key` (0 when it never failed)."""
        return self._entries.get(key, (0.0, 0.0))[0]

    def wait(self, key: str, *, since: float, now: float) -> float:
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, since):
            return 0.0
        return max(entry[0] - (now - since), 0.0)

    def next(self, key: str, *, now: float, since: float | None = None) -> None:
        """`since`: when the last try ended; an end long after the last back-off starts from the beginning."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, now if since is None else since):
            self._entries[key] = (self.initial, now)
        else:
            self._entries[key] = (min(entry[0] * 2, self.maximum), now)

    def reset(self, key: str) -> None:
        self._entries.pop(key, None)

    def _expired(self, entry: tuple[float, float], at: float) -> bool:
        return at - entry[1] > 2 * self.maximum


def seconds(delay: float) -> str:
    """As Go prints a duration in messages: `10s`, `1m20s`, `5m0s`."""
    whole = int(delay)
    return f"{whole // 60}m{whole % 60}s" if whole >= 60 else f"{whole}s"
