"""ConfigMap kube-system/extension-apiserver-authentication: whom aggregated API servers trust (client CA, front-proxy CA, header names)."""

from __future__ import annotations

from pathlib import Path

from minikube_api.server.context import Object

NAMESPACE, NAME = "kube-system", "extension-apiserver-authentication"


def config_map(client_ca: Path | None, requestheader_ca: Path | None, allowed_names: tuple[str, ...]) -> Object | None:
    """None when there is no authority to tell of."""
    data: dict[str, str] = {}
    if client_ca is not None:
        data["client-ca-file"] = client_ca.read_text()
    if requestheader_ca is not None:
        data |= {
            "requestheader-allowed-names": "[" + ",".join(f'"{name}"' for name in allowed_names) + "]",
            "requestheader-client-ca-file": requestheader_ca.read_text(),
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-uid-headers": '["X-Remote-Uid"]',
            "requestheader-username-headers": '["X-Remote-User"]',
        }
    if not data:
        return None
    metadata = {"name": NAME, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
