"""A kopf operator on a built-in kind, run by `kopf run` as its users do: ConfigMaps labelled `greet` get a Secret of their own.

What kopf needs of a server: list and watch from a revision, finalizers, annotations by merge patch, events, owner references.
"""

from __future__ import annotations

import os
from typing import Any

import kopf

GREETING = {"greet": "yes"}


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = True
    settings.persistence.finalizer = "example.test/greetings"
    if token := os.environ.get("READY_FILE"):
        settings.networking.request_timeout = 10
        open(token, "w").close()


@kopf.on.create("v1", "configmaps", labels=GREETING)
@kopf.on.update("v1", "configmaps", labels=GREETING, field="data")
async def greet(name: str, namespace: str, body: kopf.Body, patch: kopf.Patch, **_: Any) -> None:
    import kr8s.asyncio
    from kr8s.asyncio.objects import Secret

    who = body.get("data", {}).get("who", "nobody")
    tree: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"{name}-greeting", "namespace": namespace},
    }
    kopf.adopt(tree, owner=body)
    api = await kr8s.asyncio.api(kubeconfig=os.environ["KUBECONFIG"])
    secret = await Secret(tree | {"stringData": {"text": f"hello {who}"}}, api=api)
    if await secret.exists():
        await secret.patch({"stringData": {"text": f"hello {who}"}})
    else:
        await secret.create()
    patch.setdefault("metadata", {}).setdefault("annotations", {})["example.test/greeted"] = who
    kopf.info(body, reason="Greeted", message=f"Greeted {who}.")


@kopf.on.delete("v1", "configmaps", labels=GREETING)
def farewell(body: kopf.Body, **_: Any) -> None:
    kopf.info(body, reason="Farewell", message="Said goodbye.")
