"""What an empty cluster holds: system namespaces, priority classes, flow schemas, local APIServices, the kubernetes Service.

Facts of a running kube-apiserver 1.36 (`bootstrap.jsonl`); other rooms of the server add objects of theirs (`objects`). All are
created through the ordinary way of a write, by the server's own identity, and only when they are missing.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from minikube_api.client.transport import Response
from minikube_api.meta.errors import StatusError
from minikube_api.server.aggregation.authentication_info import config_map
from minikube_api.server.context import Object, UserInfo

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

#: the identity kube-apiserver uses towards itself
APISERVER = UserInfo("system:apiserver", groups=("system:masters",))
_FACTS = Path(__file__).with_name("bootstrap.jsonl")
_JSON = {"Content-Type": "application/json"}


class Bootstrap:
    """`objects` are further trees with apiVersion and kind, in the order they are to be created."""

    def __init__(self, server: Server, objects: Iterable[Object] = ()) -> None:
        self._server = server
        self._objects = tuple(objects)
        self._client = server.transport(APISERVER, "kube-apiserver")

    async def run(self) -> None:
        """Create what is missing. What the server refuses of its own objects is logged as an error."""
        for tree in (*facts(), *self._objects):
            await self._ensure(tree)
        await self._authentication_info()
        await self._kubernetes_service()

    async def _authentication_info(self) -> None:
        """Written at every start: authorities may have changed."""
        config = self._server.config
        tree = config_map(config.client_ca, config.requestheader_ca, tuple(config.requestheader_allowed_names))
        if tree is not None and self._path(tree) is not None:
            await self._replace(tree)

    async def _ensure(self, tree: Object) -> None:
        path = self._path(tree)
        if path is None:
            return
        name = tree["metadata"]["name"]
        namespace = tree["metadata"].get("namespace", "")
        resource = self._server.registry.by_kind(*_kind(tree))
        assert resource is not None
        if await self._server.storage.cacher(resource).get(namespace, name, "0") is not None:
            return
        response = await self._client.request("POST", path, headers=_JSON, body=orjson.dumps(tree))
        if response.status not in (201, 409):
            # one bad object must not keep the server from serving the others
            log.error("bootstrap of %s %s: %s", tree["kind"], name, _message(response))

    def _path(self, tree: Object) -> str | None:
        """The collection of an object; None when its kind is not served."""
        resource = self._server.registry.by_kind(*_kind(tree))
        if resource is None:
            return None
        base = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
        namespace = f"/namespaces/{tree['metadata']['namespace']}" if resource.namespaced else ""
        return f"{base}{namespace}/{resource.plural}"

    async def _kubernetes_service(self) -> None:
        """default/kubernetes with the endpoints it has this time (ports change from run to run)."""
        address, port = self._advertised()
        first = str(self._server.allocator.network.network_address + 1)
        meta = {"name": "kubernetes", "namespace": "default"}
        labels = {"component": "apiserver", "provider": "kubernetes"}
        await self._ensure(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {**meta, "labels": labels},
                "spec": {
                    "type": "ClusterIP",
                    "clusterIP": first,
                    "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
                },
            }
        )
        if not address:
            log.warning("no address to advertise: default/kubernetes has no endpoints")
            return
        subset = {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
        await self._replace(
            {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {**meta, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
                "subsets": [subset],
            }
        )
        await self._replace(
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": {"kubernetes.io/service-name": "kubernetes"}},
                "addressType": f"IPv{ipaddress.ip_address(address).version}",
                "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
                "ports": subset["ports"],
            }
        )

    async def _replace(self, tree: Object) -> None:
        await self._ensure(tree)
        path = f"{self._path(tree)}/{tree['metadata']['name']}"
        response = await self._client.request("PUT", path, headers=_JSON, body=orjson.dumps(tree))
        if response.status != 200:
            log.error("bootstrap of %s: %s", tree["kind"], _message(response))

    def _advertised(self) -> tuple[str, int]:
        """Where clients in the cluster find the server; "" when the machine has no address but loopback's."""
        config = self._server.config
        port = self._server.ports[0] if self._server.ports else 6443
        if config.advertise is not None:
            return config.advertise[0], config.advertise[1] or port
        host = config.listeners[0].host if config.listeners else ""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return default_address(), port
        return (default_address() if address.is_loopback or address.is_unspecified else host), port


def facts() -> list[Object]:
    """The objects that every cluster has."""
    return [orjson.loads(line) for line in _FACTS.read_bytes().splitlines()]


def default_address() -> str:
    """The address that the machine's default route leaves from, as kube-apiserver's --advertise-address is chosen; "" when none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _kind(tree: Object) -> tuple[str, str, str]:
    group, _, version = tree["apiVersion"].rpartition("/")
    return group, version, tree["kind"]


def _message(response: Response) -> str:
    return StatusError.of(orjson.loads(response.body)).message
