from __future__ import annotations

import asyncio
from typing import Any

from webhook_world import Api, Webhooks, deny, patch

BASE = "/apis/hooks.example.com/v1/namespaces/default/things"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


async def define(api: Api, properties: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": {"data": {"type": "object", "properties": properties}}}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": {"openAPIV3Schema": schema}} for name in ("v1", "v2")
    ]
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    spec = {"group": "hooks.example.com", "scope": "Namespaced", "names": names, "versions": versions}
    definition = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    await api.ok("POST", DEFINITIONS, {**definition, "metadata": {"name": "things.hooks.example.com"}, "spec": spec})
    async with asyncio.timeout(5):
        while api.server.registry.get("hooks.example.com", "v2", "things") is None:
            await asyncio.sleep(0)


def thing(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "hooks.example.com/v1", "kind": "Thing", "metadata": {"name": name}, "data": data}


def for_things(hook: dict[str, Any], version: str = "*") -> dict[str, Any]:
    rule = {"apiGroups": ["hooks.example.com"], "apiVersions": [version], "operations": ["*"], "resources": ["things"]}
    return hook | {"rules": [rule]}


async def test_mutations_are_pruned_and_defaulted(api: Api, hooks: Webhooks) -> None:
    await define(api, {"known": {"type": "string"}, "k": {"type": "string"}, "standard": {"type": "string", "default": "d"}})
    operations = [{"op": "add", "path": "/data/known", "value": "x"}, {"op": "add", "path": "/data/unknown", "value": "x"}]
    await api.configure("mutating", "m", for_things(hooks.add("/m", lambda r: patch(*operations))))
    made = await api.ok("POST", BASE, thing("a", k="v"))
    assert made["data"] == {"k": "v", "known": "x", "standard": "d"}


async def test_creation_update_and_deletion_can_be_denied(api: Api, hooks: Webhooks) -> None:
    await define(api, {"k": {"type": "string"}})
    await api.ok("POST", BASE, thing("a", k="v"))
    await api.configure("validating", "v", for_things(hooks.add("/no", deny)))
    refusal = 'admission webhook "no.example.com" denied the request: no'
    assert await api.refused("POST", BASE, thing("b")) == (400, refusal)
    assert await api.refused("PATCH", f"{BASE}/a", {"data": {"k": "w"}}, kind="application/merge-patch+json") == (400, refusal)
    assert await api.refused("DELETE", f"{BASE}/a") == (400, refusal)
    assert await api.refused("DELETE", BASE) == (400, refusal)


async def test_a_rule_for_one_version_gets_the_other_converted(api: Api, hooks: Webhooks) -> None:
    await define(api, {"k": {"type": "string"}})
    change = patch({"op": "add", "path": "/data/k", "value": "changed"})
    await api.configure("mutating", "m", for_things(hooks.add("/m", lambda r: dict(change)), "v2"))
    made = await api.ok("POST", BASE, thing("a", k="v"))
    assert (made["apiVersion"], made["data"]) == ("hooks.example.com/v1", {"k": "changed"})
    request = hooks.seen[0][1]
    assert request["object"]["apiVersion"] == "hooks.example.com/v2"
    assert (request["kind"]["version"], request["requestKind"]["version"]) == ("v2", "v1")
