"""Keys, certificates and kubeconfigs of one cluster, kept with its data and made once.

Identities are Kubernetes' own (kubeadm): `kubernetes-admin` in `kubeadm:cluster-admins`/`system:masters`, `system:kube-scheduler`,
`system:kube-controller-manager`, `system:kube-proxy`, `system:node:NAME` in `system:nodes`.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path

from minikube_api.server.access.certificates import Authority, KeyPair, key_pem, new_key


@dataclass(frozen=True, slots=True)
class Identity:
    """A user with groups, as certificates and in-process transports carry it."""

    user: str
    groups: tuple[str, ...] = ()


ADMIN = Identity("kubernetes-admin", ("system:masters",))
SCHEDULER = Identity("system:kube-scheduler")
CONTROLLERS = Identity("system:kube-controller-manager")
PROXY = Identity("system:kube-proxy", ("system:node-proxier",))
APISERVER_TO_KUBELET = Identity("kube-apiserver-kubelet-client", ("kubeadm:cluster-admins",))


def node_identity(name: str) -> Identity:
    return Identity(f"system:node:{name}", ("system:nodes",))


def controller_identity(name: str) -> Identity:
    """A controller's service account in kube-system (kube-controller-manager --use-service-account-credentials)."""
    return Identity(f"system:serviceaccount:kube-system:{name}", ("system:serviceaccounts", "system:serviceaccounts:kube-system"))


DNS = controller_identity("coredns")


class Credentials:
    """The files under `pki/`. Each is made when first asked for; what is there is used."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = self._authority()

    def _authority(self) -> Authority:
        pair = self._read("ca")
        if pair is None:
            authority = Authority.create()
            self._write("ca", authority.pair)
            return authority
        return Authority(pair)

    @property
    def ca(self) -> bytes:
        return self.authority.pair.certificate

    def path(self, name: str, kind: str = "crt") -> Path:
        return self.directory / f"{name}.{kind}"

    def serving(self, name: str, common_name: str, hosts: list[str]) -> KeyPair:
        """A serving certificate for `hosts`; made anew when the hosts are not those it was made for.

        `common_name` must not be the authority's, or OpenSSL takes the certificate for a self-signed one.
        """
        stamp = self.directory / f"{name}.hosts"
        wanted = "\n".join(sorted(set(hosts)))
        pair = self._read(name)
        if pair is None or not stamp.exists() or stamp.read_text() != wanted:
            pair = self.authority.issue(common_name, hosts=sorted(set(hosts)), server=True)
            self._write(name, pair)
            stamp.write_text(wanted)
        return pair

    def client(self, name: str, identity: Identity) -> KeyPair:
        """A client certificate of an identity."""
        pair = self._read(name)
        if pair is None:
            pair = self.authority.issue(identity.user, organizations=identity.groups, client=True)
            self._write(name, pair)
        return pair

    def front_proxy(self) -> None:
        """The authority and certificate (`front-proxy-ca`, `front-proxy-client`) that aggregated API servers know this one by."""
        pair = self._read("front-proxy-ca")
        authority = Authority.create("front-proxy-ca") if pair is None else Authority(pair)
        if pair is None:
            self._write("front-proxy-ca", authority.pair)
        if pair is None or self._read("front-proxy-client") is None:
            self._write("front-proxy-client", authority.issue("front-proxy-client", client=True))

    def service_account_key(self) -> bytes:
        """The key (PEM, EC P-256) that signs service account tokens."""
        path = self.path("sa", "key")
        if not path.exists():
            _write_private(path, key_pem(new_key()))
        return path.read_bytes()

    def kubeconfig(self, path: Path, *, cluster: str, server: str, name: str, identity: Identity) -> None:
        """Write a kubeconfig with embedded certificates. YAML 1.2 is a superset of JSON, but kubectl's users read YAML."""
        pair = self.client(name, identity)
        user = identity.user.rsplit(":", 1)[-1]
        context = cluster if identity == ADMIN else f"{user}@{cluster}"
        lines = [
            "apiVersion: v1",
            "kind: Config",
            "clusters:",
            f"- name: {json.dumps(cluster)}",
            "  cluster:",
            f"    certificate-authority-data: {_base64(self.ca)}",
            f"    server: {server}",
            "contexts:",
            f"- name: {json.dumps(context)}",
            "  context:",
            f"    cluster: {json.dumps(cluster)}",
            f"    user: {json.dumps(context)}",
            f"current-context: {json.dumps(context)}",
            "users:",
            f"- name: {json.dumps(context)}",
            "  user:",
            f"    client-certificate-data: {_base64(pair.certificate)}",
            f"    client-key-data: {_base64(pair.key)}",
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_private(path, ("\n".join(lines) + "\n").encode())

    def _read(self, name: str) -> KeyPair | None:
        try:
            return KeyPair(self.path(name).read_bytes(), self.path(name, "key").read_bytes())
        except FileNotFoundError:
            return None

    def _write(self, name: str, pair: KeyPair) -> None:
        """The key first: a crash in between leaves no certificate, and both are made anew."""
        _write_private(self.path(name, "key"), pair.key)
        _write_private(self.path(name), pair.certificate)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_private(path: Path, data: bytes) -> None:
    """Whole or not at all, readable for the owner only."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
