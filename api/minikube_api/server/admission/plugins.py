"""Kubernetes' default admission plug-ins, made for a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minikube_api.server.admission.reading import Lister
from minikube_api.server.contract import AdmissionPlugin

if TYPE_CHECKING:
    from minikube_api.server.server import Server


def default(server: Server) -> list[AdmissionPlugin]:
    """What kube-apiserver enables by default, as far as it is built; `AdmissionChain` puts them in order."""
    from minikube_api.server.admission.namespace_lifecycle import NamespaceLifecycle

    lister = Lister(server.storage, server.registry)
    return [NamespaceLifecycle(lister)]
