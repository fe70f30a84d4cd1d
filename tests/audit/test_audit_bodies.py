from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from minikube_api.server.access import audit
from minikube_api.server.access.audit import AuditLog, Policy
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Server

MAPS = "/api/v1/namespaces/default/configmaps"
ALICE = UserInfo("alice", groups=("system:masters",))


async def write_and_read(path: Path, *rules: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The events of alice creating and reading a config map."""
    tree = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), "omitStages": ["RequestReceived"], **fields}
    server = Server(Config(listeners=(), bootstrap=False, admission=(), audit=AuditLog(path, Policy.of(tree))))
    await server.start()
    transport = server.transport(ALICE)
    body = orjson.dumps({"metadata": {"name": "m"}, "data": {"k": "v"}})
    headers = {"Content-Type": "application/json"}
    assert (await transport.request("POST", MAPS, headers=headers, body=body)).status == 201
    assert (await transport.request("GET", f"{MAPS}/m")).status == 200
    await server.stop()
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [event for event in lines if event["user"]["username"] == "alice"]


async def test_level_request_response_records_both_objects(tmp_path: Path) -> None:
    created, read = await write_and_read(tmp_path / "log", {"level": "RequestResponse"})
    assert created["requestObject"] == {"metadata": {"name": "m"}, "data": {"k": "v"}}
    assert created["responseObject"]["metadata"]["managedFields"]
    assert "requestObject" not in read
    assert read["responseObject"]["data"] == {"k": "v"}


async def test_level_request_records_what_was_sent_only(tmp_path: Path) -> None:
    created, read = await write_and_read(tmp_path / "log", {"level": "Request"})
    assert created["requestObject"]["data"] == {"k": "v"}
    assert "responseObject" not in created
    assert "requestObject" not in read and "responseObject" not in read


async def test_metadata_rules_beside_others_record_no_bodies(tmp_path: Path) -> None:
    created, read = await write_and_read(tmp_path / "log", {"level": "Request", "verbs": ["get"]}, {"level": "Metadata"})
    assert (created["level"], "requestObject" in created) == ("Metadata", False)
    assert read["level"] == "Request"


@pytest.mark.parametrize("place", ["rule", "policy"])
async def test_managed_fields_can_be_left_out(tmp_path: Path, place: str) -> None:
    rule: dict[str, Any] = {"level": "RequestResponse"}
    fields: dict[str, Any] = {}
    (rule if place == "rule" else fields)["omitManagedFields"] = True
    created, _ = await write_and_read(tmp_path / "log", rule, **fields)
    assert "managedFields" not in created["responseObject"]["metadata"]


async def test_protobuf_and_patches_are_recorded_as_json(tmp_path: Path) -> None:
    path = tmp_path / "log"
    policy = Policy.of({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "RequestResponse"}]})
    server = Server(Config(listeners=(), bootstrap=False, admission=(), audit=AuditLog(path, policy)))
    await server.start()
    transport = server.transport(ALICE)
    kind = "application/vnd.kubernetes.protobuf"
    body = orjson.dumps({"metadata": {"name": "m"}, "data": {"k": "v"}})
    made = await transport.request("POST", MAPS, headers={"Content-Type": "application/json", "Accept": kind}, body=body)
    again = made.body.replace(b"\x01v", b"\x01w")
    assert (await transport.request("PUT", f"{MAPS}/m", headers={"Content-Type": kind}, body=again)).status == 200
    patch = [{"op": "add", "path": "/data/l", "value": "x"}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert (await transport.request("PATCH", f"{MAPS}/m", headers=headers, body=orjson.dumps(patch))).status == 200
    await server.stop()
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    created, updated, patched = [e for e in lines if e["user"]["username"] == "alice" and e["stage"] == "ResponseComplete"]
    assert created["responseObject"]["data"] == {"k": "v"}
    assert updated["requestObject"]["data"] == {"k": "w"}
    assert patched["requestObject"] == patch


def test_options_make_a_log(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n")
    assert audit.open_log(None, policy) is None
    plain = audit.open_log(tmp_path / "a", None)
    chosen = audit.open_log(tmp_path / "b", policy)
    assert plain is not None and chosen is not None
    assert (plain.wants_bodies, chosen.wants_bodies) == (False, True)
    plain.close()
    chosen.close()
