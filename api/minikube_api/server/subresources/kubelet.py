"""log, exec, attach and portforward of pods: found, checked, and handed through to the kubelet of the pod's node.

The kubelet's paths and parameters are the real ones; its address comes from the Node's status and is dialled through the Dialer
with the API server's kubelet client certificate.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

import aiohttp

from minikube_api.meta import field_errors
from minikube_api.meta.errors import BadRequest, FieldError, InternalError, Invalid, NotFound, StatusError
from minikube_api.resources.resource import Resource
from minikube_api.server import tunnels
from minikube_api.server.admission.chain import AdmissionChain
from minikube_api.server.context import Answer, Object, Reply, Request, Stream, Tunnel
from minikube_api.server.contract import AdmissionAttributes
from minikube_api.server.negotiation import View
from minikube_api.server.outgoing import Unreachable
from minikube_api.server.tunnels import Target
from minikube_api.server.websockets import LOG_PROTOCOLS, over_websocket, send_log
from minikube_api.server.websockets import wanted as websocket_wanted

if TYPE_CHECKING:
    from minikube_api.server.server import Server

#: kubelet's names of what exec and attach streams are wanted
_STREAMS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
_LOG_OPTIONS = ("follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")


class Kubelets:
    """How kubelets are reached: address and port of a node's status, and the TLS context towards them."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._context: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        if self._context is None:
            config = self._server.config
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            # as kube-apiserver: the chain is checked when a CA is given; nodes are known by address, not by name
            context.check_hostname = False
            if config.kubelet_ca is not None:
                context.load_verify_locations(config.kubelet_ca)
            else:
                context.verify_mode = ssl.CERT_NONE
            if config.kubelet_certificate is not None:
                context.load_cert_chain(config.kubelet_certificate, config.kubelet_key)
            self._context = context
        return self._context

    async def target(self, name: str) -> Target:
        """Raises NotFound and InternalError (a node without address)."""
        resource = self._server.registry.get("", "v1", "nodes")
        assert resource is not None
        entry = await self._server.storage.cacher(resource).get("", name, "")
        if entry is None:
            raise NotFound.object("nodes", name)
        status = entry.tree().get("status") or {}
        endpoints = status.get("daemonEndpoints") or {}
        port = (endpoints.get("kubeletEndpoint") or {}).get("Port") or 10250
        return Target(node_address(name, status), port, self.context)


def node_address(name: str, status: Object) -> str:
    """kube-apiserver's --kubelet-preferred-address-types, the ones that can be dialled."""
    addresses = {a.get("type"): a.get("address") for a in reversed(status.get("addresses") or [])}
    for kind in ("InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"):
        if addresses.get(kind):
            return addresses[kind]
    raise InternalError(f"no preferred addresses found; known addresses: {list(addresses.items())} (node {name})")


