"""The proxy subresource of pods, services and nodes: an HTTP reverse proxy with path rewriting, upgrades included.

Names are `[scheme:]name[:port]`, as in Kubernetes ("Access services running on clusters"). Services are reached at one of their
ready endpoints, nodes at their kubelet.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import aiohttp

from minikube_api.cache.requests import ListRequest, Selection
from minikube_api.meta import selectors
from minikube_api.meta.errors import BadRequest, NotFound, ServiceUnavailable
from minikube_api.resources.resource import Resource
from minikube_api.server import tunnels
from minikube_api.server.context import Answer, Object, Reply, Request, Stream, Tunnel
from minikube_api.server.negotiation import View
from minikube_api.server.outgoing import Unreachable
from minikube_api.server.services import ready_addresses
from minikube_api.server.subresources.kubelet import Kubelets, admit_connect
from minikube_api.server.tunnels import Target

if TYPE_CHECKING:
    from minikube_api.server.server import Server

_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "proxy-authenticate"}
)
_NOT_SENT = _HOP | {"host", "authorization"}


def split_name(text: str) -> tuple[str, str, str]:
    """(scheme, name, port) of `[scheme:]name[:port]`. Raises BadRequest."""
    parts = text.split(":")
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        if parts[0] in ("http", "https") and parts[1] and not parts[1].isdecimal():
            return parts[0], parts[1], ""
        return "", parts[0], parts[1]
    if len(parts) == 3 and parts[0] in ("", "http", "https"):
        return parts[0], parts[1], parts[2]
    raise BadRequest(f'invalid pod, service or node request "{text}"')


class Proxies:
    def __init__(self, server: Server, kubelets: Kubelets, rng: random.Random | None = None) -> None:
        self._server = server
        self._kubelets = kubelets
        self._rng = rng or random.Random()

    async def serve(self, request: Request, resource: Resource, view: View) -> Reply:
        base, _, rest = request.raw_path.partition("/proxy")
        if not rest and request.method in ("GET", "HEAD"):
            where = f"{request.raw_path}/" + (f"?{request.query_string}" if request.query_string else "")
            return Answer(301, b"", "", {"Location": where})
        options = {"kind": resource.subresources["proxy"].kind, "apiVersion": "v1", "path": rest or "/"}
        await admit_connect(self._server.admission, request, resource, options)
        target = await self._target(request, resource)
        path = quote(rest or "/", safe="/%:@!$&'()*+,;=-._~")
        if request.query_string:
            path += "?" + request.query_string
        if request.native is not None and tunnels.upgrade_requested(request.headers):
            return await self._tunnel(request, target, path)
        return await self._forward(request, target, path, f"{base}/proxy")

    async def _target(self, request: Request, resource: Resource) -> Target:
        scheme, name, port = split_name(request.info.name)
        if resource.plural == "nodes":
            return await self._node(name, port, scheme)
        if resource.plural == "services":
            return await self._service(resource, request.info.namespace, name, port, scheme)
        return await self._pod(resource, request.info.namespace, name, port, scheme)

    async def _node(self, name: str, port: str, scheme: str) -> Target:
        target = await self._kubelets.target(name)
        if not port or int(port) == target.port:
            return target
        return Target(target.host, int(port), insecure() if scheme == "https" else None)

    async def _pod(self, resource: Resource, namespace: str, name: str, port: str, scheme: str) -> Target:
        entry = await self._server.storage.cacher(resource).get(namespace, name, "")
        if entry is None:
            raise NotFound.object("pods", name)
        pod = entry.tree()
        ports = [p for c in (pod.get("spec") or {}).get("containers") or [] for p in c.get("ports") or []]
        number = 0
        if not port:
            number = ports[0].get("containerPort", 0) if ports else 80
        elif port.isdecimal():
            number = int(port)
        else:
            number = next((p.get("containerPort", 0) for p in ports if p.get("name") == port), 0)
        address = (pod.get("status") or {}).get("podIP")
        if not address or not number:
            raise BadRequest("address not allowed")
        return Target(address, number, insecure() if scheme == "https" else None)

    async def _service(self, resource: Resource, namespace: str, name: str, port: str, scheme: str) -> Target:
        entry = await self._server.storage.cacher(resource).get(namespace, name, "")
        if entry is None:
            raise NotFound.object("services", name)
        ports = (entry.tree().get("spec") or {}).get("ports") or []
        chosen = service_port(ports, port)
        if chosen is None:
            raise ServiceUnavailable(f'no service port "{port}" found for service "{name}"')
        slices = self._server.registry.get("discovery.k8s.io", "v1", "endpointslices")
        assert slices is not None
        selection = Selection(namespace=namespace, labels=selectors.from_labels({"kubernetes.io/service-name": name}))
        page = await self._server.storage.cacher(slices).list(ListRequest(selection=selection))
        found = [address for e in page.items for address in ready_addresses(e.tree(), chosen.get("name") or "")]
        if not found:
            raise ServiceUnavailable(f'no endpoints available for service "{name}"')
        chosen_one = self._rng.choice(found)
        return Target(chosen_one.host, chosen_one.port, insecure() if scheme == "https" else None)

    async def _tunnel(self, request: Request, target: Target, path: str) -> Reply:
        reader, writer = await tunnels.connect(self._server.config.dialer, target)
        head = tunnels.request_head(request.method, path, target, list(request.headers.items()))

        async def run(native: object) -> None:
            await tunnels.run(native, reader, writer, head)  # type: ignore[arg-type]

        return Tunnel(run)

    async def _forward(self, request: Request, target: Target, path: str, prefix: str) -> Reply:
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _NOT_SENT]
        headers += [
            ("X-Forwarded-Uri", request.raw_path),
            ("X-Forwarded-Host", request.headers.get("Host", "")),
            ("X-Forwarded-Proto", "https"),
        ]
        if request.remote:
            headers.append(("X-Forwarded-For", request.remote))
        scheme = "http" if target.context is None else "https"
        session = aiohttp.ClientSession(
            connector=tunnels.DialingConnector(self._server.config.dialer, target),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        try:
            from yarl import URL

            response = await session.request(
                request.method,
                URL(f"{scheme}://{target.authority}{path}", encoded=True),
                headers=headers,
                data=await request.read_body() or None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Content-Type", "Accept-Encoding"),
            )
        except (aiohttp.ClientError, Unreachable) as error:
            await session.close()
            raise tunnels.unreachable(error) from error
        except BaseException:
            await session.close()
            raise
        answered = {k: v for k, v in response.headers.items() if k.lower() not in _HOP}
        if "Location" in answered:
            answered["Location"] = rewritten(answered["Location"], target, prefix)
        content_type = answered.pop("Content-Type", "")
        return Stream(response.status, _body(session, response), content_type, answered)


def service_port(ports: list[Object], asked: str) -> Object | None:
    """The service port that a request names: by name or number; the only one when it names none."""
    if not asked:
        return ports[0] if ports else None
    return next((p for p in ports if p.get("name") == asked or str(p.get("port")) == asked), None)


def rewritten(location: str, target: Target, prefix: str) -> str:
    """A redirect of the backend as the client must follow it: below the proxy path, unless it leads elsewhere."""
    parts = urlsplit(location)
    if parts.netloc and parts.netloc not in (target.authority, target.host):
        return location
    if not parts.netloc and not parts.path.startswith("/"):
        return location
    return prefix + parts.path + (f"?{parts.query}" if parts.query else "")


def insecure() -> ssl.SSLContext:
    """Backends behind `https:` have certificates of their own that nobody told the server about (as in kube-apiserver)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _body(session: aiohttp.ClientSession, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.content.iter_any():
            yield chunk
    finally:
        response.close()
        await session.close()
