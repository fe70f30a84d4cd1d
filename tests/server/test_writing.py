from __future__ import annotations

import asyncio

import pytest

from minikube_api.server.context import UserInfo
from minikube_api.server.contract import AdmissionAttributes
from minikube_api.server.server import Config, Server
from tests.server.conftest import MAPS, MERGE, Api, config_map


async def test_a_created_object_has_identity_time_and_revision(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    meta = made["metadata"]
    assert meta["namespace"] == "default"
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert int(meta["resourceVersion"]) > 0
    assert meta["managedFields"][0]["manager"] == "tests"
    assert await api.ok("GET", f"{MAPS}/a") == made


async def test_creating_twice_is_already_exists(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    status, tree = await api("POST", MAPS, config_map("a"))
    assert (status, tree["reason"], tree["message"]) == (409, "AlreadyExists", 'configmaps "a" already exists')


async def test_an_update_at_an_old_revision_is_a_conflict(api: Api) -> None:
    old = await api.ok("POST", MAPS, config_map("a"))
    await api.ok("PUT", f"{MAPS}/a", config_map("a", {"k": "w"}))
    old["data"] = {"k": "x"}
    status, tree = await api("PUT", f"{MAPS}/a", old)
    assert (status, tree["reason"]) == (409, "Conflict")
    assert (await api.ok("GET", f"{MAPS}/a"))["data"] == {"k": "w"}


async def test_an_update_that_changes_nothing_keeps_the_revision(api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    again = await api.ok("PUT", f"{MAPS}/a", config_map("a"))
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    patched = await api.patch(f"{MAPS}/a", {"data": {"k": "v"}})
    assert patched == again


async def test_unconditional_patches_at_the_same_time_all_land(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    await asyncio.gather(*(api.patch(f"{MAPS}/a", {"data": {f"k{i}": str(i)}}) for i in range(20)))
    data = (await api.ok("GET", f"{MAPS}/a"))["data"]
    assert data == {"k": "v", **{f"k{i}": str(i) for i in range(20)}}


async def test_a_dry_run_leaves_nothing_behind(api: Api) -> None:
    made = await api.ok("POST", f"{MAPS}?dryRun=All", config_map("a"))
    assert "resourceVersion" not in made["metadata"]
    assert (await api("GET", f"{MAPS}/a"))[0] == 404
    await api.ok("POST", MAPS, config_map("a"))
    changed = await api.ok("PUT", f"{MAPS}/a?dryRun=All", config_map("a", {"k": "w"}))
    assert changed["data"] == {"k": "w"}
    assert (await api.ok("GET", f"{MAPS}/a"))["data"] == {"k": "v"}


async def test_generated_names_are_drawn_again_when_taken(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(server)
    drawn = iter(["aaaaa", "aaaaa", "bbbbb"])
    monkeypatch.setattr("minikube_api.server.metadata.generate_name", lambda base, rng: base + next(drawn))
    body = {"metadata": {"generateName": "x-"}}
    assert (await api.ok("POST", MAPS, body))["metadata"]["name"] == "x-aaaaa"
    assert (await api.ok("POST", MAPS, body))["metadata"]["name"] == "x-bbbbb"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        pytest.param(b"{", 400, "unexpected end of JSON input", id="broken"),
        pytest.param(b"", 400, "<empty>", id="empty"),
        pytest.param({"metadata": {"name": "a", "resourceVersion": "1"}}, 500, "should not be set", id="revision"),
        pytest.param({"metadata": {"name": "a", "namespace": "b"}}, 400, "does not match the namespace", id="namespace"),
        pytest.param({"kind": "Secret", "metadata": {"name": "a"}}, 400, "Secret", id="kind"),
        pytest.param({"metadata": {}}, 422, "name or generateName is required", id="nameless"),
    ],
)
async def test_bad_creates_are_refused_in_kubernetes_words(api: Api, body: object, status: int, message: str) -> None:
    code, tree = await api("POST", MAPS, body)
    assert code == status
    assert message in tree["message"]


async def test_unknown_fields_warn_and_with_strict_refuse(api: Api) -> None:
    await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "dta": {}})
    assert api.headers["warning"] == '299 - "unknown field \\"dta\\""'
    status, tree = await api("POST", f"{MAPS}?fieldValidation=Strict", {"metadata": {"name": "b"}, "dta": {}})
    assert status == 400
    assert tree["message"].endswith('strict decoding error: unknown field "dta"')


async def test_put_of_a_lease_without_revision_is_refused_but_creates(api: Api) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/a"
    body = {"metadata": {"name": "a"}, "spec": {"holderIdentity": "h"}}
    assert (await api("PUT", path, body))[0] == 201
    assert (await api("PUT", path, body))[0] == 422


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param("application/json-patch+json", [{"op": "replace", "path": "/data/k", "value": "w"}], id="json"),
        pytest.param(MERGE, {"data": {"k": "w"}}, id="merge"),
        pytest.param("application/strategic-merge-patch+json", {"data": {"k": "w"}}, id="strategic"),
    ],
)
async def test_patches_of_each_kind_change_the_object(api: Api, kind: str, body: object) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    assert (await api.patch(f"{MAPS}/a", body, kind))["data"] == {"k": "w"}


