"""`python -m minikube_api.server`: the API server alone, with a certificate authority of its own under the data directory."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import logging
import os
import signal
import sys
from pathlib import Path

from minikube_api.server.access import audit
from minikube_api.server.access.audit_files import Keeping
from minikube_api.server.access.certificates import Authority, KeyPair, key_pem, new_key
from minikube_api.server.server import Config, Listener, Server


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m minikube_api.server", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True, help="certificates and, with sqlite, the objects")
    parser.add_argument("--store", choices=("sqlite", "memory"), default="sqlite")
    parser.add_argument("--listen", default="127.0.0.1:6443", help="host:port; port 0 = any free one")
    parser.add_argument("--kubeconfig", type=Path, help="where to write the administrator's kubeconfig")
    parser.add_argument("--token-auth-file", type=Path, help='CSV: token,user,uid[,"group,group"]')
    parser.add_argument("--service-cidr", default="10.96.0.0/16")
    parser.add_argument("--audit-log-path", "--audit-log", type=Path, help="where to write an audit log (JSON lines)")
    parser.add_argument(
        "--audit-policy-file",
        "--audit-policy",
        type=Path,
        help="an audit.k8s.io/v1 Policy; without one everything at level Metadata",
    )
    parser.add_argument("--audit-log-maxage", type=int, default=0, help="days that full audit logs are kept (0: for ever)")
    parser.add_argument("--audit-log-maxbackup", type=int, default=0, help="how many full audit logs are kept (0: all)")
    parser.add_argument("--audit-log-maxsize", type=int, default=0, help="megabytes of an audit log before it is full (0: 100)")
    parser.add_argument(
        "--anonymous-auth", choices=("true", "false"), default="true", help="whether requests without credentials are let in"
    )
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = arguments(argv)
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING)
    try:
        import uvloop
    except ImportError:
        return asyncio.run(serve(options))
    return uvloop.run(serve(options))


async def serve(options: argparse.Namespace) -> int:
    host, _, port = options.listen.rpartition(":")
    host = host.strip("[]")
    pki = options.data_dir / "pki"
    pki.mkdir(parents=True, exist_ok=True)
    authority = _authority(pki)
    serving = authority.issue(
        "kube-apiserver",
        hosts=["localhost", "127.0.0.1", "::1", host, "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
        server=True,
    )
    _write(pki, "apiserver", serving)
    _write(
        pki,
        "apiserver-kubelet-client",
        authority.issue("kube-apiserver-kubelet-client", organizations=["system:masters"], client=True),
    )
    front_proxy = _authority(pki, "front-proxy-ca")
    _write(pki, "front-proxy-client", front_proxy.issue("front-proxy-client", client=True))
    server = Server(
        Config(
            store=options.store,
            data_dir=options.data_dir / "store" if options.store == "sqlite" else None,
            listeners=[Listener(host=host, port=int(port))],
            certificate=pki / "apiserver.crt",
            key=pki / "apiserver.key",
            client_ca=pki / "ca.crt",
            kubelet_certificate=pki / "apiserver-kubelet-client.crt",
            kubelet_key=pki / "apiserver-kubelet-client.key",
            kubelet_ca=pki / "ca.crt",
            proxy_client_certificate=pki / "front-proxy-client.crt",
            proxy_client_key=pki / "front-proxy-client.key",
            requestheader_ca=pki / "front-proxy-ca.crt",
            token_file=options.token_auth_file,
            service_cidr=options.service_cidr,
            anonymous=options.anonymous_auth == "true",
            audit=audit.open_log(
                options.audit_log_path,
                options.audit_policy_file,
                Keeping(options.audit_log_maxsize, options.audit_log_maxbackup, options.audit_log_maxage),
            ),
            service_account_key=_service_account_key(pki),
        )
    )
    await server.start()
    url = f"https://{host}:{server.ports[0]}"
    if options.kubeconfig is not None:
        admin = authority.issue("kubernetes-admin", organizations=["system:masters"], client=True)
        write_kubeconfig(options.kubeconfig, url, authority.pair.certificate, admin)
    print(f"serving on {url}", flush=True)
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    waiting = asyncio.ensure_future(stopped.wait())
    running = asyncio.ensure_future(server.wait())
    await asyncio.wait((waiting, running), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if running.done():
        await running
    else:
        running.cancel()
        await server.stop()
    return 0


def _authority(pki: Path, name: str = "ca") -> Authority:
    certificate, key = pki / f"{name}.crt", pki / f"{name}.key"
    if certificate.exists():
        return Authority(KeyPair(certificate.read_bytes(), key.read_bytes()))
    authority = Authority.create("kubernetes" if name == "ca" else name)
    _write(pki, name, authority.pair)
    return authority


def _service_account_key(pki: Path) -> Path:
    path = pki / "sa.key"
    if not path.exists():
        _private(path, key_pem(new_key()))
    return path


def _write(pki: Path, name: str, pair: KeyPair) -> None:
    (pki / f"{name}.crt").write_bytes(pair.certificate)
    _private(pki / f"{name}.key", pair.key)


def _private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def write_kubeconfig(path: Path, url: str, ca: bytes, pair: KeyPair) -> None:
    """A kubeconfig with everything embedded (JSON, which is YAML)."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode()

    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "minikube-py",
        "clusters": [{"name": "minikube-py", "cluster": {"server": url, "certificate-authority-data": text(ca)}}],
        "contexts": [{"name": "minikube-py", "context": {"cluster": "minikube-py", "user": "admin"}}],
        "users": [
            {
                "name": "admin",
                "user": {"client-certificate-data": text(pair.certificate), "client-key-data": text(pair.key)},
            }
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _private(path, json.dumps(tree, indent=2).encode())


if __name__ == "__main__":
    sys.exit(main())
