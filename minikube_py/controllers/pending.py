"""Own writes that the cache has not shown yet, by resourceVersion: planning on a cache behind one's own writes would write twice.

For children without a deterministic name (EndpointSlices); where names are deterministic, AlreadyExists and Conflict say the same.
"""

from __future__ import annotations

from typing import Any, Final

from minikube_api.client.informers import Informer
from minikube_api.meta.times import Clock
from minikube_py.controllers.runner import Key, key_of

#: Seconds after which a write counts as seen: its event was missed (deleted before the watch came to it).
TIMEOUT: Final = 30.0
_DELETED: Final = 0


class PendingWrites:
    """Writes by the key of the parent they were made for; the informer's events are given to `observe`."""

    def __init__(self, informer: Informer[Any], clock: Clock) -> None:
        self._informer = informer
        self._clock = clock
        self._pending: dict[Key, dict[Key, tuple[int, float]]] = {}

    def written(self, parent: Key, obj: Any) -> None:
        """`obj` is what the server answered to a create or update."""
        version = int(obj.metadata.resourceVersion)
        current = self._informer.get(*key_of(obj))
        if current is None or int(current.metadata.resourceVersion) < version:  # else its event was quicker than the answer
            self._pending.setdefault(parent, {})[key_of(obj)] = (version, self._clock.monotonic())

    def deleting(self, parent: Key, obj: Any) -> None:
        """To be called before the request: its event may come before the answer."""
        self._pending.setdefault(parent, {})[key_of(obj)] = (_DELETED, self._clock.monotonic())

    def not_deleted(self, parent: Key, obj: Any) -> None:
        """The request failed, or the object was gone already."""
        self._pending.get(parent, {}).pop(key_of(obj), None)

    def observe(self, parent: Key, obj: Any, *, deleted: bool = False) -> bool:
        """An event came. True when it shows a write of one's own, so that nothing new is to be done for it."""
        pending = self._pending.get(parent, {})
        entry = pending.get(key_of(obj))
        if entry is None:
            return False
        version = int(obj.metadata.resourceVersion)
        if deleted or (entry[0] != _DELETED and version >= entry[0]):
            del pending[key_of(obj)]
            if not pending:
                del self._pending[parent]
        return entry[0] == (_DELETED if deleted else version)

    def is_behind(self, parent: Key) -> bool:
        """Whether the cache lacks one of the parent's writes."""
        pending = self._pending.get(parent, {})
        now = self._clock.monotonic()
        for key, (_, since) in list(pending.items()):
            if now - since > TIMEOUT:
                del pending[key]
        if not pending:
            self._pending.pop(parent, None)
        return bool(pending)
