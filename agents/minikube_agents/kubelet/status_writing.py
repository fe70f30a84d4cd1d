"""Writes pod statuses to the API: only what changed, the newest state wins, one write a pod at a time.

When a pod that is being deleted has ended, its last status goes first and then the pod itself (grace 0, same uid).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from minikube_agents.kubelet.pods import PodKey
from minikube_agents.kubelet.statuses import OWNED_CONDITIONS, RESIZE_CONDITIONS, Tree
from minikube_api.client.client import Client
from minikube_api.meta.errors import Conflict, NotFound, StatusError
from minikube_api.meta.times import Clock
from minikube_api.schema import typed
from minikube_api.schema.typed import core_v1 as v1

log = logging.getLogger(__name__)

#: fields that a kubelet writes; what is absent from a new status is removed if it was there
OWNED = (
    "observedGeneration", "phase", "reason", "message", "hostIP", "hostIPs", "podIP", "podIPs", "startTime", "qosClass",
    "initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses", "resize", "allocatedResources", "resources",
)  # fmt: skip


@dataclass(slots=True)
class _Entry:
    key: PodKey
    wanted: Tree
    known: Tree
    delete: bool = False
    task: asyncio.Task[None] | None = None
    written: asyncio.Event = field(default_factory=asyncio.Event)


def owned_part(pod: v1.Pod) -> Tree:
    """What the API holds now, as far as a kubelet writes it."""
    status = typed.tree(pod.status)
    part = {name: status[name] for name in OWNED if name in status}
    part["conditions"] = [c for c in status.get("conditions", ()) if c["type"] in (*OWNED_CONDITIONS, *RESIZE_CONDITIONS)]
    return part


def difference(known: Tree, wanted: Tree) -> Tree:
    """The strategic merge patch of `status` that leads from `known` to `wanted`; empty when they are equal."""
    patch: Tree = {}
    for name in OWNED:
        before, after = known.get(name), wanted.get(name)
        if before == after:
            continue
        if name in ("podIPs", "hostIPs") and before:
            patch[name] = [{"$patch": "replace"}, *(after or [])]
        else:
            patch[name] = after
    before_conditions = {c["type"]: c for c in known.get("conditions", ())}
    changed: list[Any] = [c for c in wanted["conditions"] if before_conditions.get(c["type"]) != c]
    present = {c["type"] for c in wanted["conditions"]}
    changed += [{"type": kind, "$patch": "delete"} for kind in before_conditions if kind not in present]
    for condition in changed:
        # A field that left a condition must be named, or the merge keeps it.
        for gone in set(before_conditions.get(condition["type"], ())) - set(condition) - {"$patch"}:
            if "$patch" not in condition:
                condition[gone] = None
    if changed:
        patch["conditions"] = changed
    return patch


class StatusWriter:
    def __init__(self, client: Client, group: asyncio.TaskGroup, clock: Clock, wake: Callable[[str], None]) -> None:
        self._client = client
        self._group = group
        self._clock = clock
        self._wake = wake
        self._entries: dict[str, _Entry] = {}
        #: how many patches were sent; for metrics and tests
        self.patches = 0

    def set(self, pod: v1.Pod, status: Tree, *, delete: bool = False) -> None:
        """The pod's status is this from now on. `delete`: remove the pod once it is written."""
        uid = pod.metadata.uid
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(PodKey(pod.metadata.namespace, pod.metadata.name), status, owned_part(pod))
        entry.wanted = status
        entry.delete = entry.delete or delete
        if entry.task is None and (delete or difference(entry.known, status)):
            name = f"kubelet: status of {entry.key.namespace}/{entry.key.name}"
            entry.task = self._group.create_task(self._write(uid, entry), name=name)

    def last(self, uid: str) -> Tree | None:
        """The status last set."""
        entry = self._entries.get(uid)
        return None if entry is None else entry.wanted

    def forget(self, uid: str) -> None:
        """The pod has gone from the API."""
        self._entries.pop(uid, None)

    async def quiet(self) -> None:
        """Return once nothing is being written (for tests and for an orderly stop)."""
        while tasks := [entry.task for entry in self._entries.values() if entry.task is not None]:
            await asyncio.wait(tasks)

    async def _write(self, uid: str, entry: _Entry) -> None:
        delay = 0.1
        try:
            while self._entries.get(uid) is entry:
                try:
                    if not await self._step(uid, entry):
                        return
                    delay = 0.1
                except (StatusError, OSError) as error:
                    log.warning("status of pod %s/%s: %s", *entry.key, error)
                    await self._clock.sleep(delay)
                    delay = min(delay * 2, 10.0)
        finally:
            entry.task = None

    async def _step(self, uid: str, entry: _Entry) -> bool:
        """One write; False when there is nothing more to do."""
        wanted = entry.wanted
        patch = difference(entry.known, wanted)
        try:
            if patch:
                self.patches += 1
                body = {"metadata": {"uid": uid}, "status": patch}
                await self._client.patch(
                    v1.Pod, entry.key.name, body, namespace=entry.key.namespace, type="strategic", subresource="status"
                )
                entry.known = wanted
                return True
            if entry.delete:
                entry.delete = False
                await self._client.delete(v1.Pod, entry.key.name, namespace=entry.key.namespace, uid=uid, grace_period_seconds=0)
        except (NotFound, Conflict) as error:
            # Gone, or another pod of that name: nobody wants this status any more.
            log.debug("status of pod %s/%s: %s", *entry.key, error)
            self._wake(uid)
        return False
