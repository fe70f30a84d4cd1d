"""Subresources with a body or a protocol of their own, hung into the router by name.

`status`, `finalize`, `approval`, `ephemeralcontainers` and `resize` are not here: they are ordinary writes of the parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minikube_api.server.subresources.binding import Bindings
from minikube_api.server.subresources.eviction import Evictions
from minikube_api.server.subresources.scale import Scales

if TYPE_CHECKING:
    from minikube_api.server.server import Server


def install(server: Server) -> None:
    """Register all handlers of this package. `token` is registered by `server.access`, which holds the keys."""
    from minikube_api.server.component_statuses import ComponentStatuses
    from minikube_api.server.subresources.kubelet import KubeletStreams
    from minikube_api.server.subresources.proxying import Proxies

    router = server.router
    bindings = Bindings(server.writer)
    pods = server.registry.get("", "v1", "pods")
    if pods is not None:
        bindings.use(pods)
    streams = KubeletStreams(server)
    proxies = Proxies(server, streams.kubelets)
    router.subresources.update(
        {
            "scale": Scales(server.writer).serve,
            "binding": bindings.serve,
            "eviction": Evictions(server.writer, server.deleter, server.registry).serve,
            "log": streams.log,
            "exec": streams.exec,
            "attach": streams.attach,
            "portforward": streams.port_forward,
            "proxy": proxies.serve,
        }
    )
    router.virtual["", "bindings"] = bindings.serve
    router.virtual["", "componentstatuses"] = ComponentStatuses(server).serve
