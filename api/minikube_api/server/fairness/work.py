"""How much work a request is, in seats (KEP-1040, "Width of the request"): lists by what they go through, writes by who watches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minikube_api.resources.resource import Registry
from minikube_api.server.context import Request
from minikube_api.server.storage import Storage

#: the most seats that one request takes
MOST = 10
OBJECTS_PER_SEAT = 100
WATCHERS_PER_SEAT = 10
#: seconds that telling one seat's worth of watchers takes
EVENT_SECONDS = 0.005
_WRITES = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Work:
    """Seats while the request is served, and `after` seconds longer, while its watchers are told."""

    seats: int = 1
    after: float = 0.0


ONE = Work()


def work_of(request: Request, registry: Registry, storage: Storage) -> Work:
    info = request.info
    verb = info.verb
    if verb == "get" or not info.is_resource or info.subresource:
        return ONE
    listing = verb == "list" or (verb == "watch" and request.query.get("sendInitialEvents") == "true")
    if not listing and verb not in _WRITES:
        return ONE
    resource = registry.get(info.group, info.version, info.resource)
    if resource is None or not resource.storage_prefix:
        return ONE
    cacher = storage.cacher(resource)
    if listing:
        return listed(cacher.index.size, request.query.get("limit", ""), named=bool(info.name))
    return written(cacher.watchers)


def listed(objects: int, limit: str, *, named: bool) -> Work:
    if named:
        return ONE
    if limit.isdecimal() and 0 < int(limit) < objects:
        objects = int(limit)
    seats = math.ceil(objects / OBJECTS_PER_SEAT)
    return ONE if seats <= 1 else Work(min(seats, MOST))


def written(watchers: int) -> Work:
    if watchers < WATCHERS_PER_SEAT:
        return ONE
    seats = math.ceil(watchers / WATCHERS_PER_SEAT)
    # more seats than one may have are held for longer
    return Work(min(seats, MOST), EVENT_SECONDS * max(1.0, seats / MOST))
