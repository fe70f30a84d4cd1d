"""What a pod refers to, as the ServiceAccount admission sees it: secrets an account must list, and what mirror pods may not name. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minikube_api.server.access.nodes import references
from minikube_api.server.context import Object

#: (field of the spec, how it is called)
CONTAINERS = (("initContainers", "init container"), ("containers", "container"))
EPHEMERAL = (("ephemeralContainers", "ephemeral container"),)
_KINDS = {"secrets": "secret", "configmaps": "configmap"}


def refers_to(spec: Object, what: str) -> bool:
    """Whether a pod names any secret or config map."""
    return any(kind == _KINDS[what] for kind, _ in references({"metadata": {}, "spec": spec}))


def not_allowed(spec: Object, account: Object, kinds: Sequence[tuple[str, str]]) -> str:
    """Why an account with enforced mountable secrets does not allow the pod; empty when it does."""
    name = account["metadata"]["name"]
    listed = {secret.get("name", "") for secret in account.get("secrets") or ()}
    ending = f"is not allowed because service account {name} does not reference that secret"
    if kinds is CONTAINERS:
        for volume in spec.get("volumes") or ():
            secret = (volume.get("secret") or {}).get("secretName", "")
            if volume.get("secret") and secret not in listed:
                return f'volume with secret.secretName="{secret}" {ending}'
    for field, called in kinds:
        for container in spec.get(field) or ():
            for how, secret in _of_environment(container):
                if secret not in listed:
                    return f'{called} {container.get("name", "")} with {how} referencing secret.secretName="{secret}" {ending}'
    if kinds is CONTAINERS:
        pulled = {secret.get("name", "") for secret in account.get("imagePullSecrets") or ()}
        for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
            if secret.get("name", "") not in pulled:
                return (
                    f'imagePullSecrets[{i}].name="{secret.get("name", "")}" is not allowed because service account {name} '
                    "does not reference that imagePullSecret"
                )
    return ""


def _of_environment(container: Object) -> Iterator[tuple[str, str]]:
    for variable in container.get("env") or ():
        ref = (variable.get("valueFrom") or {}).get("secretKeyRef")
        if ref:
            yield f"envVar {variable.get('name', '')}", ref.get("name", "")
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "envFrom", source["secretRef"].get("name", "")
