"""The registry of all built-in kinds: facts, strategies, columns, selectable fields, storage and conversions brought together."""

from __future__ import annotations

from functools import partial

from minikube_api.resources import conversions, groups, selectable
from minikube_api.resources.resource import Registry, Resource, Subresource
from minikube_api.resources.tables import cells, columns
from minikube_api.schema import builtin
from minikube_api.schema.builtin import KindFacts


def registry() -> Registry:
    """All kinds that kube-apiserver 1.36 serves. Schemas and column texts are loaded when they are first asked for."""
    return Registry(_resource(fact) for fact in builtin.kinds())


def _resource(fact: KindFacts) -> Resource:
    conversion = conversions.BY_RESOURCE.get((fact.group, fact.version, fact.plural), conversions.IDENTITY)
    fields = selectable.BY_KIND.get((fact.group, fact.plural), selectable.NOTHING)
    load_schema = partial(builtin.load, fact.group, fact.version, fact.kind)
    storage_group, storage_version = conversion.storage_version or (fact.group, fact.version)
    return Resource(
        group=fact.group,
        version=fact.version,
        kind=fact.kind,
        plural=fact.plural,
        singular=fact.singular,
        namespaced=fact.namespaced,
        verbs=fact.verbs,
        short_names=fact.short_names,
        categories=fact.categories,
        subresources={
            sub.name: Subresource(name=sub.name, kind=sub.kind, group=sub.group, version=sub.version, verbs=sub.verbs)
            for sub in fact.subresources
        },
        strategy=groups.strategy(fact),
        columns=columns.columns(fact.plural, fact.group, load_schema),
        cells=cells.of(fact.group, fact.version, fact.plural),
        row_conditions=cells.row_conditions(fact.group, fact.plural),
        selectable_fields=fields.fields,
        selectable_names=fields.names,
        selectable_metadata=fields.metadata,
        field_label_message=fields.message,
        storage_prefix=f"/registry/{fact.plural}{'.' + storage_group if storage_group else ''}/",
        storage_version=(storage_group, storage_version),
        to_storage=conversion.to_storage,
        from_storage=conversion.from_storage,
        load_schema=load_schema,
    )
