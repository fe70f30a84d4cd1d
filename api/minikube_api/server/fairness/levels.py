"""One priority level: seats for requests being served, and fair queues for those that wait.

Flows are dealt a hand of queues by their hash (shuffle sharding), and wait in the shortest of it; queues take turns by virtual
time, so that a flow with many requests waits behind its own and not in front of everybody. Taking a free seat awaits nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass, field

#: seconds a request may wait for a seat: a quarter of the request time limit
WAIT = 15.0


class Rejected(Exception):
    """No seat: `reason` is queue-full, concurrency-limit or time-out, as in apiserver_flowcontrol_rejected_requests_total."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Queue:
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    #: virtual time at which its next request starts
    start: float = 0.0


class Level:
    """`limit` seats. Without `queues` a request that finds none is rejected at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.exempt = False
        self.limit = 0
        self.executing = 0
        self.rejected: dict[str, int] = {}
        self._queues: list[Queue] = []
        self._hand = 0
        self._longest = 0
        self._virtual = 0.0
        self.waiting = 0

    def configure(self, uid: str, *, exempt: bool, queues: int = 0, hand: int = 0, longest: int = 0) -> None:
        """Requests that wait already keep their places."""
        self.uid, self.exempt = uid, exempt
        self._hand, self._longest = hand, longest
        if queues != len(self._queues):
            left = [q for q in self._queues if q.waiting]
            self._queues = (left + [Queue(start=self._virtual) for _ in range(queues)])[: max(queues, len(left))]

    def set_limit(self, limit: int) -> None:
        self.limit = limit
        self._dispatch()

    def try_take(self) -> bool:
        """A seat, if one is free and nobody waits for it."""
        if self.executing < self.limit and not self.waiting:
            self.executing += 1
            return True
        return False

    async def take(self, flow: str) -> None:
        """Wait for a seat. Raises Rejected."""
        if self.try_take():
            return
        if not self._queues:
            raise self._reject("concurrency-limit")
        queue = self._shortest(flow)
        if len(queue.waiting) >= self._longest:
            raise self._reject("queue-full")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not queue.waiting:
            queue.start = max(queue.start, self._virtual)
        queue.waiting.append(turn)
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT):
                await turn
        except BaseException as error:
            if turn in queue.waiting:
                queue.waiting.remove(turn)
                self.waiting -= 1
            elif turn.done() and not turn.cancelled():
                # the seat came in the moment that nobody wanted it any more
                self.release()
            else:
                self._dispatch()
            if isinstance(error, TimeoutError):
                raise self._reject("time-out") from None
            raise

    def release(self) -> None:
        self.executing -= 1
        if self.waiting:
            self._dispatch()

    def _reject(self, reason: str) -> Rejected:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        return Rejected(reason)

    def _shortest(self, flow: str) -> Queue:
        hand = deal(flow, len(self._queues), self._hand)
        return self._queues[min(hand, key=lambda i: len(self._queues[i].waiting))]

    def _dispatch(self) -> None:
        while self.waiting and self.executing < self.limit:
            queue = min((q for q in self._queues if q.waiting), key=lambda q: q.start)
            turn = queue.waiting.popleft()
            self.waiting -= 1
            if turn.done():
                continue
            self._virtual = queue.start
            queue.start += 1.0
            self.executing += 1
            turn.set_result(None)


def deal(flow: str, deck: int, hand: int) -> list[int]:
    """A hand of different queues out of the deck, the same for the same flow (KEP-1040, "Shuffle sharding")."""
    value = int.from_bytes(hashlib.blake2b(flow.encode(), digest_size=16).digest(), "little")
    dealt: list[int] = []
    for left in range(deck, max(deck - hand, 0), -1):
        value, card = divmod(value, left)
        for earlier in sorted(dealt):
            if card >= earlier:
                card += 1
        dealt.append(card)
    return dealt
