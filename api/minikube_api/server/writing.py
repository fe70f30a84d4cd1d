"""The way of a write, on one screen: `Writer.create`, `update` and `patch`, and the stages they share.

    decode (codec by content type) -> field validation
    -> [ read current -> apply patch or update -> default -> managed fields -> mutating admission -> default again
         -> prepare (status/spec split, generation, immutable metadata) -> reserve (cluster IPs...) -> validate
         -> validating admission -> compare-and-swap; again from the top when the compare fails ]
    -> cache -> answer in the requested version and view

The order inside the brackets is kube-apiserver's: managed fields are those of what the client sent and defaults added, not of
what admission or the server set. What admission decides is decided inside the retry, on the object that is written.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from minikube_api.cache.entries import Entry
from minikube_api.meta import times
from minikube_api.meta.errors import AlreadyExists, Conflict, Invalid, NotFound, TooManyRequests
from minikube_api.resources.resource import Resource, WriteContext
from minikube_api.schema import storing
from minikube_api.server import authorization, codecs, metadata, patching, tracking, views
from minikube_api.server.admission.chain import AdmissionChain
from minikube_api.server.context import Answer, Object, Request
from minikube_api.server.contract import AdmissionAttributes, Authorizer, Operation
from minikube_api.server.negotiation import View
from minikube_api.server.options import WriteOptions, manager_of, write_options
from minikube_api.server.storage import Changed, Storage
from minikube_api.server.update_rules import (
    CREATE_ON_UPDATE,
    asked_revision,
    check_name,
    check_namespace,
    finished,
    must_be_specified,
    unconditional_update,
)

#: how often a generated name is drawn again when it is taken (kube-apiserver's maxNameGenerationCreateAttempts)
NAME_ATTEMPTS = 8
#: how often an unconditional write is done again when others write the same object at the same time
WRITE_ATTEMPTS = 100


class Reservation(Protocol):
    """What was taken for a write outside the object (a cluster IP, a node port)."""

    def keep(self) -> None:
        """The write is committed."""
        ...

    def release(self) -> None:
        """The write failed or was a dry run."""
        ...


class Reserver(Protocol):
    """Takes what a write needs, filling it into `obj`. Raises Invalid; `old` is None on create, `obj` None on delete."""

    def reserve(self, resource: Resource, obj: Object | None, old: Object | None) -> Reservation | None: ...


@dataclass(slots=True)
class Write:
    """One write on its way; `current` and `old` are what it is based on (None on create)."""

    request: Request
    resource: Resource
    options: WriteOptions
    operation: Operation
    namespace: str
    name: str
    subresource: str
    context: WriteContext
    manager: str = ""
    current: Entry | None = None
    old: Object | None = None
    kind: tuple[str, str, str] | None = None
    reservations: list[Reservation] = field(default_factory=list)
    #: how the change is tracked; apply has its own bookkeeping done already
    tracked: bool = False
    #: the DeleteOptions that admission sees; the options of other writes are those of the query
    options_tree: Object | None = None


class Writer:
    """Creates, updates and patches objects of any Resource."""

    def __init__(
        self,
        storage: Storage,
        admission: AdmissionChain,
        *,
        clock: times.Clock = times.SYSTEM,
        rng: random.Random | None = None,
        reservers: Sequence[Reserver] = (),
        authorizer: Authorizer | None = None,
    ) -> None:
        self.storage = storage
        self.admission = admission
        self.clock = clock
        self.rng = rng or random.Random()
        self.reservers = tuple(reservers)
        #: asked once more when a PUT or an apply creates; None allows
        self.authorizer = authorizer

    # the three verbs

    async def create(self, request: Request, resource: Resource, view: View) -> Answer:
        write = self.begin(request, resource, "CREATE", write_options(request, "CreateOptions"))
        body = await request.read_body()
        obj = codecs.decode(body, request, resource, write.options)
        if resource.namespaced:
            check_namespace(obj, write.namespace)
        for attempt in range(NAME_ATTEMPTS):
            if attempt:
                obj = codecs.decode(body, request, resource, write.options)
            generated = not obj["metadata"].get("name") and bool(obj["metadata"].get("generateName"))
            try:
                made, revision = await self.create_object(write, obj)
            except AlreadyExists:
                if not generated or attempt == NAME_ATTEMPTS - 1:
                    raise
            else:
                return self.answer(write, 201, made, revision, view)
        raise AssertionError("unreachable")

    async def update(self, request: Request, resource: Resource, view: View) -> Answer:
        write = self.begin(request, resource, "UPDATE", write_options(request, "UpdateOptions"))
        body = await request.read_body()
        obj = codecs.decode(body, request, resource, write.options)
        check_name(obj, write.name)
        if resource.namespaced:
            check_namespace(obj, write.namespace)
        expected = asked_revision(obj)
        entry = await self.storage.current(resource, write.namespace, write.name)
        for attempt in range(WRITE_ATTEMPTS):
            if attempt:
                obj = codecs.decode(body, request, resource, write.options)
            if entry is None:
                if not self.creates_on_update(write) or expected:
                    raise self.missing(write)
                made, revision = await self.create_object(self.begin(request, resource, "CREATE", write.options), obj)
                return self.answer(write, 201, made, revision, view)
            if expected and expected != entry.revision:
                raise Conflict.object(resource.plural, write.name, resource.storage_version[0])
            if not expected and not unconditional_update(resource):
                raise must_be_specified(resource, write.name)
            await self.base_on(write, entry)
            try:
                return await self.replace_object(write, obj, view)
            except Changed as error:
                entry = error.current
        raise too_busy()

    async def patch(self, request: Request, resource: Resource, view: View) -> Answer:
        patch = patching.read(request, resource, await request.read_body())
        options = write_options(request, "PatchOptions", apply=patch.is_apply)
        write = self.begin(request, resource, "UPDATE", options)
        entry = await self.storage.current(resource, write.namespace, write.name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                if not patch.is_apply or write.subresource:
                    raise self.missing(write)
                try:
                    return await self.create_by_apply(request, resource, patch, options, view)
                except AlreadyExists:
                    entry = await self.storage.current(resource, write.namespace, write.name)
                    continue
            await self.base_on(write, entry)
            # an own tree: the old one stays as it is for comparison; apply leaves it alone
            current = write.old if patch.is_apply and write.old is not None else await views.tree_of(resource, entry)
            obj = patch.applied_to(current, resource, options, write.context, write.manager)
            write.tracked = patch.is_apply
            self.check_patched(write, obj)
            asked = asked_revision(obj)
            if not asked and not unconditional_update(resource):
                raise must_be_specified(resource, write.name)
            if asked and asked != entry.revision:
                raise Conflict.object(resource.plural, write.name, resource.storage_version[0])
            try:
                return await self.replace_object(write, obj, view)
            except Changed as error:
                entry = error.current
        raise too_busy()

    async def create_by_apply(
        self, request: Request, resource: Resource, patch: patching.Patch, options: WriteOptions, view: View
    ) -> Answer:
        write = self.begin(request, resource, "CREATE", options)
        obj = patch.new_object(resource, options, write.context, write.manager)
        if obj["metadata"].get("uid"):
            why = f"uid mismatch: the provided object specified uid {obj['metadata']['uid']}, and no existing object was found"
            raise Conflict.object(resource.plural, write.name, resource.storage_version[0], why)
        self.check_patched(write, obj)
        obj["metadata"].pop("resourceVersion", None)
        write.tracked = True
        made, revision = await self.create_object(write, obj)
        return self.answer(write, 201, made, revision, view)

    def check_patched(self, write: Write, obj: Object) -> None:
        """Raises BadRequest when a patch moves its object elsewhere."""
        if write.resource.namespaced:
            check_namespace(obj, write.namespace)
        check_name(obj, write.name)

    # the stages

    def begin(self, request: Request, resource: Resource, operation: Operation, options: WriteOptions) -> Write:
        info = request.info
        namespace = info.namespace if resource.namespaced else ""
        context = WriteContext(
            user=request.user.name,
            now=times.now(self.clock),
            namespace=namespace,
            name=info.name,
            subresource=info.subresource,
            dry_run=options.dry_run,
            warnings=request.warnings,
            uid=request.user.uid,
            groups=request.user.groups,
            extra=request.user.extra,
        )
        manager = manager_of(options, request)
        return Write(request, resource, options, operation, namespace, info.name, info.subresource, context, manager)

    async def base_on(self, write: Write, entry: Entry) -> None:
        write.current = entry
        write.old = await views.tree_of(write.resource, entry)

    async def create_object(self, write: Write, obj: Object) -> tuple[bytes, int]:
        """All stages of a create from the decoded object on. Returns (JSON in the request's version, revision; 0 in a dry run)."""
        resource, strategy = write.resource, write.resource.strategy
        metadata.drop_on_create(obj)
        write.name = write.context.name = obj["metadata"].get("name", "")
        await self.default(write, obj)
        self.track(write, obj)
        await self.mutate(write, obj)
        metadata.fill_on_create(obj, resource.namespaced, write.namespace, write.context.now, self.rng)
        write.name = write.context.name = obj["metadata"].get("name", "")
        try:
            strategy.prepare_create(write.context, obj)
            self.reserve(write, obj)
            problems = strategy.validate_create(write.context, obj)
            if problems:
                raise Invalid.object(resource.storage_version[0], obj.get("kind") or resource.kind, write.name, problems)
            self.warn(write, obj)
            if self.authorizer is not None and write.request.info.verb in ("update", "patch"):
                await authorization.check_create(self.authorizer, write.request)
            await self.validate(write, obj)
            result = await self.commit_create(write, obj)
        except Exception:
            # not when cancelled: the write may be on its way to the disk, and what it took is then really taken
            self.release(write)
            raise
        self.settle(write)
        return result

    async def commit_create(self, write: Write, obj: Object) -> tuple[bytes, int]:
        resource = write.resource
        self.as_kept(resource, obj)
        if write.options.dry_run:
            entry = await self.storage.current(resource, write.namespace, write.name)
            if entry is not None:
                raise self.taken(write, entry)
            return orjson.dumps(obj), 0
        stored = await views.to_stored(resource, obj)
        try:
            body, revision = await self.storage.put(resource, write.namespace, write.name, stored, expect=0)
        except Changed as error:
            raise self.taken(write, error.current) from error
        return await self.seen(write, obj, stored, body, revision), revision

    async def replace_object(self, write: Write, obj: Object, view: View) -> Answer:
        """All stages of an update from the changed object on. Raises Changed when somebody else was first."""
        body, revision = await self.replace(write, obj)
        return self.answer(write, 200, body, revision, view)

    async def replace(self, write: Write, obj: Object) -> tuple[bytes, int]:
        resource, strategy, old, current = write.resource, write.resource.strategy, write.old, write.current
        assert old is not None
        assert current is not None
        obj["metadata"].pop("resourceVersion", None)
        if resource.namespaced:
            obj["metadata"]["namespace"] = write.namespace
        await self.default(write, obj)
        self.track(write, obj)
        await self.mutate(write, obj)
        metadata.keep_on_update(obj, old, resource.namespaced)
        try:
            strategy.prepare_update(write.context, obj, old)
            self.reserve(write, obj)
            problems = strategy.validate_update(write.context, obj, old)
            if problems:
                raise Invalid.object(resource.storage_version[0], obj.get("kind") or resource.kind, write.name, problems)
            self.warn(write, obj)
            await self.validate(write, obj)
            result = await self.commit_update(write, obj)
        except Exception:
            # not when cancelled: the write may be on its way to the disk, and what it took is then really taken
            self.release(write)
            raise
        self.settle(write)
        return result

    async def commit_update(self, write: Write, obj: Object) -> tuple[bytes, int]:
        resource, old, current = write.resource, write.old, write.current
        assert old is not None
        assert current is not None
        self.as_kept(resource, obj)
        if tracking.changes_nothing(old, obj) and _of_storage_version(resource, current.body):
            return with_revision(old, current.revision), current.revision
        if finished(resource, obj):
            if not write.options.dry_run:
                await self.storage.delete(resource, write.namespace, write.name, expect=current.revision)
                self.give_back(write, obj)
            return with_revision(obj, current.revision), current.revision
        if write.options.dry_run:
            return with_revision(obj, current.revision), current.revision
        stored = await views.to_stored(resource, obj)
        body, revision = await self.storage.put(resource, write.namespace, write.name, stored, expect=current.revision)
        return await self.seen(write, obj, stored, body, revision), revision

    def as_kept(self, resource: Resource, obj: Object) -> None:
        """What the object is once it was stored, in dry runs too."""
        if not resource.custom and resource.group not in _KEPT_AS_JSON:
            storing.without_empty_lists(obj, resource.schema)

    async def seen(self, write: Write, obj: Object, stored: Object, body: bytes, revision: int) -> bytes:
        """What the writer sees of its write: custom resources come back through the stored form, as kube-apiserver reads them."""
        resource = write.resource
        if views.stored_here(resource):
            return body
        if not resource.custom:
            return with_revision(obj, revision)
        return with_revision(await views.converted(resource, orjson.loads(orjson.dumps(stored))), revision)

    async def default(self, write: Write, obj: Object) -> None:
        write.resource.strategy.default(obj)

    def track(self, write: Write, obj: Object) -> None:
        for text in metadata.deduplicate_owners(obj):
            write.request.warn(text)
        if not write.tracked:
            tracking.track(write.resource, obj, write.old, write.manager, write.subresource, write.context.now)

    async def mutate(self, write: Write, obj: Object) -> None:
        if self.admission.handles(write.operation):
            await self.admission.admit(self.attributes(write, obj))
            await self.default(write, obj)

    async def validate(self, write: Write, obj: Object) -> None:
        if self.admission.handles(write.operation):
            await self.admission.validate(self.attributes(write, obj))

    async def validate_delete(self, write: Write) -> None:
        """Admission of a deletion: both phases see the old object only."""
        if self.admission.handles("DELETE"):
            attributes = self.attributes(write, None)
            await self.admission.admit(attributes)
            await self.admission.validate(attributes)

    def attributes(self, write: Write, obj: Object | None) -> AdmissionAttributes:
        return AdmissionAttributes(
            write.operation,
            write.request.user,
            write.resource,
            write.subresource,
            write.namespace,
            write.name,
            obj,
            write.old,
            write.options.dry_run,
            options=write.options_tree or options_tree(write),
            warnings=write.request.warnings,
            audit_annotations=write.request.audit_annotations,
            kind=write.kind,
        )

    def warn(self, write: Write, obj: Object) -> None:
        for text in metadata.finalizer_warnings(obj["metadata"].get("finalizers") or ()):
            write.request.warn(text)
        for text in write.resource.strategy.warnings(write.context, obj, write.old):
            write.request.warn(text)

    def reserve(self, write: Write, obj: Object) -> None:
        for reserver in self.reservers:
            reservation = reserver.reserve(write.resource, obj, write.old)
            if reservation is not None:
                write.reservations.append(reservation)

    def settle(self, write: Write) -> None:
        if write.options.dry_run:
            self.release(write)
            return
        for reservation in write.reservations:
            reservation.keep()
        write.reservations.clear()

    def release(self, write: Write) -> None:
        for reservation in write.reservations:
            reservation.release()
        write.reservations.clear()

    def give_back(self, write: Write, obj: Object) -> None:
        """The object is gone: what it held is free."""
        for reserver in self.reservers:
            reservation = reserver.reserve(write.resource, None, obj)
            if reservation is not None:
                reservation.keep()

    # words and answers

    def answer(self, write: Write, status: int, body: bytes, revision: int, view: View) -> Answer:
        if view.form:
            include = write.request.query.get("includeObject", "")
            body = views.view_of(write.resource, body, None, view, include, revision or "")
        return views.encoded(status, body, view)

    def missing(self, write: Write) -> NotFound:
        return NotFound.object(write.resource.plural, write.name, write.resource.storage_version[0])

    def taken(self, write: Write, entry: Entry | None) -> AlreadyExists:
        error = AlreadyExists.object(write.resource.plural, write.name, write.resource.storage_version[0])
        if entry is not None and entry.tree()["metadata"].get("deletionTimestamp"):
            return AlreadyExists(f"object is being deleted: {error.message}", details=error.details)
        return error

    def creates_on_update(self, write: Write) -> bool:
        resource = write.resource
        return not write.subresource and (resource.group, resource.plural) in CREATE_ON_UPDATE

    async def change(
        self, write: Write, change: Callable[[Object], Awaitable[Object] | Object], entry: Entry | None = None
    ) -> tuple[bytes, int]:
        """Read, change, write, again on conflict: what subresources with a body of their own do. `change` gets an own tree."""
        if entry is None:
            entry = await self.storage.current(write.resource, write.namespace, write.name)
        for _ in range(WRITE_ATTEMPTS):
            if entry is None:
                raise self.missing(write)
            await self.base_on(write, entry)
            obj = await views.tree_of(write.resource, entry)
            made = change(obj)
            obj = made if isinstance(made, dict) else await made
            try:
                return await self.replace(write, obj)
            except Changed as error:
                entry = error.current
        raise too_busy()


def options_tree(write: Write) -> Object:
    """CreateOptions, UpdateOptions... as admission sees them (a patch goes as the create or update that it is)."""
    made: Object = {"kind": f"{write.operation.capitalize()}Options", "apiVersion": "meta.k8s.io/v1"}
    if write.options.dry_run:
        made["dryRun"] = ["All"]
    query = write.request.query
    for name in ("fieldManager", "fieldValidation"):
        if query.get(name):
            made[name] = query[name]
    return made


#: groups of servers that keep their kinds as JSON, not as protobuf
_KEPT_AS_JSON = frozenset({"apiextensions.k8s.io", "apiregistration.k8s.io"})


def with_revision(obj: Object, revision: int) -> bytes:
    """The JSON of an object at a revision, without touching the tree."""
    return orjson.dumps({**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}})


def too_busy() -> TooManyRequests:
    return TooManyRequests("the object is changed too often; try again", retry_after_seconds=1)


def _of_storage_version(resource: Resource, body: bytes) -> bool:
    """Whether stored bytes are of the version that is stored now: an update that changes nothing migrates what is of an older one."""
    if not resource.custom:
        return True
    group, version = resource.storage_version
    return body.startswith(b'{"apiVersion":"%b/%b"' % (group.encode(), version.encode()))
