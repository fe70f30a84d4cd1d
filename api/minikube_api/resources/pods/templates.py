"""PodTemplate: a pod template stored as an object of its own."""

from __future__ import annotations

from minikube_api.meta.errors import FieldError
from minikube_api.resources.pods import defaults, spec, warnings
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy


class PodTemplateStrategy(KindStrategy):
    tracks_generation = True
    spec_fields = ("template",)

    def defaults(self, obj: Object) -> None:
        defaults.template(obj.setdefault("template", {}))

    def validate(self, ctx: WriteContext, obj: Object) -> list[FieldError]:
        return spec.pod_template(obj.get("template") or {}, "template")

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        return warnings.pod_template(obj.get("template"), None if old is None else old.get("template"), "template")
