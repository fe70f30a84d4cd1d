"""MutatingAdmissionWebhook and ValidatingAdmissionWebhook: the two plug-ins that ask webhooks (documentation, "Dynamic Admission Control").

Mutating webhooks run one after the other, each on what the one before made; when one changed the object, earlier ones with
reinvocationPolicy IfNeeded run once more, after the other plug-ins have (the chain's second round). Validating webhooks run at
the same time.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from minikube_api.meta import patches
from minikube_api.meta.errors import BadRequest, InternalError, NotFound, StatusError
from minikube_api.resources.resource import Resource
from minikube_api.schema import decoding
from minikube_api.server.admission.reading import Lister, forbidden
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Operation, Reinvocation
from minikube_api.server.outgoing import Unreachable
from minikube_api.server.webhooks import matching, reviews
from minikube_api.server.webhooks.calling import Caller, CallFailed
from minikube_api.server.webhooks.hooks import Hook, HookSource
from minikube_api.server.webhooks.matching import Subject
from minikube_api.server.webhooks.reviews import BadResponse, Verdict, namespace_of, refusal
from minikube_api.server.webhooks.versions import Versions, equivalents, kind_of

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)


#: how a failed call is told, by what failed
_FAILED = {
    CallFailed: "failed to call webhook",
    Unreachable: "could not get REST client",
    BadResponse: "received invalid webhook response",
}


class FailedCalling(Exception):
    """The webhook gave no verdict; what follows is up to its failurePolicy."""

    def __init__(self, hook: Hook, why: str) -> None:
        super().__init__(f'failed calling webhook "{hook.name}": {why}')


@dataclass(frozen=True, slots=True)
class Invocation:
    """A webhook that wants this request, and the version of the resource that its rule names."""

    hook: Hook
    resource: Resource


class _Webhooks:
    """What both plug-ins do: choose webhooks, call one."""

    plural = ""
    mutating = False

    def __init__(self, server: Server, caller: Caller, lister: Lister) -> None:
        self._server = server
        self._caller = caller
        self._lister = lister
        self._source = HookSource(server.storage, server.registry, self.plural)

    @property
    def kind(self) -> str:
        """How metrics call this plug-in."""
        return "admit" if self.mutating else "validating"

    def handles(self, operation: Operation) -> bool:
        return True

    async def hooks(self, attributes: AdmissionAttributes) -> tuple[Hook, ...]:
        source = self._source
        if not source.loaded:
            await source.load()
        if not source.current or matching.exempt(attributes.resource.group, attributes.resource.plural):
            return ()
        return source.current

    async def wanted(self, hook: Hook, attributes: AdmissionAttributes, versions: Versions) -> Invocation | None:
        """Raises what selectors and conditions that can't be decided make of the request."""
        resource = self._matched(hook, attributes)
        if resource is None or not matching.any_object_matches(hook.object_selector, await versions.of(attributes.resource)):
            return None
        if not await self._namespace_matches(hook, attributes):
            return None
        if hook.conditions and not await self._conditions(hook, attributes, resource, versions):
            return None
        return Invocation(hook, resource)

    def _matched(self, hook: Hook, attributes: AdmissionAttributes) -> Resource | None:
        """The resource itself, or with matchPolicy Equivalent another version of it, that a rule names."""
        own = attributes.resource
        namespace = namespace_of(attributes)

        def subject(resource: Resource) -> Subject:
            return Subject(
                attributes.operation, resource.group, resource.version, resource.plural, attributes.subresource, namespace
            )

        asked = subject(own)
        if any(rule.matches(asked) for rule in hook.rules):
            return own
        if hook.equivalent:
            others = equivalents(self._server.registry, own)
            for rule in hook.rules:
                for other in others:
                    if rule.matches(subject(other)):
                        return other
        return None

    async def _namespace_matches(self, hook: Hook, attributes: AdmissionAttributes) -> bool:
        selector = hook.namespace_selector
        namespace = namespace_of(attributes)
        is_namespace = not attributes.resource.group and attributes.resource.plural == "namespaces"
        if selector.everything or (not namespace and not is_namespace):
            return True
        if is_namespace and not attributes.subresource and attributes.operation in ("CREATE", "UPDATE"):
            tree: Object | None = attributes.obj
        else:
            tree = await self._lister.get("", "namespaces", "", namespace)
        if tree is None:
            raise NotFound.object("namespaces", namespace)
        return selector.matches(tree["metadata"].get("labels") or {})

    async def _conditions(self, hook: Hook, attributes: AdmissionAttributes, resource: Resource, versions: Versions) -> bool:
        from minikube_api.server.webhooks import conditions

        obj, old = await versions.of(resource)
        evaluator = conditions.evaluator()
        kind = kind_of(attributes, resource)
        try:
            return await conditions.all_true(evaluator, hook, attributes, kind, obj, old, self._server.authorizer)
        except conditions.ConditionFailed as error:
            raise forbidden(attributes, str(error)) from error

    async def call(
        self, invocation: Invocation, attributes: AdmissionAttributes, obj: Object | None, old: Object | None
    ) -> Verdict:
        """The webhook's verdict, also when it refuses. Raises FailedCalling and BadRequest."""
        hook = invocation.hook
        if attributes.dry_run and hook.side_effects not in ("None", "NoneOnDryRun"):
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        version = hook.review_version
        if not version:
            raise FailedCalling(
                hook, "could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            )
        uid = str(uuid4())
        question = reviews.review(attributes, invocation.resource, obj, old, uid=uid, version=version)
        clock, metrics, kind = self._server.clock, self._server.admission_metrics, self.kind
        began = clock.monotonic()
        try:
            answer = await self._caller.post(hook.tree["clientConfig"], question, hook.timeout)
            verdict = reviews.verdict(answer, uid=uid, version=version, mutating=self.mutating)
        except (CallFailed, Unreachable, BadResponse) as error:
            metrics.called(hook.name, kind, attributes.operation, clock.monotonic() - began, 0, rejected=not hook.ignores_failure)
            if hook.ignores_failure:
                metrics.failed_open(hook.name, kind)
            else:
                metrics.rejected(hook.name, kind, attributes.operation, "calling_webhook_error", 0)
            raise FailedCalling(hook, f"{_FAILED[type(error)]}: {error}") from error
        refused = not verdict.allowed
        code = refusal(hook.name, verdict.result).status_code if refused else 200
        metrics.called(hook.name, kind, attributes.operation, clock.monotonic() - began, code, rejected=refused)
        if refused:
            metrics.rejected(hook.name, kind, attributes.operation, "no_error", code)
        for key, value in verdict.audit_annotations.items():
            attributes.audit_annotations[f"{hook.name}/{key}"] = value
        for text in verdict.warnings:
            if text not in attributes.warnings:
                attributes.warnings.append(text)
        return verdict


class MutatingAdmissionWebhook(_Webhooks):
    name = "MutatingAdmissionWebhook"
    plural = "mutatingwebhookconfigurations"
    mutating = True

    async def validate(self, attributes: AdmissionAttributes) -> None:
        return

    async def admit(self, attributes: AdmissionAttributes) -> None:
        hooks = await self.hooks(attributes)
        if not hooks:
            return
        if attributes.reinvocation is None:
            attributes.reinvocation = Reinvocation()
        again = attributes.reinvocation
        memory: _Memory = again.values.setdefault(self.name, _Memory())
        if again.second_round and memory.output != attributes.obj:
            # plug-ins of the second round changed the object: whoever may be asked again is
            memory.due = set(memory.asked)
        versions = Versions(attributes)
        try:
            for place, hook in enumerate(hooks):
                invocation = await self.wanted(hook, attributes, versions)
                if invocation is None or (again.second_round and hook.uid not in memory.due):
                    continue
                if await self._invoke(invocation, attributes, versions, f"round_{int(again.second_round)}_index_{place}"):
                    memory.due |= memory.asked
                    again.asked = True
                if hook.reinvoked:
                    memory.asked.add(hook.uid)
        finally:
            memory.output = orjson.loads(orjson.dumps(attributes.obj))

    async def _invoke(self, invocation: Invocation, attributes: AdmissionAttributes, versions: Versions, place: str) -> bool:
        """Says whether the object was changed. Raises what refuses the request."""
        hook, resource = invocation.hook, invocation.resource
        obj, old = await versions.of(resource)
        try:
            verdict = await self.call(invocation, attributes, obj, old)
            if not verdict.allowed:
                raise refusal(hook.name, verdict.result)
            if verdict.patch and verdict.patch_type != "JSONPatch":
                raise FailedCalling(hook, f'unsupported patch type "{verdict.patch_type}"')
        except FailedCalling as error:
            if not hook.ignores_failure:
                raise internal(str(error)) from error
            log.warning("%s; it is ignored", error)
            attributes.audit_annotations[f"failed-open.mutating.webhook.admission.k8s.io/{place}"] = hook.name
            return False
        changed = await self._apply(invocation, attributes, obj, verdict, versions) if verdict.patch else False
        note = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
        attributes.audit_annotations[f"mutation.webhook.admission.k8s.io/{place}"] = orjson.dumps(note).decode()
        return changed

    async def _apply(
        self, invocation: Invocation, attributes: AdmissionAttributes, obj: Object | None, verdict: Verdict, versions: Versions
    ) -> bool:
        try:
            operations = orjson.loads(verdict.patch)
            checked = patches.check_operations(operations)
        except (orjson.JSONDecodeError, StatusError) as error:
            raise internal(str(error)) from error
        if not checked:
            return False
        if obj is None:
            text = f'admission webhook "{invocation.hook.name}" attempted to modify the object, which is not supported for this operation'
            raise internal(text)
        resource, before = invocation.resource, orjson.dumps(obj, option=orjson.OPT_SORT_KEYS)
        try:
            made = patches.json_patch(obj, checked)
        except StatusError as error:
            raise internal(str(error.__cause__ or error)) from error
        made = orjson.loads(orjson.dumps(made))
        self._clean(made, attributes, resource)
        if orjson.dumps(made, option=orjson.OPT_SORT_KEYS) == before:
            return False
        await versions.set(resource, made)
        return True

    def _clean(self, made: Any, attributes: AdmissionAttributes, resource: Resource) -> None:
        """What decoding does to an object: unknown fields go, defaults come. Raises InternalError for what is no such object."""
        kind = kind_of(attributes, resource)[2]
        try:
            if not isinstance(made, dict):
                raise BadRequest("json: cannot unmarshal into Go value of type map[string]interface {}")
            if resource.custom and not (attributes.subresource and kind == "Scale"):
                from minikube_api.server.crds import bodies

                bodies.clean(made, resource, "Ignore")  # type: ignore[arg-type]
            elif kind == resource.kind:
                decoding.check(made, resource.schema, kind=kind, api_version=resource.api_version, validation="Ignore")
        except StatusError as error:
            raise internal(str(error)) from error
        if kind == resource.kind:
            resource.strategy.default(made)


class _Memory:
    """What one request's webhooks have done so far: whom to ask again, and what they left behind."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self.due: set[str] = set()
        self.output: Object | None = None


class ValidatingAdmissionWebhook(_Webhooks):
    name = "ValidatingAdmissionWebhook"
    plural = "validatingwebhookconfigurations"

    async def admit(self, attributes: AdmissionAttributes) -> None:
        return

    async def validate(self, attributes: AdmissionAttributes) -> None:
        hooks = await self.hooks(attributes)
        if not hooks:
            return
        versions = Versions(attributes)
        calls = []
        for place, hook in enumerate(hooks):
            invocation = await self.wanted(hook, attributes, versions)
            if invocation is not None:
                obj, old = await versions.of(invocation.resource)
                calls.append((place, invocation, obj, old))
        if not calls:
            return
        refusals: list[StatusError] = []

        async def ask(place: int, invocation: Invocation, obj: Object | None, old: Object | None) -> None:
            refused = await self._ask(invocation, attributes, obj, old, f"round_0_index_{place}")
            if refused is not None:
                refusals.append(refused)

        if len(calls) == 1:
            await ask(*calls[0])
        else:
            async with asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(ask(*call), name=f"webhook-{call[1].hook.name}")
        if refusals:
            # the first that came: kube-apiserver merges none either
            raise refusals[0]

    async def _ask(
        self, invocation: Invocation, attributes: AdmissionAttributes, obj: Object | None, old: Object | None, place: str
    ) -> StatusError | None:
        hook = invocation.hook
        try:
            verdict = await self.call(invocation, attributes, obj, old)
        except FailedCalling as error:
            if not hook.ignores_failure:
                return internal(str(error))
            log.warning("%s; it is ignored", error)
            attributes.audit_annotations[f"failed-open.validating.webhook.admission.k8s.io/{place}"] = hook.name
            return None
        except StatusError as error:
            return error
        return None if verdict.allowed else refusal(hook.name, verdict.result)


def internal(text: str) -> InternalError:
    """apierrors.NewInternalError."""
    return InternalError(f"Internal error occurred: {text}", details={"causes": [{"message": text}]})
