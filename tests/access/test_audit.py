"""The audit log: what is written, and what a policy leaves out."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from access_world import BOB, NS, world

from minikube_api.server.access.audit import AuditLog, Policy, PolicyError


def policy(*rules: dict, **fields: object) -> Policy:
    return Policy.of({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules), **fields})


async def events(tmp_path: Path, chosen: Policy) -> list[dict]:
    log = AuditLog(tmp_path / "audit.log", chosen)
    async with world(tmp_path, audit=log) as w:
        await w.ok("POST", f"{NS}/configmaps", {"metadata": {"name": "a"}})
        await w.refused("GET", f"{NS}/secrets/s", user=BOB)
        await w.ok("GET", "/version")
    log.close()
    lines = (tmp_path / "audit.log").read_bytes().splitlines()
    return [event for event in map(orjson.loads, lines) if event["user"]["username"] != "system:apiserver"]


async def test_an_event_says_who_did_what_with_which_outcome(tmp_path: Path) -> None:
    found = await events(tmp_path, policy({"level": "Metadata"}, omitStages=["RequestReceived"]))
    refused = next(event for event in found if event["user"]["username"] == "bob")
    assert refused["verb"] == "get"
    assert refused["objectRef"] == {"resource": "secrets", "namespace": "default", "name": "s", "apiVersion": "v1"}
    assert (refused["responseStatus"]["code"], refused["responseStatus"]["reason"]) == (403, "Forbidden")
    assert refused["stage"] == "ResponseComplete"


async def test_the_first_rule_that_matches_decides(tmp_path: Path) -> None:
    rules = (
        {"level": "None", "users": ["bob"]},
        {"level": "None", "nonResourceURLs": ["/version*"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["configmaps", "secrets"]}]},
    )
    found = await events(tmp_path, policy(*rules, omitStages=["RequestReceived"]))
    assert [(event["verb"], event["objectRef"]["resource"]) for event in found] == [("create", "configmaps")]


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        pytest.param({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": []}, "0 rules", id="empty"),
        pytest.param({"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": [{"level": "x"}]}, "unknown", id="level"),
        pytest.param({"kind": "Other"}, "must be a Policy", id="kind"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(tree: dict, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        Policy.of(tree)
