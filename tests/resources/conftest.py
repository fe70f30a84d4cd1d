"""What the tests of resources share: the registry, a write context, and small factories."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from resource_factories import NOW

from minikube_api.meta.errors import FieldError
from minikube_api.resources import builtin
from minikube_api.resources.resource import Registry, Resource, WriteContext


@pytest.fixture(scope="session")
def registry() -> Registry:
    return builtin.registry()


class Kind:
    """One kind's strategy, driven as the server drives it."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.strategy = resource.strategy

    def context(self, subresource: str = "") -> WriteContext:
        return WriteContext(user="admin", now=NOW, namespace="ns", subresource=subresource)

    def create(self, body: dict[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
        obj = copy.deepcopy(body)
        meta = obj.setdefault("metadata", {})
        self.strategy.default(obj)
        if self.resource.namespaced:
            meta["namespace"] = "ns"
        meta.setdefault("uid", "u-1")
        self.strategy.prepare_create(self.context(), obj)
        return obj, self.strategy.validate_create(self.context(), obj)

    def update(self, obj: dict[str, Any], old: dict[str, Any], subresource: str = "") -> tuple[dict[str, Any], list[FieldError]]:
        obj = copy.deepcopy(obj)
        before = copy.deepcopy(old)
        self.strategy.default(obj)
        context = self.context(subresource)
        self.strategy.prepare_update(context, obj, old)
        errors = self.strategy.validate_update(context, obj, old)
        assert old == before, "the old object was modified"
        return obj, errors


@pytest.fixture
def kind(registry: Registry):
    def find(plural: str, group: str = "", version: str = "v1") -> Kind:
        resource = registry.get(group, version, plural)
        assert resource is not None
        return Kind(resource)

    return find
