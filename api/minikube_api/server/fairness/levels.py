"""One priority level: seats for requests being served, and fair queues for those that wait.

Flows are dealt a hand of queues by their hash (shuffle sharding), and wait in the shortest of it; queues take turns by virtual
time, so that a flow with many requests waits behind its own and not in front of everybody. Taking a free seat awaits nothing. A request
may take more than one seat.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass, field

from minikube_api.server.context import Request
from minikube_api.server.fairness.borrowing import Bounds, Demand, smoothed
from minikube_api.server.fairness.work import ONE, Work

#: seconds a request may wait for a seat: a quarter of the request time limit
WAIT = 15.0


class Rejected(Exception):
    """No seat: `reason` is queue-full, concurrency-limit or time-out (some go away by themselves: cancelled).

    As in apiserver_flowcontrol_rejected_requests_total.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Waiting:
    """A request that waits for its turn. `request` is there for the debug endpoints only."""

    turn: asyncio.Future[None]
    work: Work
    flow: str
    arrived: float
    request: Request | None


@dataclass(slots=True)
class Queue:
    waiting: deque[Waiting] = field(default_factory=deque)
    #: virtual time at which its next request starts
    start: float = 0.0
    #: requests that came through this queue and are being served, and their seats
    executing: int = 0
    seats: int = 0


class Level:
    """`limit` seats, which change as seats are lent and borrowed. Without `queues` a request that finds none is rejected at once."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.uid = ""
        self.exempt = False
        self.limit = 0
        self.bounds = Bounds(0, 0, 0)
        #: requests being served, and their seats (some are held a moment longer than the request)
        self.executing = 0
        self.seats = 0
        self.dispatched = 0
        #: the same by FlowSchema, and refusals by (FlowSchema, reason)
        self.dispatched_of: dict[str, int] = {}
        self.rejected_of: dict[tuple[str, str], int] = {}
        #: most seats wanted at once in this period, and that smoothed over periods
        self.peak = 0
        self.smoothed = 0.0
        self.rejected: dict[str, int] = {}
        self.queues: list[Queue] = []
        self._hand = 0
        self._longest = 0
        self._virtual = 0.0
        self.waiting = 0
        self._waiting_seats = 0

    def configure(self, uid: str, *, exempt: bool, queues: int = 0, hand: int = 0, longest: int = 0) -> None:
        """Requests that wait already keep their places."""
        self.uid, self.exempt = uid, exempt
        self._hand, self._longest = hand, longest
        if queues != len(self.queues):
            left = [q for q in self.queues if q.waiting]
            self.queues = (left + [Queue(start=self._virtual) for _ in range(queues)])[: max(queues, len(left))]

    def set_limit(self, limit: int) -> None:
        self.limit = limit
        self._dispatch()

    def end_period(self) -> Demand:
        """The demand of the period that ends now."""
        self.smoothed = smoothed(self.smoothed, self.peak)
        demand = Demand(self.bounds, self.peak, self.smoothed, self.exempt)
        self.peak = self.seats + self._waiting_seats
        return demand

    def _fits(self, seats: int) -> bool:
        """A request wider than the level has seats comes in when it is alone."""
        return self.seats + seats <= self.limit or (not self.seats and self.limit > 0)

    def try_take(self, work: Work = ONE, schema: str = "") -> bool:
        """Its seats, if they are free and nobody waits for them; an exempt level always has some."""
        if (self.waiting or not self._fits(work.seats)) and not self.exempt:
            return False
        self.executing += 1
        self._count(schema)
        self.seats += work.seats
        if self.seats > self.peak:
            self.peak = self.seats
        return True

    async def take(self, flow: str, work: Work = ONE, request: Request | None = None) -> Queue | None:
        """Wait for seats; gives the queue that the request came through, for `release`. Raises Rejected.

        `flow` is SCHEMA/DISTINGUISHER.
        """
        schema = flow.partition("/")[0]
        if self.try_take(work, schema):
            return None
        if not self.queues:
            raise self._reject("concurrency-limit", schema)
        queue = self._shortest(flow)
        if len(queue.waiting) >= self._longest:
            raise self._reject("queue-full", schema)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not queue.waiting:
            queue.start = max(queue.start, self._virtual)
        one = Waiting(turn, work, flow, request.received if request is not None else 0.0, request)
        queue.waiting.append(one)
        self.waiting += 1
        self._waiting_seats += work.seats
        self.peak = max(self.peak, self.seats + self._waiting_seats)
        # a request wider than what is free now may be alone all the same
        self._dispatch()
        try:
            async with asyncio.timeout(WAIT):
                await turn
        except BaseException as error:
            if one in queue.waiting:
                queue.waiting.remove(one)
                self.waiting -= 1
                self._waiting_seats -= work.seats
            elif turn.done() and not turn.cancelled():
                # the seat came in the moment that nobody wanted it any more
                self.release(work, queue)
            else:
                self._dispatch()
            if isinstance(error, TimeoutError):
                raise self._reject("time-out", schema) from None
            self._reject("cancelled", schema)
            raise
        return queue

    def release(self, work: Work = ONE, queue: Queue | None = None) -> None:
        self.executing -= 1
        if queue is not None:
            queue.executing -= 1
            queue.seats -= work.seats
        if work.after:
            asyncio.get_running_loop().call_later(work.after, self._free, work.seats)
        else:
            self._free(work.seats)

    def _free(self, seats: int) -> None:
        self.seats -= seats
        if self.waiting:
            self._dispatch()

    def _count(self, schema: str) -> None:
        self.dispatched += 1
        self.dispatched_of[schema] = self.dispatched_of.get(schema, 0) + 1

    def _reject(self, reason: str, schema: str) -> Rejected:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
        self.rejected_of[schema, reason] = self.rejected_of.get((schema, reason), 0) + 1
        return Rejected(reason)

    def _shortest(self, flow: str) -> Queue:
        hand = deal(flow, len(self.queues), self._hand)
        return self.queues[min(hand, key=lambda i: len(self.queues[i].waiting))]

    def _dispatch(self) -> None:
        while self.waiting:
            queue = min((q for q in self.queues if q.waiting), key=lambda q: q.start)
            one = queue.waiting[0]
            if not one.turn.done() and not self._fits(one.work.seats):
                return
            queue.waiting.popleft()
            self.waiting -= 1
            self._waiting_seats -= one.work.seats
            if one.turn.done():
                continue
            self._virtual = queue.start
            queue.start += one.work.seats
            queue.executing += 1
            queue.seats += one.work.seats
            self.executing += 1
            self._count(one.flow.partition("/")[0])
            self.seats += one.work.seats
            one.turn.set_result(None)


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
