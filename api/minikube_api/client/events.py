"""`EventRecorder`: tells what happened to an object as core/v1 Events, in the form `kubectl describe` shows.

`event()` returns at once; `run()` writes in the background, correlated as client-go does (`correlation`). When a thousand wait
already (the server is away), new ones are dropped: events are a best effort and must never hold up their component.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

from minikube_api.client import objects, paths
from minikube_api.client.client import Client
from minikube_api.client.correlation import Correlated, Correlator, Occurrence, Written
from minikube_api.meta import times
from minikube_api.meta.errors import NotFound, StatusError
from minikube_api.meta.times import SYSTEM, Clock
from minikube_api.schema.typed import Object
from minikube_api.schema.typed.core_v1 import Event, EventSource, ObjectReference
from minikube_api.schema.typed.meta_v1 import ObjectMeta

log = logging.getLogger(__name__)

QUEUE: Final = 1000
#: client-go: twelve tries, ten seconds apart, when the server can't be reached
TRIES: Final = 12
RETRY_SECONDS: Final = 10.0

EventType = Literal["Normal", "Warning"]


def reference(obj: Object | ObjectReference | Mapping[str, Any]) -> ObjectReference:
    """The reference that an event (or a binding) carries to `obj`: a typed object or a JSON tree with apiVersion and kind."""
    if isinstance(obj, ObjectReference):
        return obj
    if isinstance(obj, Mapping):
        meta = obj["metadata"]
        return ObjectReference(
            apiVersion=obj["apiVersion"],
            kind=obj["kind"],
            name=meta["name"],
            namespace=meta.get("namespace"),
            uid=meta.get("uid"),
            resourceVersion=meta.get("resourceVersion"),
        )
    metadata: ObjectMeta = obj.metadata  # type: ignore[attr-defined]
    return ObjectReference(
        apiVersion=obj.API.api_version,
        kind=obj.API.kind,
        name=metadata.name,
        namespace=metadata.namespace or None,
        uid=metadata.uid or None,
        resourceVersion=metadata.resourceVersion or None,
    )


class EventRecorder:
    """The events of one component. `host` is the node's name for agents of a node."""

    def __init__(
        self,
        client: Client,
        component: str,
        *,
        host: str = "",
        clock: Clock = SYSTEM,
        correlator: Correlator | None = None,
    ) -> None:
        self._client = client
        self._component = component
        self._host = host
        self._clock = clock
        self._correlator = correlator or Correlator()
        self._waiting: asyncio.Queue[Occurrence] = asyncio.Queue(QUEUE)
        self._stamp = 0
        self.dropped = 0

    def event(
        self,
        obj: Object | ObjectReference | Mapping[str, Any],
        type: EventType,
        reason: str,
        message: str,
        *,
        annotations: Mapping[str, str] | None = None,
        field_path: str = "",
    ) -> None:
        """Say that `reason` happened to `obj`. `field_path` names a part: `spec.containers{web}`."""
        involved = reference(obj)
        if field_path:
            import msgspec

            involved = msgspec.structs.replace(involved, fieldPath=field_path)
        occurrence = Occurrence(
            involved, type, reason, message, self._component, self._host, self._clock.time(), dict(annotations or {})
        )
        try:
            self._waiting.put_nowait(occurrence)
        except asyncio.QueueFull:
            self.dropped += 1
            log.warning("dropped event %s of %s %s: too many are waiting", reason, involved.kind, involved.name)

    async def run(self) -> None:
        """Write events until cancelled. What waits then is lost."""
        while True:
            occurrence = await self._waiting.get()
            try:
                await self._write(occurrence)
            finally:
                self._waiting.task_done()

    async def flushed(self) -> None:
        """Return once everything told so far has been written or given up. Needs `run` to be running."""
        await self._waiting.join()

    async def _write(self, occurrence: Occurrence) -> None:
        correlated = self._correlator.correlate(occurrence)
        if correlated is None:
            return
        for attempt in range(TRIES):
            try:
                await self._write_once(occurrence, correlated)
                return
            except StatusError as error:
                # Refusals are final; "namespace is being terminated" is ordinary at the end of a namespace's life.
                level = logging.DEBUG if "being terminated" in error.message else logging.WARNING
                log.log(level, "event %s of %s rejected: %s", occurrence.reason, occurrence.involved.name, error)
                return
            except OSError as error:
                log.warning("unable to write event (try %d): %s", attempt + 1, error)
                await self._clock.sleep(RETRY_SECONDS)

    async def _write_once(self, occurrence: Occurrence, correlated: Correlated) -> None:
        known = correlated.known
        if known is not None:
            try:
                await self._count(occurrence, correlated, known)
                return
            except NotFound:
                log.debug("event %s has expired; writing a new one", known.name)
        count = known.count + 1 if known is not None else 1
        first = known.first if known is not None else occurrence.at
        # Nanoseconds, as client-go names events; counted on when the clock did not move between two of them.
        self._stamp = max(self._stamp + 1, int(self._clock.time() * 1e9))
        name = f"{occurrence.involved.name}.{self._stamp:x}"
        event = event_object(occurrence, correlated.message, name, count, first)
        made = await self._client.create(event)
        self._correlator.written(correlated.key, Written(made.metadata.name, made.metadata.namespace or "", count, first))

    async def _count(self, occurrence: Occurrence, correlated: Correlated, known: Written) -> None:
        count = known.count + 1
        body = {
            "count": count,
            "lastTimestamp": times.format_time(occurrence.at),
            "message": correlated.message,
            "firstTimestamp": times.format_time(known.first),
        }
        path = paths.kind_path(Event.API, namespace=known.namespace, name=known.name)
        await self._client.raw.patch(path, objects.encode(body), type="strategic")
        known.count = count


def event_object(occurrence: Occurrence, message: str, name: str, count: int, first: float) -> Event:
    """The Event to create. Cluster-scoped objects have theirs in `default`."""
    namespace = occurrence.involved.namespace or "default"
    return Event(
        metadata=ObjectMeta(name=name, namespace=namespace, annotations=occurrence.annotations),
        involvedObject=occurrence.involved,
        type=occurrence.type,
        reason=occurrence.reason,
        message=message,
        count=count,
        firstTimestamp=times.format_time(first),
        lastTimestamp=times.format_time(occurrence.at),
        source=EventSource(component=occurrence.component, host=occurrence.host or None),
        reportingComponent=occurrence.component,
        reportingInstance=occurrence.host,
    )
