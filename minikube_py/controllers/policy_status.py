"""validatingadmissionpolicy-status-controller: tells in a policy's status what type checking of its expressions found.

Source: pkg/controller/validatingadmissionpolicystatus. CEL and the documents of schemas are loaded with the first policy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.admissionregistration_v1 import ValidatingAdmissionPolicy
from minikube_py.controllers.runner import Controller, Key, Result

if TYPE_CHECKING:
    from minikube_api.cel.types import Type
    from minikube_py.controllers.policy_checking import Checked
    from minikube_py.controllers.policy_types import Document

MANAGER = "validatingadmissionpolicy-status"


class PolicyStatusController(Controller):
    name = "validatingadmissionpolicy-status-controller"
    identity = "validatingadmissionpolicy-status-controller"
    workers = 5

    def setup(self) -> None:
        self._policies = self.informers.informer(ValidatingAdmissionPolicy)
        self._policies.on_add(self.enqueue)
        self._policies.on_update(lambda _old, policy: self.enqueue(policy))

    async def reconcile(self, key: Key) -> Result | None:
        policy = self._policies.get("", key.name)
        if policy is None or (policy.metadata.generation or 0) <= (policy.status.observedGeneration or 0):
            return None
        found = [{"fieldRef": w.fieldRef, "warning": w.warning} for w in await self._warnings(policy)]
        status = {
            "observedGeneration": policy.metadata.generation,
            "typeChecking": {"expressionWarnings": found} if found else {},
        }
        head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
        path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/{key.name}/status"
        body = {**head, "metadata": {"name": key.name}, "status": status}
        await self.client.raw.patch(path, body, type="apply", query={"fieldManager": MANAGER, "force": "true"})
        return None

    async def _warnings(self, policy: ValidatingAdmissionPolicy) -> list[Any]:
        from minikube_py.controllers import policy_checking

        documents: dict[str, Document] = {}
        kinds: dict[str, Checked] = {}
        for rule in policy_checking.named_resources(policy.spec):
            count = 0
            for group, version, resource in rule:
                kind = await self._kind(group, version, resource)
                if kind and count < policy_checking.MOST_KINDS:
                    count += 1
                    found = await self._type(documents, group, version, kind)
                    if found is not None:
                        checked = policy_checking.Checked(_api_version(group, version), kind, found)
                        kinds[str(checked)] = checked
        return policy_checking.warnings(
            policy.spec, [kinds[name] for name in sorted(kinds)], await self._params(documents, policy)
        )

    async def _params(self, documents: dict[str, Document], policy: ValidatingAdmissionPolicy) -> Type | None:
        kind = policy.spec.paramKind
        if kind is None or not kind.kind:
            return None
        group, _, version = (kind.apiVersion or "").rpartition("/")
        return await self._type(documents, group, version, kind.kind)

    async def _kind(self, group: str, version: str, resource: str) -> str:
        """The kind of a resource; "" when nobody serves it."""
        try:
            listed = await self.client.raw.get(f"/{_root(group, version)}")
        except NotFound:
            return ""
        return next((str(r["kind"]) for r in listed.get("resources") or () if r["name"] == resource), "")

    async def _type(self, documents: dict[str, Document], group: str, version: str, kind: str) -> Type | None:
        from minikube_py.controllers.policy_types import Document

        root = _root(group, version)
        if root not in documents:
            try:
                documents[root] = Document(await self.client.raw.get(f"/openapi/v3/{root}"))
            except NotFound:
                return None
        return documents[root].kind(group, version, kind)


def _api_version(group: str, version: str) -> str:
    """As Go prints it: the core group leaves its slash."""
    return f"{group}/{version}"


def _root(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"
