"""The OpenAPI documents hold what kubectl reads from them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

import pytest

from minikube_api.schema import builtin
from minikube_api.schema.openapi import Documents
from minikube_api.schema.protobuf import _wire


@dataclass
class Served:
    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    verbs: tuple[str, ...] = ("create", "delete", "get", "list", "patch", "update", "watch")
    subresources: dict = field(default_factory=dict)


BUILTIN = [
    Served(k.group, k.version, k.kind, k.plural, k.namespaced, k.verbs, {s.name: s for s in k.subresources})
    for k in builtin.kinds()
]
CRON_TAB = Served("stable.example.com", "v1", "CronTab", "crontabs")
CRON_TAB_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "cron": {"type": "string", "nullable": True, "default": "x"},
                "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}


class Server:
    def __init__(self) -> None:
        self.resources = [*BUILTIN]
        self.schemas: dict = {}
        self.version = 1
        self.documents = Documents(
            lambda: self.resources, lambda group, version, kind: self.schemas.get((group, version, kind)), lambda: self.version
        )

    def add_cron_tab(self, schema) -> None:
        if CRON_TAB not in self.resources:
            self.resources.append(CRON_TAB)
        self.schemas["stable.example.com", "v1", "CronTab"] = schema
        self.version += 1

    def v3(self, path: str):
        found = self.documents.v3(path)
        return found and json.loads(found[0])


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_index_names_every_group_version(server):
    paths = json.loads(server.documents.index())["paths"]
    assert {"api/v1", "apis/apps/v1", "apis/autoscaling/v1", "apis/autoscaling/v2", "apis/apps", "version"} <= set(paths)
    assert re.fullmatch(r"/openapi/v3/apis/apps/v1\?hash=[0-9A-F]{128}", paths["apis/apps/v1"]["serverRelativeURL"])


def test_every_reference_resolves_in_every_document(server):
    server.add_cron_tab(CRON_TAB_SCHEMA)
    for path in json.loads(server.documents.index())["paths"]:
        document = server.v3(path)
        found = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
        assert found <= set(document["components"].get("schemas", ())), path
    v2 = json.loads(server.documents.v2()[0])
    assert set(re.findall(r'"#/definitions/([^"]+)"', json.dumps(v2))) <= set(v2["definitions"])


def test_unknown_group_versions_have_no_document(server):
    assert server.v3("apis/nope/v1") is None


@pytest.mark.parametrize("path", ["api/v1", "apis/apps/v1", "apis/networking.k8s.io/v1"])
def test_patch_operations_tell_their_kind_parameters_and_media_types(server, path):
    document = server.v3(path)
    patches = [item["patch"] for item in document["paths"].values() if "patch" in item]
    assert patches
    for patch in patches:
        names = {parameter["name"] for parameter in patch["parameters"]}
        kind = patch["x-kubernetes-group-version-kind"]
        if not kind["kind"].endswith("Options"):
            assert {"dryRun", "fieldManager", "fieldValidation", "force"} <= names
            assert "application/strategic-merge-patch+json" in patch["requestBody"]["content"]


def test_operation_ids_are_unique(server):
    for path in ("api/v1", "apis/apps/v1"):
        items = server.v3(path)["paths"].values()
        ids = [op["operationId"] for item in items for name, op in item.items() if name != "parameters"]
        assert len(ids) == len(set(ids))


def test_schemas_carry_merge_keys_gvks_defaults_and_texts(server):
    schemas = server.v3("apis/apps/v1")["components"]["schemas"]
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]
    assert containers["items"]["allOf"] == [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}]
    assert containers["description"].startswith("List of containers belonging to the pod.")
    port = schemas["io.k8s.api.core.v1.ContainerPort"]["properties"]
    assert (port["protocol"]["default"], port["containerPort"]["default"]) == ("TCP", 0)
    assert schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"] == [
        {"group": "apps", "kind": "Deployment", "version": "v1"}
    ]


def test_cluster_wide_and_namespaced_paths_are_listed(server):
    paths = server.v3("api/v1")["paths"]
    assert set(paths["/api/v1/pods"]) == {"get", "parameters"}
    assert set(paths["/api/v1/namespaces/{namespace}/pods"]) == {"get", "post", "delete", "parameters"}
    assert paths["/api/v1/namespaces/{namespace}/pods/{name}/eviction"]["post"]["x-kubernetes-group-version-kind"] == {
        "group": "policy", "kind": "Eviction", "version": "v1",
    }  # fmt: skip
    assert "/api/v1/nodes/{name}" in paths


def test_a_custom_resource_is_published_and_its_change_changes_its_hash_only(server):
    before = json.loads(server.documents.index())["paths"]
    server.add_cron_tab(CRON_TAB_SCHEMA)
    index = json.loads(server.documents.index())["paths"]
    assert index["apis/apps/v1"] == before["apis/apps/v1"]
    first = server.v3("apis/stable.example.com/v1")["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert set(first["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert first["properties"]["spec"]["properties"]["cron"]["nullable"] is True
    server.add_cron_tab({"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    again = json.loads(server.documents.index())["paths"]
    assert again["apis/stable.example.com/v1"] != index["apis/stable.example.com/v1"]
    second = server.v3("apis/stable.example.com/v1")["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert set(second["properties"]) == {"apiVersion", "kind", "metadata"}
    assert second["x-kubernetes-preserve-unknown-fields"] is True
    patch = server.v3("apis/stable.example.com/v1")["paths"]["/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}"]
    assert "application/strategic-merge-patch+json" not in patch["patch"]["requestBody"]["content"]


def test_v2_says_nothing_that_openapi_v2_cannot(server):
    server.add_cron_tab(CRON_TAB_SCHEMA)
    definition = json.loads(server.documents.v2()[0])["definitions"]["com.example.stable.v1.CronTab"]
    spec = definition["properties"]["spec"]["properties"]
    assert spec["cron"] == {}
    assert spec["port"] == {"x-kubernetes-int-or-string": True}
    assert spec["free"] == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_v2_names_no_property_of_a_kind_that_is_open_at_its_root(server):
    server.add_cron_tab({**CRON_TAB_SCHEMA, "x-kubernetes-preserve-unknown-fields": True})
    definition = json.loads(server.documents.v2()[0])["definitions"]["com.example.stable.v1.CronTab"]
    assert definition == {
        "type": "object",
        "x-kubernetes-group-version-kind": [{"group": "stable.example.com", "version": "v1", "kind": "CronTab"}],
    }


def test_documents_are_made_once_until_something_changes(server):
    first, tag = server.documents.v3("apis/apps/v1")
    assert server.documents.v3("apis/apps/v1")[0] is first
    server.add_cron_tab(CRON_TAB_SCHEMA)
    assert server.documents.v3("apis/apps/v1") == (first, tag)
    assert server.documents.v2()[1] != tag


def test_enumerated_strings_tell_their_values_in_v3_only(server):
    policy = server.v3("api/v1")["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
    assert policy["enum"] == ["Always", "Never", "OnFailure"]
    v2 = json.loads(server.documents.v2()[0])["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
    assert "enum" not in v2


def _messages(raw: bytes, number: int) -> list[bytes]:
    return [value for found, _, value in _wire(raw) if found == number]


def test_the_protobuf_form_of_v2_holds_the_same_definitions_and_paths(server):
    server.add_cron_tab(CRON_TAB_SCHEMA)
    tree, raw = json.loads(server.documents.v2()[0]), server.documents.v2_protobuf()[0]
    assert _messages(raw, 1) == [b"2.0"]
    named = {_messages(part, 1)[0].decode(): _messages(part, 2)[0] for part in _messages(_messages(raw, 9)[0], 1)}
    assert set(named) == set(tree["definitions"])
    paths = {_messages(part, 1)[0].decode() for part in _messages(_messages(raw, 8)[0], 2)}
    assert paths == set(tree["paths"])
    spec = {
        _messages(part, 1)[0].decode(): _messages(part, 2)[0]
        for part in _messages(_messages(named["io.k8s.api.core.v1.PodSpec"], 25)[0], 1)
    }
    extensions = {_messages(part, 1)[0]: _messages(_messages(part, 2)[0], 2)[0] for part in _messages(spec["containers"], 31)}
    assert extensions[b"x-kubernetes-patch-merge-key"] == b'"name"\n'
    assert extensions[b"x-kubernetes-list-map-keys"] == b'["name"]\n'
