"""Priority: a pod's priority and preemption policy come from its PriorityClass; there is one global default at most."""

from __future__ import annotations

from minikube_api.server.admission.reading import Lister, Plugin, forbidden, is_kind, is_pod
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes

GROUP = "scheduling.k8s.io"
_DEFAULT_POLICY = "PreemptLowerPriority"


class Priority(Plugin):
    name = "Priority"

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, attributes: AdmissionAttributes) -> None:
        pod = attributes.obj
        if not is_pod(attributes) or pod is None:
            return
        spec = pod["spec"]
        if attributes.operation == "UPDATE":
            old = (attributes.old or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and old.get(field) is not None:
                    spec[field] = old[field]
            return
        name = spec.get("priorityClassName", "")
        if name:
            found = await self._lister.get(GROUP, "priorityclasses", "", name)
            if found is None:
                raise forbidden(attributes, f"no PriorityClass with name {name} was found")
        else:
            found = await self._default()
            if found is not None:
                spec["priorityClassName"] = found["metadata"]["name"]
        value = 0 if found is None else found.get("value", 0)
        policy = _DEFAULT_POLICY if found is None else found.get("preemptionPolicy") or _DEFAULT_POLICY
        given = spec.get("priority")
        if given is not None and given != value:
            raise forbidden(
                attributes,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        spec["priority"] = value
        given_policy = spec.get("preemptionPolicy")
        if given_policy is not None and given_policy != policy:
            raise forbidden(
                attributes,
                f"the string value of PreemptionPolicy ({given_policy}) must not be provided in pod spec; "
                f"priority admission controller computed {policy} from the given PriorityClass name",
            )
        spec["preemptionPolicy"] = policy

    async def _default(self) -> Object | None:
        """The class with globalDefault; should several have it, the one of the lowest value."""
        classes = [c for c in await self._lister.list(GROUP, "priorityclasses") if c.get("globalDefault")]
        return min(classes, key=lambda c: c.get("value", 0), default=None)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        if not is_kind(attributes, GROUP, "priorityclasses") or attributes.obj is None or not attributes.obj.get("globalDefault"):
            return
        for other in await self._lister.list(GROUP, "priorityclasses"):
            name = other["metadata"]["name"]
            if other.get("globalDefault") and name != attributes.obj["metadata"].get("name"):
                raise forbidden(attributes, f"PriorityClass {name} is already marked as default. Only one default can exist")
