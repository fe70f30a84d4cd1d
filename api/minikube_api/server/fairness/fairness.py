"""Follows FlowSchemas and PriorityLevelConfigurations, gives requests their seats, and keeps the Dangling conditions.

A request's schema is remembered by user, verb and resource: while there are free seats fairness costs it a dictionary look-up and
a counter.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from minikube_api.cache.watching import Change
from minikube_api.meta import times
from minikube_api.server.context import Answer, Object, Request, UserInfo
from minikube_api.server.fairness import dumping, maintenance
from minikube_api.server.fairness.borrowing import PERIOD, adjusted, bounds
from minikube_api.server.fairness.levels import Level
from minikube_api.server.fairness.matching import Schema, schema_of
from minikube_api.server.fairness.work import Work, work_of
from minikube_api.server.health import NOT_FOUND

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS, LEVELS = "flowschemas", "prioritylevelconfigurations"
_MANAGER = "api-priority-and-fairness-config-consumer-v1"
_USER = UserInfo("system:apiserver", groups=("system:masters",))
_REMEMBERED = 4096
#: seconds between looks at the objects that have to be there
MAINTAIN_EVERY = 60.0

#: a request's FlowSchema and priority level
Flow = tuple[Schema, Level]


class Fairness:
    """`total` seats are shared out among the levels. Nothing is limited while there are no FlowSchemas."""

    def __init__(self, server: Server, total: int) -> None:
        self._server = server
        self._total = total
        self._schema_trees: dict[str, Object] = {}
        self._level_trees: dict[str, Object] = {}
        self._schemas: tuple[Schema, ...] = ()
        self.levels: dict[str, Level] = {}
        self._decided: dict[tuple[Any, ...], Flow | None] = {}
        self._namespaces_matter = False
        self._changed = asyncio.Event()

    async def load(self) -> None:
        for plural, trees, follow in (
            (LEVELS, self._level_trees, self._follow_levels),
            (SCHEMAS, self._schema_trees, self._follow_schemas),
        ):
            resource = self._server.registry.get(GROUP, "v1", plural)
            if resource is None:
                return
            cacher = self._server.storage.cacher(resource)
            await cacher.load()
            cacher.listeners.append(follow)
            for entry in cacher.index.span("", None):
                trees[entry.name] = entry.tree()
        self._digest()

    def _follow_levels(self, changes: Sequence[Change]) -> None:
        self._follow(self._level_trees, changes)

    def _follow_schemas(self, changes: Sequence[Change]) -> None:
        self._follow(self._schema_trees, changes)

    def _follow(self, trees: dict[str, Object], changes: Sequence[Change]) -> None:
        for change in changes:
            if change.current is None:
                trees.pop(change.entry.name, None)
            else:
                trees[change.current.name] = change.current.tree()
        self._digest()

    def _digest(self) -> None:
        """Make the configuration objects effective. A level that goes lets its requests end where they are."""
        before, self.levels = self.levels, {}
        for name, tree in self._level_trees.items():
            level = self.levels[name] = before.get(name) or Level(name)
            spec = tree.get("spec") or {}
            queuing = (((spec.get("limited") or {}).get("limitResponse")) or {}).get("queuing") or {}
            level.configure(
                tree["metadata"].get("uid", ""),
                exempt=spec.get("type") == "Exempt",
                queues=queuing.get("queues") or 0,
                hand=queuing.get("handSize") or 0,
                longest=queuing.get("queueLengthLimit") or 0,
            )
        given = bounds(self._level_trees, self._total)
        for name, level in self.levels.items():
            if level.bounds != given[name]:
                level.bounds = given[name]
                level.set_limit(given[name].nominal)
        for name, level in before.items():
            if name not in self.levels and level.waiting:
                level.set_limit(self._total)
        usable = (schema_of(tree) for tree in self._schema_trees.values())
        self._schemas = tuple(sorted((s for s in usable if s.level in self.levels), key=lambda s: (s.precedence, s.name)))
        self._namespaces_matter = any(s.names_namespaces for s in self._schemas)
        self._decided.clear()
        self._changed.set()

    # requests

    def flow(self, request: Request) -> Flow | None:
        """None when nothing is configured for such requests."""
        info, user = request.info, request.user
        if info.is_resource:
            place = info.namespace if self._namespaces_matter else bool(info.namespace)
            key = (user.name, user.groups, info.verb, info.group, info.resource, info.subresource, place)
        else:
            key = (user.name, user.groups, info.verb, request.path)
        try:
            return self._decided[key]
        except KeyError:
            pass
        if len(self._decided) >= _REMEMBERED:
            self._decided.clear()
        schema = next((s for s in self._schemas if s.matches(request)), None)
        found = self._decided[key] = None if schema is None else (schema, self.levels[schema.level])
        return found

    async def dump(self, request: Request) -> Answer:
        """/debug/api_priority_and_fairness/dump_*"""
        return dumping.answer(request, self.levels.values()) or NOT_FOUND

    def work(self, request: Request) -> Work:
        return work_of(request, self._server.registry, self._server.storage)

    def collect(self) -> Iterator[Any]:
        """Metrics, as prometheus_client takes them."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        executing = GaugeMetricFamily(
            "apiserver_flowcontrol_current_executing_requests", "Requests being served.", labels=["priority_level"]
        )
        waiting = GaugeMetricFamily(
            "apiserver_flowcontrol_current_inqueue_requests", "Requests waiting for a seat.", labels=["priority_level"]
        )
        seats = GaugeMetricFamily(
            "apiserver_flowcontrol_nominal_limit_seats", "Seats of a priority level.", labels=["priority_level"]
        )
        limit = GaugeMetricFamily(
            "apiserver_flowcontrol_current_limit_seats", "Seats after lending and borrowing.", labels=["priority_level"]
        )
        in_use = GaugeMetricFamily(
            "apiserver_flowcontrol_current_executing_seats", "Seats of requests being served.", labels=["priority_level"]
        )
        dispatched = CounterMetricFamily(
            "apiserver_flowcontrol_dispatched_requests_total", "Requests let in.", labels=["flow_schema", "priority_level"]
        )
        rejected = CounterMetricFamily(
            "apiserver_flowcontrol_rejected_requests_total",
            "Requests refused.",
            labels=["flow_schema", "priority_level", "reason"],
        )
        for level in self.levels.values():
            executing.add_metric([level.name], level.executing)
            waiting.add_metric([level.name], level.waiting)
            seats.add_metric([level.name], level.bounds.nominal)
            limit.add_metric([level.name], level.limit)
            in_use.add_metric([level.name], level.seats)
            for schema, count in level.dispatched_of.items():
                dispatched.add_metric([schema, level.name], count)
            for (schema, reason), count in level.rejected_of.items():
                rejected.add_metric([schema, level.name, reason], count)
        yield from (executing, waiting, seats, limit, in_use, dispatched, rejected)

    def adjust(self) -> None:
        """Lend and borrow: seats for the next period, by the demand of the last."""
        for name, limit in adjusted({name: level.end_period() for name, level in self.levels.items()}).items():
            level = self.levels[name]
            if level.limit != limit:
                level.set_limit(limit)

    # upkeep

    async def run(self) -> None:
        """Write what FlowSchemas refer to, adjust limits, put back what has to be there; until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_conditions(), name="apiserver-flow-schemas")
            group.create_task(self._keep_adjusting(), name="apiserver-seats")
            group.create_task(self._keep_bootstrapped(), name="apiserver-flow-control-objects")

    async def _keep_adjusting(self) -> None:
        while True:
            await self._server.clock.sleep(PERIOD)
            self.adjust()

    async def _keep_bootstrapped(self) -> None:
        """Mandatory objects are put back, suggested ones as long as they ask for it (documentation, "Maintenance of the Objects")."""
        if not self._server.config.bootstrap:
            return
        while True:
            await self._server.clock.sleep(MAINTAIN_EVERY)
            await maintenance.maintain(self._server, self._schema_trees, self._level_trees)

    async def _write_conditions(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            for tree in list(self._schema_trees.values()):
                await self._settle(tree)

    async def _settle(self, tree: Object) -> None:
        level = ((tree.get("spec") or {}).get("priorityLevelConfiguration") or {}).get("name", "")
        wanted = dangling(level, level in self._level_trees)
        conditions = (tree.get("status") or {}).get("conditions") or []
        before = next((c for c in conditions if c.get("type") == "Dangling"), {})
        if all(before.get(key) == value for key, value in wanted.items()):
            return
        moved = before.get("status") != wanted["status"]
        wanted["lastTransitionTime"] = times.now(self._server.clock) if moved else before["lastTransitionTime"]
        others = [c for c in conditions if c.get("type") != "Dangling"]
        transport = self._server.transport(_USER, "kube-apiserver")
        answer = await transport.request(
            "PATCH",
            f"/apis/{GROUP}/v1/{SCHEMAS}/{tree['metadata']['name']}/status",
            query={"fieldManager": _MANAGER},
            headers={"Content-Type": "application/merge-patch+json"},
            body=orjson.dumps({"status": {"conditions": [*others, wanted]}}),
        )
        if answer.status not in (200, 404):
            log.warning("the condition of FlowSchema %s can't be written: %s", tree["metadata"]["name"], answer.body.decode())


def dangling(level: str, found: bool) -> Object:
    references = f'This FlowSchema references the PriorityLevelConfiguration object named "{level}"'
    if found:
        return {"type": "Dangling", "status": "False", "reason": "Found", "message": f"{references} and it exists"}
    return {"type": "Dangling", "status": "True", "reason": "NotFound", "message": f"{references} but there is no such object"}


def too_many() -> Answer:
    """kube-apiserver's answer to a request that got no seat: plain text, not a Status."""
    headers = {"Retry-After": "1", "X-Content-Type-Options": "nosniff"}
    return Answer(429, b"Too many requests, please try again later.\n", "text/plain; charset=utf-8", headers)