async def test_apply_creates_then_conflicts_with_another_manager(api: Api) -> None:
    path, kind = f"{MAPS}/a?fieldManager=one", "application/apply-patch+yaml"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    assert (await api("PATCH", path, body, kind=kind))[0] == 201
    body["data"] = {"k": "w"}
    status, tree = await api("PATCH", f"{MAPS}/a?fieldManager=two", body, kind=kind)
    assert (status, tree["details"]["causes"][0]["reason"]) == (409, "FieldManagerConflict")
    assert (await api("PATCH", f"{MAPS}/a?fieldManager=two&force=true", body, kind=kind))[1]["data"] == {"k": "w"}


async def test_an_unknown_patch_type_is_415(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    assert (await api("PATCH", f"{MAPS}/a", {}, kind="application/json"))[0] == 415


class _Stamp:
    """Mutating and validating; notes the order of its calls."""

    name = "Stamp"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def handles(self, operation: str) -> bool:
        return True

    async def admit(self, attributes: AdmissionAttributes) -> None:
        self.calls.append(f"admit {attributes.operation}")
        if attributes.obj is not None:
            attributes.obj["metadata"].setdefault("labels", {})["stamp"] = "x"

    async def validate(self, attributes: AdmissionAttributes) -> None:
        self.calls.append(f"validate {attributes.operation}")
        if attributes.obj is not None:
            assert attributes.obj["metadata"]["labels"]["stamp"] == "x"


async def test_what_admission_adds_is_stored_but_not_owned_by_the_client() -> None:
    stamp = _Stamp()
    server = Server(Config(listeners=(), bootstrap=False, admission=[stamp]))
    await server.start()
    try:
        api = Api(server)
        made = await api.ok("POST", MAPS, config_map("a"))
        assert made["metadata"]["labels"] == {"stamp": "x"}
        assert "f:metadata" not in made["metadata"]["managedFields"][0]["fieldsV1"]
        await api.ok("DELETE", f"{MAPS}/a")
        assert stamp.calls == ["admit CREATE", "validate CREATE", "admit DELETE", "validate DELETE"]
    finally:
        await server.stop()


async def test_nobody_without_rights_writes(server: Server) -> None:
    api = Api(server, UserInfo("alice"))
    status, tree = await api("POST", MAPS, config_map("a"))
    assert status == 403
    assert tree["message"] == (
        'configmaps is forbidden: User "alice" cannot create resource "configmaps" in API group "" in the namespace "default"'
    )


async def test_applying_a_new_object_leaves_the_schema_alone(api: Api) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"selector": {"matchLabels": {"app": "a"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
    await api.ok("PATCH", f"{path}/a?fieldManager=m", body, kind="application/apply-patch+yaml")
    body["metadata"] = {"name": "b"}
    made = await api.ok("POST", path, body)
    assert "f:strategy" in made["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param("dryRun=Some", 'dryRun: Unsupported value: ["Some"]: supported values: "All"', id="dry-run"),
        pytest.param("fieldManager=" + "m" * 129, "fieldManager: Too long", id="long-manager"),
        pytest.param("fieldManager=a\x07", "invalid character U+0007 (at position 1)", id="unprintable-manager"),
        pytest.param("fieldValidation=Maybe", 'fieldValidation: Unsupported value: "Maybe"', id="validation"),
    ],
)
async def test_bad_create_options_are_invalid(api: Api, query: str, words: str) -> None:
    status, tree = await api("POST", f"{MAPS}?{query}", config_map("a"))
    assert (status, tree["details"]["kind"]) == (422, "CreateOptions")
    assert words in tree["message"]
    assert (await api("GET", f"{MAPS}/a"))[0] == 404


@pytest.mark.parametrize("kind", ["merge", "strategic-merge"])
async def test_bytes_that_are_no_text_are_replaced_in_patches_as_go_replaces_them(api, kind) -> None:
    await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
    done = await api.patch(f"{MAPS}/a", b'{"data":{"a":"\xe2."}}', f"application/{kind}-patch+json")
    assert done["data"] == {"a": "\ufffd."}


async def test_an_applied_object_whose_metadata_is_no_object_is_refused(api) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": "text"}
    status, refused = await api("PATCH", f"{MAPS}/a?fieldManager=me", body, kind="application/apply-patch+yaml")
    assert status in (400, 500) and "panic" not in refused["message"], refused


async def test_an_empty_list_is_owned_and_read_back_as_null(api: Api) -> None:
    path = "/api/v1/namespaces/default/limitranges"
    made = await api.ok("POST", path, {"metadata": {"name": "a"}, "spec": {"limits": []}})
    assert made["spec"] == {"limits": None}
    assert made["metadata"]["managedFields"][0]["fieldsV1"] == {"f:spec": {"f:limits": {}}}
    again = await api.ok("PUT", f"{path}/a", {"metadata": {"name": "a"}, "spec": {"limits": []}})
    assert again == made
    assert (await api.ok("POST", f"{path}?dryRun=All", {"metadata": {"name": "b"}, "spec": {"limits": []}}))["spec"] == {
        "limits": None
    }
