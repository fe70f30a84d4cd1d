"""No request, however odd, makes the server fail: never a 500, never a hang, and a watch beside it misses nothing."""

from __future__ import annotations

import random
import re
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minikube_api.client.transport import Response
from minikube_api.schema import protobuf
from tests.fuzz import requests
from tests.fuzz.conftest import World

ROUNDS = settings(
    max_examples=200, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: calls of one example
CALLS = 25
CONNECT = frozenset({"exec", "attach", "portforward", "proxy", "log"})


async def answered(world: World, call: requests.Call) -> Response | None:
    """None where only a connection of its own can carry the answer (exec, proxy). Fails when it takes too long."""
    if not CONNECT.isdisjoint(call.path.split("/")):
        return None
    if call.query.get("watch") or "/watch/" in call.path:
        return None
    return await world.transport.request(
        call.method, call.path, query=call.query, headers=call.headers, body=call.body, timeout=requests.LIMIT
    )  # raises OSError when there is no answer in time


#: What kube-apiserver itself answers with 500: errors that reach it without a status (its own words, seen in recorded answers)
KUBERNETES_500 = re.compile(
    r"failed to create typed (patch|live) object|failed to convert new object"
    r"|failed to (create|prepare|update) managed|(resourceVersion: Invalid value: .*: )?strconv.ParseUint"
    r"|resourceVersion should not be set|\[?target\.(name|kind): "
    # strategic merge: what interpretStrategicMergePatchError does not know stays a plain error
    r"|expected a (\[\]interface|map)"
)


def status_of(answer: Response) -> dict[str, Any]:
    kind = answer.headers.get("content-type", "")
    if kind.startswith("application/vnd.kubernetes.protobuf"):
        return protobuf.decode(answer.body)
    return yaml.safe_load(answer.body) if kind.startswith("application/yaml") else orjson.loads(answer.body)


def judge(call: requests.Call, answer: Response) -> None:
    if answer.status == 500:
        told = status_of(answer)
        assert KUBERNETES_500.match(told["message"]), (call, told)
    assert 200 <= answer.status < 600
    if answer.status >= 400 and answer.headers.get("content-type", "").startswith("application/json"):
        told = orjson.loads(answer.body)
        assert told["kind"] == "Status" and told["code"] == answer.status and told["message"], (call, told)


@pytest.mark.timeout(40)
@given(seed=st.integers(0, 2**32))
@ROUNDS
def test_no_request_makes_the_server_fail(world: World, seed: int) -> None:
    rng = random.Random(seed)

    async def example() -> None:
        for _ in range(CALLS):
            call = requests.call(rng, world.resources)
            answer = await answered(world, call)
            if answer is not None:
                judge(call, answer)

    world.run(example())
    assert world.run(world.transport.request("GET", "/readyz")).status == 200
