"""ControllerRevisions: the templates that a DaemonSet or StatefulSet had, for updates and `kubectl rollout undo`.

Source: pkg/controller/history. A revision's data is a patch that puts the template back; equal templates share one revision, so that going
back to an old template raises that revision's number and leaves pods that have its hash alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from minikube_api.client.client import Client
from minikube_api.meta.errors import AlreadyExists, NotFound
from minikube_api.schema.typed.apps_v1 import ControllerRevision
from minikube_api.schema.typed.core_v1 import PodTemplateSpec
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers import owners, templates

HASH_LABEL: Final = "controller-revision-hash"


def revision_data(template: PodTemplateSpec) -> dict[str, Any]:
    tree = msgspec.json.decode(msgspec.json.encode(template))
    return {"spec": {"template": {**tree, "$patch": "replace"}}}


def data_of(revision: ControllerRevision) -> Any:
    return msgspec.to_builtins(revision.data)


def template_of(revision: ControllerRevision) -> PodTemplateSpec:
    tree = dict(data_of(revision)["spec"]["template"])
    tree.pop("$patch", None)
    return msgspec.convert(tree, PodTemplateSpec)


def in_order(revisions: Iterable[ControllerRevision]) -> list[ControllerRevision]:
    return sorted(revisions, key=lambda r: (r.revision, r.metadata.name))


async def present(client: Client, owner: Any, revisions: list[ControllerRevision]) -> ControllerRevision:
    """The revision of the owner's present template: a known one, its number raised to be the highest, or a new one.

    `revisions` are the owner's, in order. Raises AlreadyExists when another object has the name: the owner's collisionCount was raised for
    the next try.
    """
    data = revision_data(owner.spec.template)
    number = revisions[-1].revision + 1 if revisions else 1
    same = [r for r in revisions if data_of(r) == data]
    if same:
        found = same[-1]
        if found is revisions[-1]:
            return found
        return await client.update(replace(found, revision=number))
    prefix, hash = f"{owner.metadata.name}-", templates.hash_of(owner.spec.template, owner.status.collisionCount)
    made = ControllerRevision(
        metadata=ObjectMeta(
            name=prefix + hash,
            namespace=owner.metadata.namespace,
            labels=owner.spec.template.metadata.labels | {HASH_LABEL: hash},
            annotations=owner.metadata.annotations,
            ownerReferences=(owners.controller_reference(owner),),
        ),
        data=data,
        revision=number,
    )
    try:
        return await client.create(made)
    except AlreadyExists:
        found = await client.get(ControllerRevision, prefix + hash, namespace=owner.metadata.namespace)
        if owners.is_controlled_by(found, owner) and data_of(found) == data:
            return found
        count = (owner.status.collisionCount or 0) + 1
        await client.update_status(replace(owner, status=replace(owner.status, collisionCount=count)))
        raise


async def trim(client: Client, owner: Any, unused: list[ControllerRevision]) -> None:
    """Delete the oldest of the revisions that nobody uses beyond `revisionHistoryLimit` (10)."""
    limit = 10 if owner.spec.revisionHistoryLimit is None else owner.spec.revisionHistoryLimit
    for revision in unused[: max(0, len(unused) - limit)]:
        try:
            await client.delete(ControllerRevision, revision.metadata.name, namespace=revision.metadata.namespace)
        except NotFound:
            pass  # somebody was quicker
