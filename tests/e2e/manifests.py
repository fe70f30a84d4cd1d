"""Short factories of objects for the tests. The image `host` is the machine's own file system."""

from __future__ import annotations

from typing import Any

Tree = dict[str, Any]

#: answers on 8080 with the pod's name, quickly: one socket, no imports beyond socket and os
WEB = """
import os, socket
server = socket.create_server(("", int(os.environ.get("PORT", "8080"))))
while True:
    peer, _ = server.accept()
    with peer:
        peer.recv(4096)
        body = os.environ["HOSTNAME"].encode()
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n%s" % (len(body), body))
"""


def container(*command: str, name: str = "main", **fields: Any) -> Tree:
    return {"name": name, "image": "host", "command": list(command)} | fields


def shell(script: str, name: str = "main", **fields: Any) -> Tree:
    return container("sh", "-c", script, name=name, **fields)


def web(name: str = "web", **fields: Any) -> Tree:
    return container("python3", "-S", "-E", "-c", WEB, name=name, **{"ports": [{"name": "http", "containerPort": 8080}]} | fields)


def pod(name: str, *containers: Tree, labels: Tree | None = None, **spec: Any) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": list(containers or (shell("sleep 1000"),))} | spec,
    }


def deployment(name: str, *containers: Tree, replicas: int = 1, **spec: Any) -> Tree:
    template = pod(name, *containers)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": template["spec"]},
        }
        | spec,
    }


def service(name: str, port: int = 80, target: int | str = 8080, **spec: Any) -> Tree:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": target}]} | spec,
    }


def config_map(name: str, **data: str) -> Tree:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
