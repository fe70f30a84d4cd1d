"""Beside random writes a watch misses nothing: what was listed before, changed by the events seen, is what is listed after."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import requests
from tests.fuzz.conftest import World
from tests.fuzz.test_requests import answered, judge

#: kinds whose random objects are often valid, so that the store moves
PLURALS = (
    "configmaps",
    "secrets",
    "serviceaccounts",
    "podtemplates",
    "leases",
    "endpointslices",
    "controllerrevisions",
    "priorityclasses",
)
WRITES = 40
LIMIT = 10.0

Objects = dict[tuple[str, str], Any]


def key(obj: Any) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


async def listed(world: World, path: str, query: dict[str, str]) -> tuple[Objects, str]:
    answer = await world.transport.request("GET", path, query=query)
    tree = orjson.loads(answer.body)
    assert answer.status == 200, tree
    return {key(item): item["metadata"]["resourceVersion"] for item in tree["items"]}, tree["metadata"]["resourceVersion"]


async def follow(world: World, path: str, query: dict[str, str], state: Objects, since: str, ready: asyncio.Event) -> None:
    """Applies events to `state` for ever."""
    asked = {**query, "watch": "1", "resourceVersion": since}
    async with world.transport.stream("GET", path, query=asked) as stream:
        assert stream.status == 200
        ready.set()
        async for line in stream.lines():
            event = orjson.loads(line)
            obj = event["object"]
            assert event["type"] in ("ADDED", "MODIFIED", "DELETED"), event
            assert (event["type"] == "ADDED") == (key(obj) not in state), event
            if event["type"] == "DELETED":
                del state[key(obj)]
                continue
            state[key(obj)] = obj["metadata"]["resourceVersion"]


@pytest.mark.timeout(40)
@given(seed=st.integers(0, 2**32), selector=st.sampled_from(["", "a=b", "!a"]))
@settings(
    max_examples=80, derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_watch_beside_random_writes_misses_no_event(world: World, seed: int, selector: str) -> None:
    rng = random.Random(seed)
    resources = [r for r in world.resources if r.plural in PLURALS and r.group != "events.k8s.io"]
    resource = rng.choice(resources)
    path, query = requests.collection(resource), {"labelSelector": selector} if selector else {}

    async def example() -> None:
        state, since = await listed(world, path, query)
        ready = asyncio.Event()
        watching = asyncio.create_task(follow(world, path, query, state, since, ready), name="watch")
        await asyncio.wait_for(ready.wait(), LIMIT)
        for _ in range(WRITES):
            call = requests.call(rng, [resource])
            if rng.random() < 0.5:
                call = plain(rng, resource)
            answer = await answered(world, call)
            if answer is not None:
                judge(call, answer)
        final, _ = await listed(world, path, query)
        async with asyncio.timeout(LIMIT):
            while state != final and not watching.done():
                # An answered write is in the cache; the stream needs a few turns of the loop to say so.
                await asyncio.sleep(0)
        watching.cancel()
        outcome = (await asyncio.gather(watching, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError), outcome
        assert state == final

    world.run(example())


def plain(rng: random.Random, resource: Any) -> requests.Call:
    """A write that is likely to succeed: labels come and go, objects too."""
    name = rng.choice(requests.NAMES)
    path = requests.collection(resource)
    labels = {"a": rng.choice(("b", "c"))} if rng.random() < 0.6 else {}
    kind = {"Content-Type": "application/json"}
    match rng.randrange(4):
        case 0:
            return requests.Call("DELETE", f"{path}/{name}", {}, kind)
        case 1:
            patch = orjson.dumps({"metadata": {"labels": labels or None}})
            return requests.Call("PATCH", f"{path}/{name}", {}, {"Content-Type": "application/merge-patch+json"}, patch)
        case _:
            made = {**minimal(resource), "metadata": {"name": name, "labels": labels}}
            return requests.Call("POST", path, {}, kind, orjson.dumps(made))


def minimal(resource: Any) -> dict[str, Any]:
    return {
        "EndpointSlice": {"addressType": "IPv4", "endpoints": []},
        "ControllerRevision": {"revision": 1},
        "PriorityClass": {"value": 1},
        "PodTemplate": {"template": {"metadata": {}, "spec": {"containers": [{"name": "c", "image": "i"}]}}},
    }.get(resource.kind, {})
