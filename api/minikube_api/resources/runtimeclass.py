"""RuntimeClass (node.k8s.io). Source: pkg/apis/node/validation."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors
from minikube_api.resources.objectmeta import label_problems
from minikube_api.resources.pods import placement, resources
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy


class RuntimeClassStrategy(KindStrategy):
    spec_fields = ()

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors = checks.named(obj.get("handler") or "", "handler", names.dns1123_label)
        if (overhead := obj.get("overhead")) is not None:
            # checked as limits of a container, and named so
            errors += resources.requirements({"limits": overhead.get("podFixed") or {}}, "overhead")
        if (scheduling := obj.get("scheduling")) is not None:
            errors += label_problems(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
            errors += _tolerations(scheduling.get("tolerations") or [], "scheduling.tolerations")
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return checks.unchanged(obj, old, "handler")


def _tolerations(listed: list[Any], path: str) -> Errors:
    errors = placement.tolerations(listed, path)
    return errors + [err.duplicate(f"{path}[{i}]", one) for i, one in enumerate(listed) if one in listed[:i]]
