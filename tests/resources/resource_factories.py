"""Small factories of bodies, and how findings are compared."""

from __future__ import annotations

from typing import Any

from minikube_api.meta.errors import FieldError

NOW = "2026-01-02T03:04:05Z"


def texts(errors: list[FieldError]) -> list[str]:
    return sorted({str(e) for e in errors})


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "registry.example/app:1"}], **spec}}


def deployment(name: str = "d", **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod()["spec"]}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}}