class KubeletStreams:
    def __init__(self, server: Server) -> None:
        self._server = server
        self.kubelets = Kubelets(server)

    async def _pod(self, request: Request, resource: Resource) -> Object:
        info = request.info
        entry = await self._server.storage.cacher(resource).get(info.namespace, info.name, "")
        if entry is None:
            raise NotFound.object(resource.plural, info.name, resource.group)
        return entry.tree()

    async def log(self, request: Request, resource: Resource, view: View) -> Reply:
        if errors := log_option_problems(request):
            raise Invalid.object("", "PodLogOptions", request.info.name, errors)
        pod = await self._pod(request, resource)
        container = container_of(pod, request.query.get("container", ""))
        if not (pod.get("spec") or {}).get("nodeName"):
            # nothing ran, so that there is nothing to say
            return Answer(204, b"")
        target = await self._target(pod)
        wanted = {key: request.query[key] for key in _LOG_OPTIONS if key in request.query}
        info = request.info
        path = f"/containerLogs/{info.namespace}/{info.name}/{container}"
        stream = await self._fetch(target, path, wanted)
        return over_websocket(stream, send_log, LOG_PROTOCOLS) if websocket_wanted(request) else stream

    async def _fetch(self, target: Target, path: str, query: dict[str, str]) -> Reply:
        session = aiohttp.ClientSession(
            connector=tunnels.DialingConnector(self._server.config.dialer, target),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        url = f"https://{target.authority}{path}"
        try:
            response = await session.get(url, params=query)
        except (aiohttp.ClientError, Unreachable) as error:
            await session.close()
            asked = f"?{urlencode(query)}" if query else ""
            raise StatusError(f'Get "{url}{asked}": {tunnels.reason(error)}', reason="") from error
        except BaseException:
            await session.close()
            raise
        if response.status >= 400:
            text = await response.text()
            await session.close()
            raise _refused(response.status, text)
        return Stream(response.status, _body(session, response), response.headers.get("Content-Type", "text/plain"))

    async def _target(self, pod: Object) -> Target:
        node = (pod.get("spec") or {}).get("nodeName")
        if not node:
            raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
        return await self.kubelets.target(node)

    async def exec(self, request: Request, resource: Resource, view: View) -> Reply:
        return await self._stream(request, resource, "exec")

    async def attach(self, request: Request, resource: Resource, view: View) -> Reply:
        return await self._stream(request, resource, "attach")

    async def _stream(self, request: Request, resource: Resource, verb: str) -> Reply:
        pod = await self._pod(request, resource)
        container = container_of(pod, request.query.get("container", ""))
        await self._connect(request, resource, pod)
        target = await self._target(pod)
        query = [("command", v) for k, v in parse_qsl(request.query_string, keep_blank_values=True) if k == "command"]
        if verb == "exec" and not query:
            raise BadRequest("you must specify at least 1 command for the container")
        for name, kubelet_name in _STREAMS.items():
            if request.query.get(name) in ("true", "1"):
                query.append((kubelet_name, "1"))
        if not any(key in ("input", "output", "error") for key, _ in query):
            raise BadRequest("you must specify at least one of stdin, stdout, stderr")
        info = request.info
        path = f"/{verb}/{info.namespace}/{info.name}/{container}?{urlencode(query)}"
        return await self.tunnel(request, target, path)

    async def port_forward(self, request: Request, resource: Resource, view: View) -> Reply:
        pod = await self._pod(request, resource)
        await self._connect(request, resource, pod)
        ports = [("port", v) for k, v in parse_qsl(request.query_string) if k in ("port", "ports")]
        info = request.info
        path = f"/portForward/{info.namespace}/{info.name}" + (f"?{urlencode(ports)}" if ports else "")
        return await self.tunnel(request, await self._target(pod), path)

    async def _connect(self, request: Request, resource: Resource, pod: Object) -> None:
        """Admission of CONNECT."""
        await admit_connect(self._server.admission, request, resource, connect_options(request, resource))

    async def tunnel(self, request: Request, target: Target, path: str) -> Reply:
        """Hand the client's upgrade to the target. Raises BadRequest for requests that ask for none."""
        if request.native is None or not tunnels.upgrade_requested(request.headers):
            raise BadRequest("Upgrade request required")
        reader, writer = await tunnels.connect(self._server.config.dialer, target)
        head = tunnels.request_head(request.method, path, target, _pairs(request))

        async def run(native: object) -> None:
            await tunnels.run(native, reader, writer, head)  # type: ignore[arg-type]

        return Tunnel(run)


def log_option_problems(request: Request) -> list[FieldError]:
    """ValidatePodLogOptions. Raises BadRequest for what is no number."""
    given = {name: request.integer(name) for name in ("tailLines", "limitBytes", "sinceSeconds")}
    errors: list[FieldError] = []
    tail, limit, since = given["tailLines"], given["limitBytes"], given["sinceSeconds"]
    if tail is not None and tail < 0:
        errors.append(field_errors.invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        errors.append(field_errors.invalid("limitBytes", limit, "must be greater than 0"))
    if since is not None and request.query.get("sinceTime"):
        errors.append(
            field_errors.forbidden(field_errors.NO_NAME, "at most one of `sinceTime` or `sinceSeconds` may be specified")
        )
    elif since is not None and since < 1:
        errors.append(field_errors.invalid("sinceSeconds", since, "must be greater than 0"))
    return errors


async def admit_connect(admission: AdmissionChain, request: Request, resource: Resource, options: Object) -> None:
    """Admission of CONNECT: the object is what the request's options say (PodExecOptions...)."""
    if not admission.handles("CONNECT"):
        return
    info = request.info
    attributes = AdmissionAttributes(
        "CONNECT",
        request.user,
        resource,
        info.subresource,
        info.namespace,
        info.name,
        options,
        None,
        warnings=request.warnings,
        audit_annotations=request.audit_annotations,
    )
    await admission.admit(attributes)
    await admission.validate(attributes)


def connect_options(request: Request, resource: Resource) -> Object:
    """PodExecOptions, PodAttachOptions or PodPortForwardOptions of a query, as webhooks see them."""
    made: Object = {"kind": resource.subresources[request.info.subresource].kind, "apiVersion": "v1"}
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    if request.info.subresource == "portforward":
        ports = [int(v) for k, values in pairs if k == "ports" for v in values.split(",") if v.isdecimal()]
        return {**made, "ports": ports} if ports else made
    for name in _STREAMS:
        if request.query.get(name) in ("true", "1"):
            made[name] = True
    if request.query.get("container"):
        made["container"] = request.query["container"]
    if commands := [v for k, v in pairs if k == "command"]:
        made["command"] = commands
    return made


def _pairs(request: Request) -> list[tuple[str, str]]:
    """All headers but the bearer token that some clients hide in the WebSocket sub-protocols."""
    pairs = []
    for key, value in request.headers.items():
        if key.lower() == "sec-websocket-protocol":
            kept = [p for p in (part.strip() for part in value.split(",")) if not p.startswith("base64url.bearer.authorization")]
            if not kept:
                continue
            value = ", ".join(kept)
        pairs.append((key, value))
    return pairs


def container_of(pod: Object, asked: str) -> str:
    """The container a request means: the one named, the annotated default's place taken by the client, or the only one."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    regular = [c["name"] for c in spec.get("containers") or []]
    initial = [c["name"] for c in spec.get("initContainers") or []]
    ephemeral = [c["name"] for c in spec.get("ephemeralContainers") or []]
    if asked:
        if asked not in (*regular, *initial, *ephemeral):
            raise BadRequest(f"container {asked} is not valid for pod {name}")
        return asked
    if len(regular) == 1:
        return regular[0]
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(regular)}]"
    if initial:
        text += f" or one of the init containers: [{' '.join(initial)}]"
    if ephemeral:
        text += f" or one of the ephemeral containers: [{' '.join(ephemeral)}]"
    raise BadRequest(text)


async def _body(session: aiohttp.ClientSession, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    finally:
        response.close()
        await session.close()


def _refused(status: int, text: str) -> StatusError:
    """What a kubelet refused, as the client sees it."""
    message = text.strip() or f"the kubelet answered {status}"
    if status == 400:
        return BadRequest(message)
    if status == 404:
        return NotFound(
            f"the server could not find the requested resource ( {message})",
            details={"causes": [{"reason": "UnexpectedServerResponse", "message": message}]},
        )
    return InternalError(f"Internal error occurred: {message}")
