"""ResourceQuota: counts what a write adds against the namespace's quotas, and refuses what exceeds them.

The count is written into the quota's status by compare-and-swap before the object itself; when the write fails after that, the quota
controller's recount puts it right (as in Kubernetes). Dry runs are checked, not counted.
"""

from __future__ import annotations

from minikube_api.meta import quota_usage
from minikube_api.meta.errors import Conflict
from minikube_api.meta.quantities import Quantity, parse
from minikube_api.meta.quota_usage import Usage
from minikube_api.server.admission.reading import Lister, Plugin, forbidden
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes
from minikube_api.server.storage import Changed, Storage

_ATTEMPTS = 20
_ZERO = parse("0")


class ResourceQuota(Plugin):
    name = "ResourceQuota"

    def __init__(self, lister: Lister, storage: Storage) -> None:
        self._lister = lister
        self._storage = storage

    async def validate(self, attributes: AdmissionAttributes) -> None:
        resource = attributes.resource
        if not resource.namespaced or attributes.obj is None or attributes.subresource not in ("", "resize"):
            return
        if attributes.operation == "UPDATE" and attributes.obj["metadata"].get("deletionTimestamp"):
            return
        if not await self._lister.list("", "resourcequotas", attributes.namespace):
            return
        for _ in range(_ATTEMPTS):
            if await self._count(attributes):
                return
        raise Conflict.object("resourcequotas", "", "", "the quotas of the namespace change too fast")

    async def _count(self, attributes: AdmissionAttributes) -> bool:
        """One try over all quotas; False when another write was counted in between."""
        resource, obj = attributes.resource, attributes.obj
        used = quota_usage.usage_of(resource.group, resource.plural, obj)
        before = quota_usage.usage_of(resource.group, resource.plural, attributes.old)
        change = quota_usage.delta(used, before)
        is_pod = resource.plural == "pods" and not resource.group
        decided: list[Object] = []
        quotas = await self._lister.list("", "resourcequotas", attributes.namespace)
        for quota in sorted(quotas, key=lambda quota: quota["metadata"]["name"]):
            if not quota_usage.in_scopes(quota, obj if is_pod else None):
                continue
            new = self._decide(attributes, quota, change, used, is_pod)
            if new is not None:
                decided.append(new)
        if attributes.dry_run:
            return True
        return all([await self._write(quota) for quota in decided])

    def _decide(self, attributes: AdmissionAttributes, quota: Object, change: Usage, used: Usage, is_pod: bool) -> Object | None:
        """The quota with the change counted in; None when it does not concern it. Raises Forbidden."""
        name = quota["metadata"]["name"]
        hard = (quota.get("spec") or {}).get("hard") or {}
        concerned = {key for key in hard if key in used or key in change}
        if is_pod and attributes.operation == "CREATE":
            assert attributes.obj is not None
            lacking = quota_usage.unstated(attributes.obj, hard)
            if lacking:
                listed = "; ".join(f"{key} for: {','.join(containers)}" for key, containers in lacking)
                raise forbidden(attributes, f"failed quota: {name}: must specify {listed}")
        status = quota.get("status") or {}
        stated, counted = status.get("hard") or {}, status.get("used") or {}
        unknown = sorted(key for key in concerned if key not in stated or key not in counted)
        if unknown:
            raise forbidden(attributes, f"status unknown for quota: {name}, resources: {','.join(unknown)}")
        delta = {key: change[key] for key in sorted(concerned) if key in change and not change[key].is_zero()}
        if not delta:
            return None
        exceeded = [
            key for key, value in delta.items() if value.sign() > 0 and parse(str(counted[key])) + value > parse(str(stated[key]))
        ]
        if exceeded:
            parts = (
                ("requested", {key: delta[key] for key in exceeded}),
                ("used", {key: parse(str(counted[key])) for key in exceeded}),
                ("limited", {key: parse(str(stated[key])) for key in exceeded}),
            )
            told = ", ".join(f"{word}: {_listed(values)}" for word, values in parts)
            raise forbidden(attributes, f"exceeded quota: {name}, {told}")
        new_used = dict(counted)
        for key, value in delta.items():
            total = parse(str(counted[key])) + value
            new_used[key] = str(total if total.sign() >= 0 else _ZERO)
        return {**quota, "status": {**status, "used": new_used}}

    async def _write(self, quota: Object) -> bool:
        resource = self._lister.resource("", "resourcequotas")
        assert resource is not None
        meta = quota["metadata"]
        try:
            await self._storage.put(resource, meta["namespace"], meta["name"], quota, expect=int(meta["resourceVersion"]))
        except Changed:
            return False
        return True


def _listed(values: dict[str, Quantity]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(values.items()))
