"""Stands in for the policy plug-ins until there is a policy: CEL is imported with the first one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minikube_api.server.admission.reading import Lister
from minikube_api.server.contract import AdmissionAttributes, AdmissionPlugin, Operation
from minikube_api.server.webhooks.matching import ADMISSION_GROUP

if TYPE_CHECKING:
    from minikube_api.server.server import Server

_KINDS = {"ValidatingAdmissionPolicy": "validatingadmissionpolicies", "MutatingAdmissionPolicy": "mutatingadmissionpolicies"}


class LazyPolicies:
    """One of the two policy plug-ins, by name."""

    def __init__(self, server: Server, lister: Lister, name: str) -> None:
        self.name = name
        self._server = server
        self._lister = lister
        self._plugin: AdmissionPlugin | None = None

    def handles(self, operation: Operation) -> bool:
        return self.name == "ValidatingAdmissionPolicy" or operation in ("CREATE", "UPDATE")

    async def _real(self) -> AdmissionPlugin | None:
        """The plug-in, once there is a policy of its kind."""
        if self._plugin is None:
            resource = self._server.registry.get(ADMISSION_GROUP, "v1", _KINDS[self.name])
            if resource is None:
                return None
            cacher = self._server.storage.cacher(resource)
            await cacher.load()
            if not next(iter(cacher.index.span("", None)), None):
                return None
            self._plugin = self._make()
        return self._plugin

    def _make(self) -> AdmissionPlugin:
        if self.name == "ValidatingAdmissionPolicy":
            from minikube_api.server.admission.policies_validating import ValidatingAdmissionPolicy

            return ValidatingAdmissionPolicy(self._server, self._lister)
        from minikube_api.server.admission.policies_mutating import MutatingAdmissionPolicy

        return MutatingAdmissionPolicy(self._server, self._lister)

    async def admit(self, attributes: AdmissionAttributes) -> None:
        plugin = await self._real()
        if plugin is not None:
            await plugin.admit(attributes)

    async def validate(self, attributes: AdmissionAttributes) -> None:
        plugin = await self._real()
        if plugin is not None:
            await plugin.validate(attributes)
