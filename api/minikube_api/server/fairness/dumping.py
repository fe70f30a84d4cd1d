"""/debug/api_priority_and_fairness: the state of levels, queues and waiting requests as tables of text (documentation, "Debug endpoints")."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from minikube_api.meta import times
from minikube_api.server.context import Answer, Request
from minikube_api.server.fairness.levels import Level

_LEVELS = (
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests", "ExecutingRequests", "DispatchedRequests",
    "RejectedRequests", "TimedoutRequests", "CancelledRequests",
)  # fmt: skip
_QUEUES = (
    "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse", "NextDispatchR", "InitialSeatsSum",
    "MaxSeatsSum", "TotalWorkSum",
)  # fmt: skip
_REQUESTS = (
    "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue", "FlowDistingsher", "ArriveTime", "InitialSeats",
    "FinalSeats", "AdditionalLatency", "StartTime",
)  # fmt: skip
_DETAILS = ("UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource")


def levels(shown: Iterable[Level]) -> Answer:
    rows: list[tuple[object, ...]] = []
    for level in _sorted(shown):
        if level.exempt:
            rows.append((level.name, "<none>", "<none>", "<none>", "<none>", "<none>", level.dispatched, 0, 0, 0))
            continue
        idle = not level.executing and not level.waiting
        rejected = level.rejected
        rows.append(
            (
                level.name, sum(bool(queue.waiting) for queue in level.queues), _go(idle), "false", level.waiting,
                level.executing, level.dispatched, rejected.get("queue-full", 0) + rejected.get("concurrency-limit", 0),
                rejected.get("time-out", 0), rejected.get("cancelled", 0),
            )
        )  # fmt: skip
    return _table(_LEVELS, rows)


def queues(shown: Iterable[Level]) -> Answer:
    rows = []
    for level in _sorted(shown):
        for i, queue in enumerate(level.queues):
            seats = sum(waiting.work.seats for waiting in queue.waiting)
            total = sum(waiting.work.seats * (1 + waiting.work.after) for waiting in queue.waiting)
            rows.append(
                (
                    level.name, i, len(queue.waiting), queue.executing, queue.seats, f"{queue.start:.8f}ss", seats, seats,
                    f"{total:.8f}ss",
                )
            )  # fmt: skip
    return _table(_QUEUES, rows)


def requests(shown: Iterable[Level], *, details: bool) -> Answer:
    rows = []
    for level in _sorted(shown):
        for i, queue in enumerate(level.queues):
            for place, waiting in enumerate(queue.waiting):
                schema, _, flow = waiting.flow.partition("/")
                arrived = times.format_micro(waiting.arrived)
                work = waiting.work
                row: list[object] = [level.name, schema, i, place, flow, arrived, work.seats, 0, f"{work.after:g}s", ""]
                if details and waiting.request is not None:
                    info = waiting.request.info
                    row += [waiting.request.user.name, info.verb, info.path, info.namespace, info.name]
                    row += [info.api_version if info.is_resource else "", info.resource, info.subresource]
                rows.append(tuple(row))
    return _table((*_REQUESTS, *(_DETAILS if details else ())), rows)


def answer(request: Request, shown: Iterable[Level]) -> Answer | None:
    """The answer for a path below /debug/api_priority_and_fairness; None when there is none."""
    name = request.path.rstrip("/").rpartition("/")[2]
    if name == "dump_priority_levels":
        return levels(shown)
    if name == "dump_queues":
        return queues(shown)
    if name == "dump_requests":
        return requests(shown, details=request.query.get("includeRequestDetails") not in (None, "", "0", "false"))
    return None


PATHS = tuple(f"/debug/api_priority_and_fairness/dump_{name}" for name in ("priority_levels", "queues", "requests"))


def _sorted(shown: Iterable[Level]) -> list[Level]:
    return sorted(shown, key=lambda level: level.name)


def _go(value: bool) -> str:
    return "true" if value else "false"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Answer:
    """Columns of equal width, a comma after each cell, as Go's tabwriter lays them out."""
    lines = [tuple(head), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(line[i]) for line in lines if i < len(line)) + 2 for i in range(len(head))]
    text = ""
    for line in lines:
        cells = [(cell + ("," if i < len(line) - 1 else "")).ljust(widths[i]) for i, cell in enumerate(line)]
        text += "".join(cells).rstrip() + "\n"
    return Answer(200, text.encode(), "text/plain; charset=utf-8", {"X-Content-Type-Options": "nosniff"})
