"""NamespaceLifecycle: nothing is made in a namespace that is missing or being deleted; three namespaces can't be deleted."""

from __future__ import annotations

from minikube_api.meta.errors import Forbidden, NotFound
from minikube_api.server.admission.reading import Lister, Plugin, forbidden
from minikube_api.server.contract import AdmissionAttributes, Operation

_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
#: kinds that may be made anywhere at any time
_REVIEWS = frozenset({"localsubjectaccessreviews"})


class NamespaceLifecycle(Plugin):
    name = "NamespaceLifecycle"
    operations: frozenset[Operation] = frozenset({"CREATE", "UPDATE", "DELETE"})

    def __init__(self, lister: Lister) -> None:
        self._lister = lister

    async def admit(self, attributes: AdmissionAttributes) -> None:
        resource, name, namespace = attributes.resource, attributes.name, attributes.namespace
        if resource.group == "" and resource.plural == "namespaces":
            if attributes.operation == "DELETE" and name in _IMMORTAL:
                raise Forbidden(
                    f'namespaces "{name}" is forbidden: this namespace may not be deleted',
                    details={"name": name, "kind": "namespaces"},
                )
            return
        if not namespace or not resource.namespaced or attributes.operation == "DELETE" or resource.plural in _REVIEWS:
            return
        found = await self._lister.get("", "namespaces", "", namespace)
        if found is None:
            raise NotFound.object("namespaces", namespace)
        if attributes.operation != "CREATE" or (found.get("status") or {}).get("phase") != "Terminating":
            return
        error = forbidden(attributes, f"unable to create new content in namespace {namespace} because it is being terminated")
        cause = {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
        raise Forbidden(error.message, details={**(error.details or {}), "causes": [cause]})
