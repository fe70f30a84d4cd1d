"""ResourceQuota controller: counts what a namespace uses, and writes it in the quotas' status.

Admission counts what each write adds before the object is stored (`server.admission.quota`); this controller counts what is there: at first,
when something goes or shrinks, and every five minutes, since a write that was counted may have failed after it. Source: pkg/controller/resourcequota.
Objects that only count by their number are followed by their metadata, and only while a quota asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from minikube_api.client.informers import Informer
from minikube_api.meta import quota_usage
from minikube_api.meta.errors import NotFound
from minikube_api.meta.quantities import parse
from minikube_api.schema.typed.core_v1 import PersistentVolumeClaim, Pod, ResourceQuota, ResourceQuotaStatus, Service
from minikube_py.controllers import discovery, pods
from minikube_py.controllers.runner import Context, Controller, Key, Result

#: Seconds between full counts.
RESYNC: Final = 300.0
#: Kinds whose share depends on more than their being there.
_WHOLE: Final[dict[tuple[str, str], Any]] = {
    ("", "pods"): Pod,
    ("", "services"): Service,
    ("", "persistentvolumeclaims"): PersistentVolumeClaim,
}
_ZERO = parse("0")


def used_of(quota: dict[str, Any], objects: Iterable[tuple[str, str, dict[str, Any]]]) -> dict[str, str]:
    """`status.used` for objects given as (group, plural, tree). Pure; agrees with what admission counts."""
    hard = quota["spec"].get("hard") or {}
    totals = dict.fromkeys(hard, _ZERO)
    for group, plural, tree in objects:
        is_pod = (group, plural) == ("", "pods")
        if not quota_usage.in_scopes(quota, tree if is_pod else None):
            continue
        for name, value in quota_usage.usage_of(group, plural, tree).items():
            if name in totals:
                totals[name] += value
    return {name: str(value) for name, value in totals.items()}


class ResourceQuotaController(Controller):
    name = "resourcequota-controller"
    identity = "resourcequota-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._followed: dict[tuple[str, str], Informer[Any]] = {}

    def setup(self) -> None:
        self._quotas = self.informers.informer(ResourceQuota)
        self._quotas.on_add(self.enqueue)
        self._quotas.on_update(self._quota_updated)

    def _quota_updated(self, old: ResourceQuota, new: ResourceQuota) -> None:
        if old.spec != new.spec or new.status.hard != new.spec.hard:
            self.enqueue(new)

    def _recount(self, obj: Any) -> None:
        for quota in self._quotas.list(obj.metadata.namespace):
            self.enqueue(quota)

    def _updated(self, old: Any, new: Any) -> None:
        """Only what may free something: growth was counted by admission."""
        if isinstance(new, Pod):
            if pods.is_terminal(old) != pods.is_terminal(new) or old.spec != new.spec:
                self._recount(new)
        elif old.spec != new.spec:
            self._recount(new)

    async def _follow(self, kind: tuple[str, str]) -> Informer[Any] | None:
        """The synced informer of a kind; None when the server has no such kind."""
        if kind not in self._followed:
            if kind in _WHOLE:
                informer = self.informers.informer(_WHOLE[kind])
                informer.on_update(self._updated)
            else:
                found = (await discovery.discover(self.client.raw)).preferred(("list", "watch"))
                resource = next((r for r in found if (r.group, r.plural) == kind and r.namespaced), None)
                if resource is None:
                    return None
                informer = self.informers.metadata_informer(resource.path())
            informer.on_delete(self._recount)
            self._followed[kind] = informer
        informer = self._followed[kind]
        await informer.synced()
        return informer

    async def reconcile(self, key: Key) -> Result | None:
        quota = self._quotas.get(*key)
        if quota is None or quota.metadata.deletionTimestamp is not None:
            return None
        objects: list[tuple[str, str, dict[str, Any]]] = []
        unknown: set[tuple[str, str]] = set()
        for kind in sorted({quota_usage.kind_of(name) for name in quota.spec.hard}):
            informer = await self._follow(kind)
            if informer is None:
                unknown.add(kind)
                continue
            objects += ((*kind, msgspec.to_builtins(obj)) for obj in informer.list(key.namespace))
        used = used_of(msgspec.to_builtins(quota), objects)
        used = {name: value for name, value in used.items() if quota_usage.kind_of(name) not in unknown}
        status = ResourceQuotaStatus(hard=quota.spec.hard, used=used)
        if status != quota.status:
            try:
                await self.client.update_status(replace(quota, status=status))
            except NotFound:
                return None  # deleted meanwhile
        return Result(RESYNC)
