"""Kubeconfig files: parsing, the chosen context, and the HttpTransport that it describes.

Source: kubernetes.io "Organizing Cluster Access Using kubeconfig Files". Exec plug-ins are run once per expiry; auth-provider
entries (removed from Kubernetes) are refused.
"""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from minikube_api.client.http import HttpTransport

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class KubeconfigError(ValueError):
    """The file is missing, malformed or names something that is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """One context, resolved. Certificates and keys are PEM bytes."""

    server: str
    namespace: str = "default"
    context: str = ""
    cluster: str = ""
    user: str = ""
    ca: bytes | None = None
    insecure: bool = False
    tls_server_name: str = ""
    client_certificate: bytes | None = None
    client_key: bytes | None = None
    token: str | None = None
    token_file: Path | None = None
    basic_auth: tuple[str, str] | None = None
    exec: Mapping[str, Any] | None = None
    impersonate: Mapping[str, str] = field(default_factory=dict)

    def ssl_context(self) -> ssl.SSLContext | None:
        """None for a plain http server."""
        if not self.server.startswith("https:"):
            return None
        context = ssl.create_default_context(cadata=self.ca.decode() if self.ca else None)
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.client_certificate and self.client_key:
            # ssl loads key pairs from files only; the directory is private and gone right after.
            with tempfile.TemporaryDirectory() as directory:
                certificate, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
                certificate.write_bytes(self.client_certificate)
                key.touch(mode=0o600)
                key.write_bytes(self.client_key)
                context.load_cert_chain(certificate, key)
        return context

    def transport(self) -> HttpTransport:
        token: str | Path | Callable[[], str] | None = self.token_file or self.token
        if self.exec is not None:
            token = ExecCredential(self.exec)
        return HttpTransport(
            self.server,
            self.ssl_context(),
            token,
            basic_auth=self.basic_auth,
            headers=self.impersonate,
            tls_server_name=self.tls_server_name,
        )


def load(path: str | Path | None = None, context: str = "") -> Kubeconfig:
    """Load a kubeconfig: `path`, else $KUBECONFIG (a list of files, the first that has an entry wins), else ~/.kube/config."""
    import yaml  # takes 20 ms to import, and in-process components never need it

    if path is not None:
        files = [Path(path)]
    else:
        listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
        files = [Path(part) for part in listed] or [Path.home() / ".kube" / "config"]
    trees: list[tuple[Path, dict[str, Any]]] = []
    for file in files:
        try:
            tree = yaml.safe_load(file.read_text())
        except FileNotFoundError as error:
            if len(files) == 1:
                raise KubeconfigError(f"stat {file}: no such file or directory") from error
            continue
        except yaml.YAMLError as error:
            raise KubeconfigError(f"error loading config file {str(file)!r}: {error}") from error
        if not isinstance(tree, dict):
            raise KubeconfigError(f"error loading config file {str(file)!r}: not a mapping")
        trees.append((file, tree))
    return resolve(trees, context)


def resolve(trees: list[tuple[Path, dict[str, Any]]], context: str = "") -> Kubeconfig:
    """The chosen context of merged config trees. Relative file names count from their file's directory."""
    context = context or next((str(t["current-context"]) for _, t in trees if t.get("current-context")), "")
    if not context:
        raise KubeconfigError("current-context is not set")
    _, chosen = _entry(trees, "contexts", "context", context)
    cluster_base, cluster = _entry(trees, "clusters", "cluster", str(chosen.get("cluster", "")))
    user_base, user = _entry(trees, "users", "user", str(chosen["user"])) if chosen.get("user") else (Path(), {})
    if "auth-provider" in user:
        raise KubeconfigError("auth-provider is no longer supported by Kubernetes; use exec")
    impersonate = {}
    if user.get("as"):
        impersonate["Impersonate-User"] = str(user["as"])
    if user.get("as-groups"):
        if len(user["as-groups"]) > 1:
            raise KubeconfigError("as-groups with more than one group is not supported")
        impersonate["Impersonate-Group"] = str(user["as-groups"][0])
    return Kubeconfig(
        server=str(cluster.get("server", "")),
        namespace=str(chosen.get("namespace") or "default"),
        context=context,
        cluster=str(chosen.get("cluster", "")),
        user=str(chosen.get("user", "")),
        ca=_data(cluster, "certificate-authority", cluster_base),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=str(cluster.get("tls-server-name", "")),
        client_certificate=_data(user, "client-certificate", user_base),
        client_key=_data(user, "client-key", user_base),
        token=user.get("token"),
        token_file=user_base / user["tokenFile"] if user.get("tokenFile") else None,
        basic_auth=(user["username"], user.get("password", "")) if user.get("username") else None,
        exec=user.get("exec"),
        impersonate=impersonate,
    )


def in_cluster(environment: Mapping[str, str] = os.environ, directory: Path = SERVICE_ACCOUNT) -> Kubeconfig:
    """What a pod uses: the service-account files and KUBERNETES_SERVICE_HOST/PORT."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise KubeconfigError(
            "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined"
        )
    return Kubeconfig(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        namespace=(directory / "namespace").read_text().strip(),
        ca=(directory / "ca.crt").read_bytes(),
        token_file=directory / "token",
    )


class ExecCredential:
    """Token of a client.authentication.k8s.io exec plug-in; asked again once its `expirationTimestamp` has passed."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec
        self._token = ""
        self._expires = ""

    def __call__(self) -> str:
        from datetime import UTC, datetime

        if self._token and (not self._expires or datetime.fromisoformat(self._expires) > datetime.now(UTC)):
            return self._token
        request = {"apiVersion": self._spec["apiVersion"], "kind": "ExecCredential", "spec": {"interactive": False}}
        environment = dict(os.environ) | {pair["name"]: pair["value"] for pair in self._spec.get("env") or ()}
        environment["KUBERNETES_EXEC_INFO"] = orjson.dumps(request).decode()
        argv = [self._spec["command"], *(self._spec.get("args") or ())]
        done = subprocess.run(argv, env=environment, capture_output=True, check=False, timeout=60)
        if done.returncode:
            raise KubeconfigError(f"exec: {argv[0]} failed with exit code {done.returncode}: {done.stderr.decode()}")
        status = orjson.loads(done.stdout).get("status") or {}
        if not status.get("token"):
            raise KubeconfigError(f"exec plugin {argv[0]} didn't return a token")
        self._token, self._expires = status["token"], status.get("expirationTimestamp", "")
        return self._token


def _entry(trees: list[tuple[Path, dict[str, Any]]], plural: str, singular: str, name: str) -> tuple[Path, dict[str, Any]]:
    for file, tree in trees:
        for entry in tree.get(plural) or ():
            if entry.get("name") == name:
                return file.parent, entry.get(singular) or {}
    raise KubeconfigError(f'{singular} "{name}" does not exist')


def _data(tree: Mapping[str, Any], key: str, base: Path) -> bytes | None:
    """`KEY-data` (base64) wins over the file named by `KEY`, as in client-go."""
    if tree.get(f"{key}-data"):
        return base64.b64decode(tree[f"{key}-data"])
    if tree.get(key):
        try:
            return (base / tree[key]).read_bytes()
        except OSError as error:
            raise KubeconfigError(f"unable to read {key} {tree[key]}: {error.strerror}") from error
    return None
