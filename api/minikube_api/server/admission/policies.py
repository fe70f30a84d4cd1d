"""Admission policies and their bindings: followed through their caches, compiled once, matched against requests.

What validating and mutating policies share. Source: k8s.io/apiserver's pkg/admission/plugin/policy (generic, matching).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from minikube_api.cache.watching import Change
from minikube_api.meta import selectors
from minikube_api.meta.errors import NotFound
from minikube_api.resources.resource import Resource
from minikube_api.server.admission.reading import Lister
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation
from minikube_api.server.webhooks import matching
from minikube_api.server.webhooks.matching import ADMISSION_GROUP, Rule, Subject
from minikube_api.server.webhooks.reviews import namespace_of
from minikube_api.server.webhooks.versions import Versions, equivalents

if TYPE_CHECKING:
    from minikube_api.server.server import Server


class ParamsProblem(Exception):
    """The parameters of a binding can't be had; the text is kube-apiserver's."""


@dataclass
class Policy:
    """A policy, its bindings and what was compiled of it (`compiled` is made by the plug-in on first use)."""

    name: str
    tree: Object
    bindings: list[Object] = field(default_factory=list)
    compiled: Any = None

    @property
    def spec(self) -> Object:
        spec: Object = self.tree.get("spec") or {}
        return spec

    @property
    def fails(self) -> bool:
        """failurePolicy: whether what goes wrong refuses the request."""
        return self.spec.get("failurePolicy") != "Ignore"


class PolicySource:
    """Policies that have bindings, by name. `current` is empty while there are none: that is all a write pays then."""

    def __init__(self, server: Server, policies: str, bindings: str) -> None:
        self._server = server
        self._kinds = (policies, bindings)
        self._policies: dict[str, Policy] = {}
        self._bindings: dict[str, Object] = {}
        self.current: tuple[Policy, ...] = ()
        self.loaded = False

    async def load(self) -> None:
        takers: tuple[Callable[[str, Object | None], None], ...] = (self._take_policy, self._take_binding)
        cachers = []
        for plural in self._kinds:
            resource = self._server.registry.get(ADMISSION_GROUP, "v1", plural)
            if resource is None:
                self.loaded = True
                return
            cacher = self._server.storage.cacher(resource)
            await cacher.load()
            cachers.append(cacher)
        if self.loaded:
            return
        self.loaded = True
        for cacher, take in zip(cachers, takers, strict=True):
            cacher.listeners.append(self._follower(take))
            for entry in cacher.index.span("", None):
                take(entry.name, entry.tree())
        self._join()

    def _follower(self, take: Callable[[str, Object | None], None]) -> Callable[[Sequence[Change]], None]:
        def follow(changes: Sequence[Change]) -> None:
            for change in changes:
                take(change.entry.name, None if change.current is None else change.current.tree())
            self._join()

        return follow

    def _take_policy(self, name: str, tree: Object | None) -> None:
        if tree is None:
            self._policies.pop(name, None)
            return
        before = self._policies.get(name)
        if before is not None and before.tree.get("spec") == tree.get("spec"):
            before.tree = tree
            return
        self._policies[name] = Policy(name, tree)

    def _take_binding(self, name: str, tree: Object | None) -> None:
        if tree is None:
            self._bindings.pop(name, None)
        else:
            self._bindings[name] = tree

    def _join(self) -> None:
        for policy in self._policies.values():
            policy.bindings = [
                self._bindings[name]
                for name in sorted(self._bindings)
                if (self._bindings[name].get("spec") or {}).get("policyName") == policy.name
            ]
        self.current = tuple(self._policies[name] for name in sorted(self._policies) if self._policies[name].bindings)


class PolicyPlugin:
    """Finds the policies, bindings and parameters that a request meets."""

    name = ""
    policies = ""
    bindings = ""

    def __init__(self, server: Server, lister: Lister) -> None:
        self._server = server
        self._lister = lister
        self._source = PolicySource(server, self.policies, self.bindings)

    def handles(self, operation: Operation) -> bool:
        return True

    async def admit(self, attributes: AdmissionAttributes) -> None:
        return

    async def validate(self, attributes: AdmissionAttributes) -> None:
        return

    async def wanted(self, attributes: AdmissionAttributes) -> tuple[Policy, ...]:
        source = self._source
        if not source.loaded:
            await source.load()
        if not source.current or matching.exempt(attributes.resource.group, attributes.resource.plural):
            return ()
        return source.current

    # matching

    async def matches(self, constraints: Object | None, attributes: AdmissionAttributes, versions: Versions) -> Resource | None:
        """The resource, in the version that a rule names, or None. Constraints without rules match every resource."""
        if constraints is None:
            return attributes.resource
        if not await self._namespace_matches(constraints.get("namespaceSelector"), attributes):
            return None
        selector = selectors.from_label_selector(constraints.get("objectSelector") or {})
        if not matching.any_object_matches(selector, await versions.of(attributes.resource)):
            return None
        if self._named(constraints.get("excludeResourceRules"), constraints, attributes) is not None:
            return None
        if not constraints.get("resourceRules"):
            return attributes.resource
        return self._named(constraints["resourceRules"], constraints, attributes)

    def _named(self, rules: list[Object] | None, constraints: Object, attributes: AdmissionAttributes) -> Resource | None:
        if not rules:
            return None
        namespace = namespace_of(attributes)
        candidates = [attributes.resource]
        if constraints.get("matchPolicy") != "Exact":
            candidates += equivalents(self._server.registry, attributes.resource)
        for resource in candidates:
            subject = Subject(
                attributes.operation, resource.group, resource.version, resource.plural, attributes.subresource, namespace
            )
            for tree in rules:
                names = tree.get("resourceNames")
                if (not names or attributes.name in names) and Rule.of(tree).matches(subject):
                    return resource
        return None

    async def namespace(self, attributes: AdmissionAttributes) -> Object | None:
        """The Namespace of the request; None for cluster-scoped resources."""
        resource = attributes.resource
        if not resource.group and resource.plural == "namespaces":
            return None
        if not attributes.namespace:
            return None
        return await self._lister.get("", "namespaces", "", attributes.namespace)

    async def _namespace_matches(self, given: Object | None, attributes: AdmissionAttributes) -> bool:
        selector = selectors.from_label_selector(given or {})
        resource = attributes.resource
        is_namespace = not resource.group and resource.plural == "namespaces"
        name = namespace_of(attributes)
        if selector.everything or (not name and not is_namespace):
            return True
        tree: Object | None
        if is_namespace and attributes.operation != "DELETE" and not attributes.subresource:
            tree = attributes.obj
        else:
            tree = await self._lister.get("", "namespaces", "", name)
        if tree is None:
            raise NotFound.object("namespaces", name)
        return selector.matches(tree["metadata"].get("labels") or {})

    # parameters

    async def params(self, policy: Policy, binding: Object, attributes: AdmissionAttributes) -> AsyncIterator[Object | None]:
        """Each parameter object that the binding names; None once for a policy without. Raises ParamsProblem."""
        kind = policy.spec.get("paramKind")
        reference = (binding.get("spec") or {}).get("paramRef")
        if kind is None or reference is None:
            yield None
            return
        group, _, version = (kind.get("apiVersion") or "").rpartition("/")
        resource = self._server.registry.by_kind(group, version, kind.get("kind") or "")
        if resource is None:
            raise ParamsProblem(f"failed to find resource referenced by paramKind: '{group}/{version}, Kind={kind.get('kind')}'")
        namespace = self._params_namespace(resource, reference, attributes)
        found = await self._find_params(resource, reference, namespace)
        if not found:
            if reference.get("parameterNotFoundAction") == "Allow":
                return
            raise ParamsProblem("no params found for policy binding with `Deny` parameterNotFoundAction")
        for tree in found:
            yield tree

    def _params_namespace(self, resource: Resource, reference: Object, attributes: AdmissionAttributes) -> str:
        given: str = reference.get("namespace") or ""
        if not resource.namespaced:
            if given:
                raise ParamsProblem("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
            return ""
        if given:
            return given
        if not attributes.namespace:
            raise ParamsProblem("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
        return attributes.namespace

    async def _find_params(self, resource: Resource, reference: Object, namespace: str) -> list[Object]:
        from minikube_api.cache.requests import ListRequest, Selection
        from minikube_api.server import views

        if name := reference.get("name"):
            entry = await self._server.storage.current(resource, namespace, name)
            return [] if entry is None else [await views.tree_of(resource, entry)]
        labels = selectors.from_label_selector(reference.get("selector") or {})
        chosen = Selection(namespace=namespace, labels=None if labels.everything else labels)
        page = await self._server.storage.cacher(resource).list(ListRequest(selection=chosen, resource_version="0"))
        return [await views.tree_of(resource, entry) for entry in page.items]
