"""What every controller shares: keys, results, and the runner that owns workers, back-off, metrics, events and stopping.

A controller is a class with `setup()` (informers -> handlers that only enqueue keys) and `reconcile(key)`. Outcomes are a closed set:
done (`None` or `Result()`), again later (`Result(requeue_after=...)`), given up until something changes (`TerminalError`), any other
error = again with exponential back-off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple

from minikube_api.client.client import Client
from minikube_api.client.events import EventRecorder
from minikube_api.client.informers import InformerFactory
from minikube_api.client.queue import ShutDown, WorkQueue
from minikube_api.meta.errors import AlreadyExists, Conflict, Forbidden, NotFound, StatusError
from minikube_api.meta.times import SYSTEM, Clock

log = logging.getLogger(__name__)


#: Seconds a child that events of large sets are collected for.
PACE: Final = 50e-6
MAX_PACE: Final = 1.0
PACED_SIZE: Final = 200


class Key(NamedTuple):
    """What queues hold. `namespace` is "" for cluster-scoped objects."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: Any) -> Key:
    return Key(obj.metadata.namespace or "", obj.metadata.name)


@dataclass(frozen=True, slots=True)
class Result:
    """`requeue_after` in seconds; None: nothing to do until something changes."""

    requeue_after: float | None = None


class TerminalError(Exception):
    """Trying again can't help until the object changes."""


@dataclass(slots=True)
class Metrics:
    """Counts of one controller, as controller-runtime names them."""

    reconciles: int = 0
    errors: int = 0
    terminal_errors: int = 0
    requeues: int = 0
    active: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class Context:
    """What a controller is given. `client` has the controller's own identity; informers are shared by all controllers."""

    client: Client
    informers: InformerFactory
    options: Any
    clock: Clock = SYSTEM
    recorder: EventRecorder = field(default=None)  # type: ignore[assignment]


class Controller:
    """Base of the controllers. Subclasses set `name` (Kubernetes' name for --controllers), `identity` (their service account)."""

    name: ClassVar[str]
    identity: ClassVar[str]
    component: ClassVar[str] = ""
    workers: ClassVar[int] = 5

    def __init__(self, context: Context) -> None:
        self.client = context.client
        self.informers = context.informers
        self.options = context.options
        self.clock = context.clock
        self.recorder = context.recorder
        self.queue: WorkQueue[Key] = WorkQueue(context.clock, name=self.name)
        self.metrics = Metrics()

    def setup(self) -> None:
        """Ask for informers, add indexes and handlers. Called once, before the informers run."""
        raise NotImplementedError

    async def reconcile(self, key: Key) -> Result | None:
        raise NotImplementedError

    async def background(self) -> None:
        """Work beside the queue (periodic scans); runs once the caches are synced, until cancelled."""

    def enqueue(self, obj: Any) -> None:
        self.queue.add(key_of(obj))

    def enqueue_paced(self, key: Key, size: int) -> None:
        """Enqueue after an event of one of `size` children. A reconcile costs time in proportion to them, so that a thousand events of
        a thousand children would cost a million: large sets collect events for a moment (1,000 children: 50 ms, at most a second).
        """
        self.queue.add_after(key, min(size * PACE, MAX_PACE) if size >= PACED_SIZE else 0.0)


class Runner:
    """Runs one controller: waits for the caches, then `workers` workers; when cancelled, work under way is cancelled too."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    async def run(self) -> None:
        controller = self._controller
        await controller.informers.synced()
        async with asyncio.TaskGroup() as group:
            for n in range(controller.workers):
                group.create_task(self._work(), name=f"{controller.name} worker {n}")
            group.create_task(controller.background(), name=f"{controller.name} background")
            group.create_task(controller.recorder.run(), name=f"{controller.name} events")

    async def _work(self) -> None:
        queue = self._controller.queue
        while True:
            try:
                key = await queue.get()
            except ShutDown:
                return
            try:
                await self._reconcile(key)
            finally:
                queue.done(key)

    async def _reconcile(self, key: Key) -> None:
        controller, metrics = self._controller, self._controller.metrics
        metrics.reconciles += 1
        metrics.active += 1
        started = controller.clock.monotonic()
        try:
            result = await controller.reconcile(key)
        except TerminalError as error:
            metrics.terminal_errors += 1
            controller.queue.forget(key)
            log.error("%s: %s: %s", controller.name, key, error)
        except Exception as error:
            metrics.errors += 1
            controller.queue.add_rate_limited(key)
            _log_failure(controller.name, key, error)
        else:
            controller.queue.forget(key)
            if result is not None and result.requeue_after is not None:
                metrics.requeues += 1
                controller.queue.add_after(key, result.requeue_after)
        finally:
            metrics.active -= 1
            metrics.seconds += controller.clock.monotonic() - started


def _log_failure(name: str, key: Key, error: Exception) -> None:
    if isinstance(error, (Conflict, AlreadyExists, NotFound)):
        log.debug("%s: %s: %s; trying again", name, key, error)  # a cache was behind: ordinary
    elif isinstance(error, (StatusError, OSError)):
        log.warning("%s: %s: %s", name, key, error)
    else:
        log.exception("%s: %s failed", name, key, exc_info=error)


def namespace_terminating(error: StatusError) -> bool:
    """Whether a create was refused because its namespace is going away: no use in trying again."""
    causes = (error.details or {}).get("causes") or ()
    return isinstance(error, Forbidden) and any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


async def slow_start(count: int, create: Callable[[], Awaitable[None]], *, initial: int = 1) -> tuple[int, Exception | None]:
    """Call `create` `count` times in batches that double (1, 2, 4...) and stop after a batch with an error.

    So a quota that refuses everything is asked once, not five hundred times. Gives (successes, first error).
    """
    remaining, successes, batch = count, 0, min(count, initial)
    while batch > 0:
        results = await gather(*(create() for _ in range(batch)))
        failed = [error for error in results if error is not None]
        successes += batch - len(failed)
        if failed:
            return successes, failed[0]
        remaining -= batch
        batch = min(2 * batch, remaining)
    return successes, None


async def gather(*work: Awaitable[None]) -> list[Exception | None]:
    """Run all to their end; the errors of those that failed, in order."""
    results = await asyncio.gather(*work, return_exceptions=True)
    errors: list[Exception | None] = []
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
        errors.append(result)
    return errors
