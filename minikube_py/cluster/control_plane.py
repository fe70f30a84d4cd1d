"""The API server of a cluster with its certificates and identities, and clients for components in this process."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from minikube_api.client.client import Client
from minikube_api.server.context import UserInfo
from minikube_api.server.contract import AuditSink, Dialer, DirectDialer
from minikube_api.server.server import Config, Listener, Server
from minikube_py.cluster.credentials import ADMIN, APISERVER_TO_KUBELET, Credentials, Identity
from minikube_py.cluster.layout import Layout
from minikube_py.cluster.network import Network
from minikube_py.cluster.spec import ClusterSpec


def serving_hosts(spec: ClusterSpec, extra: list[str]) -> list[str]:
    """Names and addresses that the API server's certificate is good for."""
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"]
    host, _ = spec.listen_address()
    own = [socket.gethostname()] if host in ("0.0.0.0", "::") else []
    return [*names, *own, "127.0.0.1", "::1", host, spec.kubernetes_ip, *extra]


def server_config(
    spec: ClusterSpec,
    layout: Layout,
    credentials: Credentials,
    *,
    inside: socket.socket | None = None,
    advertise: tuple[str, int] | None = None,
    dialer: Dialer | None = None,
) -> Config:
    """The server's configuration. `inside` is a listening socket in the cluster's network, at the address `advertise`."""
    credentials.serving("apiserver", "kube-apiserver", serving_hosts(spec, [advertise[0]] if advertise else []))
    credentials.client("apiserver-kubelet-client", APISERVER_TO_KUBELET)
    credentials.front_proxy()
    credentials.service_account_key()
    host, port = spec.listen_address()
    listeners = [Listener(host=host, port=port)]
    if inside is not None:
        listeners.append(Listener(sock=inside))
    return Config(
        store="sqlite" if spec.store == "sqlite" else "memory",
        data_dir=layout.data / "store",
        listeners=listeners,
        certificate=credentials.path("apiserver"),
        key=credentials.path("apiserver", "key"),
        client_ca=credentials.path("ca"),
        kubelet_certificate=credentials.path("apiserver-kubelet-client"),
        kubelet_key=credentials.path("apiserver-kubelet-client", "key"),
        kubelet_ca=credentials.path("ca"),
        proxy_client_certificate=credentials.path("front-proxy-client"),
        proxy_client_key=credentials.path("front-proxy-client", "key"),
        requestheader_ca=credentials.path("front-proxy-ca"),
        token_file=Path(spec.token_auth_file) if spec.token_auth_file else None,
        audit=_audit(spec),
        anonymous=spec.anonymous_auth,
        service_account_key=credentials.path("sa", "key"),
        service_cidr=spec.service_cidr,
        advertise=advertise,
        dialer=dialer or DirectDialer(),
    )


def _audit(spec: ClusterSpec) -> AuditSink | None:
    """Raises OSError and ValueError (a policy that can't be followed)."""
    if not spec.audit_log:
        return None
    from minikube_api.server.access import audit
    from minikube_api.server.access.audit_files import Keeping

    keeping = Keeping(spec.audit_log_maxsize, spec.audit_log_maxbackup, spec.audit_log_maxage)
    return audit.open_log(Path(spec.audit_log), Path(spec.audit_policy) if spec.audit_policy else None, keeping)


class ControlPlane:
    """A started API server with what the components of this process need of it."""

    def __init__(self, spec: ClusterSpec, layout: Layout, credentials: Credentials, config: Config) -> None:
        self.spec, self.layout, self.credentials = spec, layout, credentials
        self.server = Server(config)

    async def start(self) -> None:
        await self.server.start()
        path = Path(self.spec.kubeconfig) if self.spec.kubeconfig else self.layout.kubeconfig
        for target in {path, self.layout.kubeconfig}:
            self.credentials.kubeconfig(target, cluster=self.spec.name, server=self.url, name="admin", identity=ADMIN)
        self.kubeconfig = path

    @property
    def url(self) -> str:
        host, _ = self.spec.listen_address()
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"https://{f'[{host}]' if ':' in host else host}:{self.server.ports[0]}"

    def client(self, identity: Identity) -> Client:
        """An in-process client with an identity of its own."""
        return Client(self.server.transport(UserInfo(name=identity.user, groups=identity.groups)))


async def start_control_plane(
    spec: ClusterSpec, layout: Layout, credentials: Credentials, network: Network | None
) -> ControlPlane:
    """A started API server, reachable from inside the cluster's network too. Raises OSError in the user's words when its port is taken."""
    inside: socket.socket | None = None
    dialer: Dialer | None = None
    if network is not None:
        from minikube_py.cluster.egress import ClusterDialer

        inside, dialer = await network.api_listener(), ClusterDialer(network)
    elif spec.runtime == "hollow":
        from minikube_py.cluster.egress import HollowDialer

        dialer = HollowDialer()
    advertise = network.control_plane if network is not None else None
    config = server_config(spec, layout, credentials, inside=inside, advertise=advertise, dialer=dialer)
    plane = ControlPlane(spec, layout, credentials, config)
    try:
        await plane.start()
    except BaseExceptionGroup as group:
        raise _listening(spec, group) from group
    return plane


def _listening(spec: ClusterSpec, group: BaseExceptionGroup) -> BaseException:
    """A port in use is the user's business: say which, and what to do."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return OSError(f"--listen {spec.listen}: the address is in use, by another cluster perhaps; port 0 takes any free one")
    return group
