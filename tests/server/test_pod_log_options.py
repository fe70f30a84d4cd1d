"""pods/log before any kubelet is asked: its options, its container, and pods that are on no node."""

from __future__ import annotations

import pytest

from tests.server.conftest import PODS, pod


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param("tailLines=-1", "tailLines: Invalid value: -1: must be greater than or equal to 0", id="tail"),
        pytest.param("limitBytes=0", "limitBytes: Invalid value: 0: must be greater than 0", id="limit"),
        pytest.param("sinceSeconds=0", "sinceSeconds: Invalid value: 0: must be greater than 0", id="since"),
    ],
)
async def test_options_are_checked_before_the_pod_is_looked_for(api, query, message):
    status, answer = await api("GET", f"{PODS}/p/log?{query}")
    assert (status, answer["message"]) == (422, f'PodLogOptions "p" is invalid: {message}')


async def test_a_pod_on_no_node_has_no_log(api):
    await api.ok("POST", PODS, pod("p"))
    status, answer = await api("GET", f"{PODS}/p/log?container=other")
    assert (status, answer["message"]) == (400, "container other is not valid for pod p")
    answer = await api.transport.request("GET", f"{PODS}/p/log")
    assert (answer.status, answer.body) == (204, b"")


async def test_a_pod_on_no_node_runs_nothing_whatever_is_asked(api):
    await api.ok("POST", PODS, pod("p"))
    status, answer = await api("POST", f"{PODS}/p/exec")
    assert (status, answer["message"]) == (400, "pod p does not have a host assigned")
