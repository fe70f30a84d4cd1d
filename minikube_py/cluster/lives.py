"""The lives of an all-in-one cluster's components: each ends alone and is started anew, as a process or a static pod would be.

A *unit* is a component on a node ("" = of no node). Each life of it has a task group of its own, so an unexpected exception takes down this
one component, whatever tasks it had made; it is logged with its traceback, told to `minictl status`, and the next life begins after
a back-off. A unit that never became ready is different: then the start of the cluster has failed, and the caller must know.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from minikube_api.meta.times import SYSTEM, Clock
from minikube_py.cluster.components import Ready
from minikube_py.cluster.reporting import StateFile

log = logging.getLogger(__name__)

#: seconds
FIRST_DELAY, LAST_DELAY = 1.0, 30.0
#: seconds; a component that lived this long starts with the first delay again
STEADY = 60.0

#: (component, node, the life's group) -> what to wait for until it is ready
Start = Callable[[str, str, asyncio.TaskGroup], Awaitable[Ready]]


def next_delay(before: float, lived: float) -> float:
    """Seconds until the next life, after a life of `lived` seconds that had begun `before` seconds late (0: the first one)."""
    return FIRST_DELAY if not before or lived > STEADY else min(before * 2, LAST_DELAY)


@dataclass(eq=False)
class Unit:
    component: str
    node: str
    restarts: int = 0
    #: its tasks and sockets exist
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    #: it was ready once, in this life or an earlier one
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return f"{self.component} {self.node}".strip()


class Ended(Exception):
    """A component's tasks all returned: nothing of it runs any more."""


class Lives:
    """Looks after units in tasks of `group`; a failure before a unit was ready once is raised there."""

    def __init__(self, start: Start, group: asyncio.TaskGroup, state: StateFile, *, clock: Clock = SYSTEM) -> None:
        self._start, self._group, self._state, self._clock = start, group, state, clock
        self.units: list[Unit] = []

    async def begin(self, component: str, node: str) -> Ready:
        """Start a unit; returns, once it has begun, what to wait for until it is ready."""
        unit = Unit(component, node)
        self.units.append(unit)
        self._look_after(unit)
        await unit.begun.wait()
        return unit.ready.wait

    async def pause(self, units: Iterable[Unit]) -> None:
        """End these for now; returns when nothing of them runs."""
        tasks = [unit.task for unit in units if unit.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def resume(self, units: Iterable[Unit]) -> None:
        for unit in units:
            self._look_after(unit)

    def _look_after(self, unit: Unit) -> None:
        unit.task = self._group.create_task(self._live_again_and_again(unit), name=f"life of {unit.name}")

    async def _live_again_and_again(self, unit: Unit) -> None:
        delay = 0.0
        while True:
            began = self._clock.monotonic()
            try:
                await self._live(unit)
                raise Ended(f"{unit.name} ended by itself")
            except Exception as error:
                if not unit.ready.is_set():
                    raise
                delay = next_delay(delay, self._clock.monotonic() - began)
                log.exception("%s failed; again in %.0f s", unit.name, delay)
                unit.restarts += 1
                self._state.restarted(unit.name, unit.restarts, sentence(error))
            await self._clock.sleep(delay)

    async def _live(self, unit: Unit) -> None:
        async with asyncio.TaskGroup() as life:
            ready = await self._start(unit.component, unit.node, life)
            unit.begun.set()
            await ready()
            unit.ready.set()


def sentence(error: BaseException) -> str:
    """The first cause inside an exception group, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
