"""Expectations: what a controller did that its cache has not shown yet (client-go controller.ControllerExpectations).

A controller that creates pods and is called again before its informer saw them would create them twice. It therefore notes how many
creations and which deletions it expects, and acts again only when they were seen, or after five minutes (a missed event must not block
for ever).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final

from minikube_api.meta.times import Clock

TIMEOUT: Final = 300.0


@dataclass(slots=True)
class _Expected:
    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """Creations are counted, deletions known by uid: a deletion may be seen twice (marked, then gone)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expected: dict[Hashable, _Expected] = {}

    def satisfied(self, owner: Hashable) -> bool:
        expected = self._expected.get(owner)
        if expected is None:
            return True
        return (expected.creations <= 0 and not expected.deletions) or (self._clock.monotonic() - expected.since > TIMEOUT)

    def expect(self, owner: Hashable, *, creations: int = 0, deletions: Iterable[str] = ()) -> None:
        self._expected[owner] = _Expected(self._clock.monotonic(), creations, set(deletions))

    def created(self, owner: Hashable, count: int = 1) -> None:
        if (expected := self._expected.get(owner)) is not None:
            expected.creations -= count

    def deleted(self, owner: Hashable, uid: str) -> None:
        if (expected := self._expected.get(owner)) is not None:
            expected.deletions.discard(uid)

    def forget(self, owner: Hashable) -> None:
        self._expected.pop(owner, None)
