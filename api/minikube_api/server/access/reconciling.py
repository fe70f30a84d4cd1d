"""The default roles and bindings: created when missing, completed when somebody took something away (auto-reconciliation).

Source: documentation, "Default roles and role bindings" and "Auto-reconciliation"; the facts are those of kube-apiserver 1.36
(`rbac.jsonl`). An object with `rbac.authorization.kubernetes.io/autoupdate: "false"` is left alone. What is missing is written
in one group commit, past admission: these objects are the server's own.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import orjson

from minikube_api.meta import times
from minikube_api.resources.resource import Registry, Resource
from minikube_api.server import tracking
from minikube_api.server.access.rules import Rule, missing
from minikube_api.server.context import Object
from minikube_api.server.metadata import new_uid
from minikube_api.server.storage import Changed, Storage

_FACTS = Path(__file__).with_name("rbac.jsonl")
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_GROUP = "rbac.authorization.k8s.io"
MANAGER = "kube-apiserver"


class DefaultRoles:
    def __init__(self, storage: Storage, registry: Registry, clock: times.Clock, rng: random.Random) -> None:
        self._storage = storage
        self._registry = registry
        self._clock = clock
        self._rng = rng

    async def run(self) -> int:
        """Returns how many objects were written."""
        by_kind = {resource.kind: resource for resource in self._registry if resource.group == _GROUP}
        for resource in by_kind.values():
            await self._storage.cacher(resource).load()
        writes = []
        for line in _FACTS.read_bytes().splitlines():
            wanted = orjson.loads(line)
            resource = by_kind.get(wanted["kind"])
            if resource is not None:
                writes.append(self._ensure(resource, wanted))
        return sum(await asyncio.gather(*writes))

    async def _ensure(self, resource: Resource, wanted: Object) -> bool:
        meta = wanted["metadata"]
        namespace, name = meta.get("namespace", ""), meta["name"]
        entry = await self._storage.cacher(resource).get(namespace, name, "0")
        now = times.now(self._clock)
        if entry is None:
            meta["uid"] = new_uid(self._rng)
            meta["creationTimestamp"] = now
            tracking.track(resource, wanted, None, MANAGER, "", now)
            return await self._put(resource, wanted, 0)
        old = entry.tree()
        made = completed(old, wanted)
        if made is None:
            return False
        tracking.track(resource, made, old, MANAGER, "", now)
        return await self._put(resource, made, entry.revision)

    async def _put(self, resource: Resource, tree: Object, expect: int) -> bool:
        meta = tree["metadata"]
        try:
            await self._storage.put(resource, meta.get("namespace", ""), meta["name"], tree, expect=expect)
        except Changed:
            return False  # another server of this cluster does the same
        return True


def completed(old: Object, wanted: Object) -> Object | None:
    """`old` with what `wanted` has and it lacks; None when it lacks nothing or does not want to be touched. Pure."""
    annotations = old["metadata"].get("annotations") or {}
    if annotations.get(_AUTOUPDATE) == "false":
        return None
    if _contains(old, wanted):
        return None
    made = orjson.loads(orjson.dumps(old))
    changed = _complete_metadata(made["metadata"], wanted["metadata"])
    if "roleRef" in wanted:
        if old.get("roleRef") != wanted["roleRef"]:
            return None
        have = {_subject(subject) for subject in old.get("subjects") or ()}
        lacking = [subject for subject in wanted.get("subjects") or () if _subject(subject) not in have]
        if lacking:
            made["subjects"] = [*(old.get("subjects") or ()), *lacking]
            changed = True
    elif "aggregationRule" in wanted:
        if old.get("aggregationRule") != wanted["aggregationRule"] and not old.get("aggregationRule"):
            made["aggregationRule"] = wanted["aggregationRule"]
            changed = True
    else:
        held = [Rule.of(rule) for rule in old.get("rules") or ()]
        lacking_rules = [rule for rule in wanted.get("rules") or () if missing(held, [Rule.of(rule)])]
        if lacking_rules:
            made["rules"] = [*(old.get("rules") or ()), *lacking_rules]
            changed = True
    return made if changed else None


def _contains(old: Object, wanted: Object) -> bool:
    """The quick answer for an untouched object."""
    if any(old.get(field) != wanted[field] for field in ("roleRef", "subjects", "rules", "aggregationRule") if wanted.get(field)):
        return False
    meta, wanted_meta = old["metadata"], wanted["metadata"]
    return all((meta.get(f) or {}).items() >= (wanted_meta.get(f) or {}).items() for f in ("labels", "annotations"))


def _complete_metadata(meta: dict[str, Any], wanted: dict[str, Any]) -> bool:
    changed = False
    for field in ("labels", "annotations"):
        for key, value in (wanted.get(field) or {}).items():
            if key not in (meta.get(field) or {}):
                meta.setdefault(field, {})[key] = value
                changed = True
    return changed


def _subject(tree: Object) -> tuple[str, str, str, str]:
    return tree.get("kind", ""), tree.get("apiGroup", ""), tree.get("namespace", ""), tree.get("name", "")
