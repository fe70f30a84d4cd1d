"""Extended resources that an administrator advertises on a node."""

from __future__ import annotations

from pathlib import Path

import pytest
from node_world import world

from minikube_agents.kubelet import heartbeat

RESOURCE = "example.com/dongle"


async def test_advertised_resources_become_allocatable_and_go_again(tmp_path: Path) -> None:
    async with world(tmp_path) as made:

        async def status(before: dict) -> dict:
            return {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"}, "conditions": []}

        reporter = heartbeat.NodeReporter(made.client, "n2", status)
        await reporter.register(lambda told: {"metadata": {"name": "n2", "labels": {}}, "status": told})
        path = "/api/v1/nodes/n2"

        async def change(quantity: str | None) -> dict[str, str]:
            await made.client.raw.patch(f"{path}/status", {"status": {"capacity": {RESOURCE: quantity}}}, type="merge")
            await reporter.report()
            return (await made.client.raw.get(path))["status"]["allocatable"]

        assert await change("5") == {"cpu": "1", RESOURCE: "5"}
        assert not await reporter.report(), "nothing new to tell"
        assert await change(None) == {"cpu": "1"}


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        pytest.param({}, {"cpu": "1"}, id="nothing-advertised"),
        pytest.param({"capacity": {"cpu": "9"}}, {"cpu": "1"}, id="own-figures-stay"),
        pytest.param({"allocatable": {RESOURCE: "2"}}, {"cpu": "1", RESOURCE: None}, id="taken-out"),
    ],
)
def test_what_is_allocatable_follows_capacity(kept: dict, expected: dict) -> None:
    status = {"capacity": {"cpu": "1"}, "allocatable": {"cpu": "1"}}
    heartbeat.add_advertised(status, kept)
    assert status["allocatable"] == expected
