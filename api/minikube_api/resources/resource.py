"""What a kind is to the server: a declarative `Resource` record and a small `Strategy`; never a handler of its own.

Built-in kinds and custom resources take the same way through the server; they differ only by these records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from minikube_api.meta.errors import FieldError
from minikube_api.schema.model import Schema

Object = dict[str, Any]


@dataclass(slots=True)
class WriteContext:
    """What a strategy may know of the write it serves. `now` is RFC 3339 in seconds; `warnings` go out as Warning headers."""

    user: str
    now: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    dry_run: bool = False
    warnings: list[str] = field(default_factory=list)
    #: what else is known of the user
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Strategy:
    """The kind-specific part of the write way. Synchronous, pure, in place on JSON trees that the caller owns.

    The base class is what a kind without spec/status split needs. `old` is never modified.
    """

    #: names may be generated / checked with this; returns messages as apimachinery's validators do (without the path)
    name_problems: Callable[[str, bool], list[str]]

    def default(self, obj: Object) -> None:
        """Fill in Kubernetes' defaults. Idempotent; called before and after mutating admission, and on stored objects read by old versions."""

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        """Drop what clients may not set on create (status), set generation."""

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        """Keep what this request may not change (status on the main resource; spec on /status), bump generation."""

    def validate_create(self, ctx: WriteContext, obj: Object) -> list[FieldError]:
        return []

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> list[FieldError]:
        return []

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        return []


@dataclass(frozen=True)
class Column:
    """A column of the server-side Table: `type` integer|number|string|boolean|date, `priority` 0 = shown without -o wide."""

    name: str
    type: str
    format: str = ""
    priority: int = 0
    #: the text, or a function that finds it (most descriptions are those of a field, which the schema knows)
    text: str | Callable[[], str] = ""

    @cached_property
    def description(self) -> str:
        return self.text if isinstance(self.text, str) else self.text()


def no_row_conditions(obj: Object) -> list[dict[str, Any]]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """A subresource as discovery lists it. `kind`/`group`/`version` are those of its own body (Scale, Eviction...)."""

    name: str
    kind: str
    group: str
    version: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One served (group, version, plural)."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    strategy: Strategy
    columns: tuple[Column, ...] = ()
    #: cells of one Table row, in the order of `columns`; `now` in seconds since the epoch
    cells: Callable[[Object, float], list[Any]]
    #: conditions of a Table row (Pods that ended: `Completed`)
    row_conditions: Callable[[Object], list[dict[str, Any]]] = no_row_conditions
    #: field selector keys of the kind beyond metadata.name / metadata.namespace -> value of this object
    selectable_fields: Callable[[Object], dict[str, str]]
    #: names of the selectable fields above; `field_label_problem` words what happens to others
    selectable_names: frozenset[str] = frozenset()
    #: metadata fields that selectors may name (Namespace and Node: the name alone)
    selectable_metadata: frozenset[str] = frozenset({"metadata.name", "metadata.namespace"})
    #: message for an unknown field label, `{}` = the label; "" = that of kinds with metadata fields only
    field_label_message: str = ""
    #: store key prefix without namespace and name: `/registry/pods/`, `/registry/deployments.apps/`; shared by versions of a kind
    storage_prefix: str
    #: (group, version) that the stored bytes are in
    storage_version: tuple[str, str]
    #: conversions of a whole object between storage and this version; identity when None (async for CRD webhooks)
    to_storage: Any = None
    from_storage: Any = None
    load_schema: Callable[[], Schema]
    #: objects are unstructured: a custom resource (the fields below are its)
    custom: bool = False
    #: kind of the list; "" = kind + "List"
    list_kind: str = ""
    #: sent with every answer of a deprecated version
    deprecation_warning: str = ""
    #: no new objects while the definition is being deleted
    terminating: bool = False
    #: where a custom resource keeps its replicas; None: the built-in kinds' places
    scale_paths: Any = None
    #: schemas of all served versions by apiVersion, for managed fields that they wrote
    schemas: Mapping[str, Callable[[], Schema]] = field(default_factory=dict)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def schema(self) -> Schema:
        return self.load_schema()

    def field_label_problem(self, label: str) -> str | None:
        """None when field selectors may name `label`, else the message of the 400."""
        if label in self.selectable_metadata or label in self.selectable_names:
            return None
        if self.field_label_message:
            return self.field_label_message.format(label)
        return f'"{label}" is not a known field selector: only "metadata.name", "metadata.namespace"'

    def key(self, namespace: str, name: str) -> str:
        """The store key of an object; `namespace` is ignored for cluster-scoped kinds."""
        return f"{self.storage_prefix}{namespace}/{name}" if self.namespaced else f"{self.storage_prefix}{name}"


class Registry:
    """The served resources. CRDs add and remove theirs at run time; `version` counts changes (discovery and OpenAPI ETags)."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        self.version = 0
        self._by_plural: dict[tuple[str, str, str], Resource] = {}
        self._by_kind: dict[tuple[str, str, str], Resource] = {}
        for resource in resources:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        self._by_plural[resource.group, resource.version, resource.plural] = resource
        self._by_kind[resource.group, resource.version, resource.kind] = resource
        self.version += 1

    def remove(self, group: str, version: str, plural: str) -> None:
        resource = self._by_plural.pop((group, version, plural))
        self._by_kind.pop((group, version, resource.kind), None)
        self.version += 1

    def get(self, group: str, version: str, plural: str) -> Resource | None:
        return self._by_plural.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> Resource | None:
        return self._by_kind.get((group, version, kind))

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._by_plural.values()))
