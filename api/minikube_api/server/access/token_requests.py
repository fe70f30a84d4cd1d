"""serviceaccounts/token: TokenRequest (authentication.k8s.io/v1), with the checks of its bound object."""

from __future__ import annotations

import orjson

from minikube_api.meta import field_errors, times
from minikube_api.meta.errors import BadRequest, Conflict, Invalid, NotFound
from minikube_api.resources.resource import Resource
from minikube_api.schema import builtin, managed
from minikube_api.schema.model import Schema
from minikube_api.server import codecs, views
from minikube_api.server.access.service_accounts import Bound, ServiceAccountTokens
from minikube_api.server.context import Answer, Object, Request
from minikube_api.server.metadata import new_uid
from minikube_api.server.negotiation import View
from minikube_api.server.options import manager_of, write_options
from minikube_api.server.update_rules import check_namespace
from minikube_api.server.writing import Writer

GROUP = "authentication.k8s.io"
API_VERSION = f"{GROUP}/v1"
DEFAULT_SECONDS = 3600
_LEAST, _MOST = 600, 1 << 32


class TokenRequests:
    """The handler of the `token` subresource."""

    def __init__(self, tokens: ServiceAccountTokens, writer: Writer) -> None:
        self._tokens = tokens
        self._writer = writer

    async def serve(self, request: Request, resource: Resource, view: View) -> Answer:
        options = write_options(request, "CreateOptions")
        schema = builtin.load(GROUP, "v1", "TokenRequest")
        body = await request.read_body()
        asked = codecs.decode_kind(body, request, schema, "TokenRequest", API_VERSION, options.field_validation)
        spec = asked.setdefault("spec", {})
        if spec.get("expirationSeconds") is None:
            spec["expirationSeconds"] = DEFAULT_SECONDS
        write = self._writer.begin(request, resource, "CREATE", options)
        write.kind = (GROUP, "v1", "TokenRequest")
        track(asked, schema, manager_of(options, request), write.context.now)
        meta = asked["metadata"]
        check_namespace(asked, write.namespace)
        await self._writer.admission.admit(self._writer.attributes(write, asked))
        check_name(meta, write.name)
        entry = await self._writer.storage.current(resource, write.namespace, write.name)
        if entry is None:
            raise NotFound.object(resource.plural, write.name)
        account = entry.tree()
        meta |= {"name": write.name, "namespace": write.namespace, "creationTimestamp": write.context.now}
        meta["uid"] = new_uid(self._writer.rng)
        audiences = spec["audiences"] = spec.get("audiences") or list(self._tokens.audiences)
        check_expiration(spec["expirationSeconds"])
        await self._writer.admission.validate(self._writer.attributes(write, asked))
        bound = await self._bound(spec.get("boundObjectRef"), write.namespace, write.name)
        token, expires, identity = self._tokens.issue(account, audiences, spec["expirationSeconds"], bound)
        request.audit_annotations["authentication.kubernetes.io/issued-credential-id"] = identity
        status = {"token": token, "expirationTimestamp": times.format_time(expires)}
        spec = {
            "audiences": audiences,
            "expirationSeconds": spec["expirationSeconds"],
            "boundObjectRef": spec.get("boundObjectRef"),
        }
        answer = {"kind": "TokenRequest", "apiVersion": API_VERSION, "metadata": meta, "spec": spec, "status": status}
        return views.encoded(201, orjson.dumps(answer), view)

    async def _bound(self, ref: Object | None, namespace: str, account: str) -> Bound | None:
        if not ref:
            return None
        kind, version = ref.get("kind", ""), ref.get("apiVersion", "")
        group, _, bare = version.rpartition("/")
        if group or kind not in ("Pod", "Secret", "Node"):
            raise BadRequest(f"cannot bind token to object of type {group}/{bare}, Kind={kind}")
        plural = f"{kind.lower()}s"
        obj = await self._object(plural, namespace if kind != "Node" else "", ref.get("name", ""))
        if kind == "Pod":
            check_pod_account(obj, account)
        uid = obj["metadata"]["uid"]
        if ref.get("uid") and ref["uid"] != uid:
            why = (
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
            raise Conflict(
                f'Operation cannot be fulfilled on {kind} "{ref["name"]}": {why}', details={"name": ref["name"], "kind": kind}
            )
        return Bound(kind.lower(), obj["metadata"]["name"], uid, await self._node_of(obj) if kind == "Pod" else None)

    async def _node_of(self, pod: Object) -> tuple[str, str] | None:
        name = (pod.get("spec") or {}).get("nodeName", "")
        if not name:
            return None
        try:
            node = await self._object("nodes", "", name)
        except NotFound:
            return (name, "")
        return (name, node["metadata"]["uid"])

    async def _object(self, plural: str, namespace: str, name: str) -> Object:
        resource = self._tokens._registry.get("", "v1", plural)
        entry = None if resource is None else await self._writer.storage.current(resource, namespace, name)
        if entry is None:
            raise NotFound.object(plural, name)
        return entry.tree()


def check_expiration(seconds: int) -> None:
    path = "spec.expirationSeconds"
    if seconds < _LEAST:
        problem = field_errors.invalid(path, seconds, "may not specify a duration less than 10 minutes")
    elif seconds > _MOST:
        problem = field_errors.invalid(path, seconds, "may not specify a duration larger than 2^32 seconds")
    else:
        return
    raise Invalid.object(GROUP, "TokenRequest", "", [problem])


def check_name(meta: Object, name: str) -> None:
    """The name may be left out; the namespace was looked at before."""
    if meta.get("name", name) != name:
        problem = field_errors.invalid("metadata.name", meta["name"], "must match the service account name if specified")
        raise Invalid.object(GROUP, "TokenRequest", name, [problem])


def check_pod_account(pod: Object, account: str) -> None:
    """A token bound to a pod must be of the pod's own account."""
    if (pod.get("spec") or {}).get("serviceAccountName", "") != account:
        raise BadRequest(f'cannot bind token for serviceaccount "{account}" to pod running with different serviceaccount name.')


def track(asked: Object, schema: Schema, manager: str, now: str) -> None:
    """managedFields of the request, as of any body that came through a subresource."""
    writer = managed.Writer(manager=manager, api_version=API_VERSION, schema=schema, now=now, subresource="token", reset={})
    managed.on_update(None, asked, writer)
