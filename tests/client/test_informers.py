from __future__ import annotations

import asyncio
import gc
import itertools

import pytest
from scripted import ScriptedTransport, configmap

from minikube_api.client import Client
from minikube_api.client.informers import InformerFactory
from minikube_api.client.stepping import SteppedClock, settle
from minikube_api.schema.typed.core_v1 import ConfigMap

REFUSED = (422, {"kind": "Status", "code": 422, "reason": "Invalid", "message": "sendInitialEvents is forbidden"})


@pytest.fixture
async def world():
    clock, transport = SteppedClock(), ScriptedTransport()
    factory = InformerFactory(Client(transport), clock=clock, random=lambda: 0.0)
    informer = factory.informer(ConfigMap)
    seen: list[tuple[str, ...]] = []
    informer.on_add(lambda obj: seen.append(("add", obj.metadata.name)))
    informer.on_update(lambda old, new: seen.append(("update", old.metadata.resourceVersion, new.metadata.resourceVersion)))
    informer.on_delete(lambda obj: seen.append(("delete", obj.metadata.name)))
    async with factory.running():
        await settle()
        yield clock, transport, factory, informer, seen


async def test_streaming_list_is_synced_at_the_end_of_the_initial_events(world):
    _, transport, _, informer, seen = world
    stream = transport.streams[0]
    assert stream.query["sendInitialEvents"] == "true" and stream.query["resourceVersionMatch"] == "NotOlderThan"
    stream.send("ADDED", configmap("a", 5))
    await settle()
    assert not informer.has_synced and seen == []
    stream.bookmark(7, end=True)
    await asyncio.wait_for(informer.synced(), 1)
    assert seen == [("add", "a")] and informer.resource_version == "7"
    assert informer.get("default", "a").metadata.resourceVersion == "5"


async def test_events_after_the_initial_state_change_the_cache(world):
    _, transport, _, informer, seen = world
    stream = transport.streams[0]
    stream.bookmark(7, end=True)
    stream.send("ADDED", configmap("a", 8))
    stream.send("MODIFIED", configmap("a", 9))
    stream.send("DELETED", configmap("a", 10))
    await settle()
    assert seen == [("add", "a"), ("update", "8", "9"), ("delete", "a")]
    assert len(informer) == 0 and informer.list() == []


async def test_an_ended_stream_goes_on_from_the_last_version_seen(world):
    _, transport, _, _, _ = world
    transport.streams[0].bookmark(7, end=True)
    transport.streams[0].send("ADDED", configmap("a", 8))
    transport.streams[0].bookmark(20)
    transport.streams[0].end()
    await settle()
    assert transport.streams[1].query["resourceVersion"] == "20"
    assert "sendInitialEvents" not in transport.streams[1].query


async def test_an_expired_version_leads_to_a_new_list_and_deletes_of_what_vanished(world):
    clock, transport, _, informer, seen = world
    first = transport.streams[0]
    for name in ("gone", "same", "new-version"):
        first.send("ADDED", configmap(name, 5))
    first.bookmark(7, end=True)
    first.error(410, "Expired")
    await settle()
    seen.clear()
    await clock.advance(1)
    second = transport.streams[1]
    assert second.query["sendInitialEvents"] == "true"
    second.send("ADDED", configmap("same", 5))
    second.send("ADDED", configmap("new-version", 30))
    await settle()
    assert informer.get("default", "gone") is not None, "the old state stays readable until the new one is whole"
    second.bookmark(31, end=True)
    await settle()
    assert sorted(seen) == [("delete", "gone"), ("update", "5", "30")]


async def test_a_refused_streaming_list_falls_back_to_list_and_watch():
    transport = ScriptedTransport()
    transport.refuse_streams = [REFUSED]
    transport.answers = [(200, {"metadata": {"resourceVersion": "11"}, "items": [configmap("a", 3)]})]
    factory = InformerFactory(Client(transport), clock=SteppedClock(), random=lambda: 0.0)
    informer = factory.informer(ConfigMap)
    async with factory.running():
        await asyncio.wait_for(informer.synced(), 1)
        await settle()
        assert transport.streams[1].query["resourceVersion"] == "11"
        assert informer.get("default", "a") is not None


async def test_a_failing_server_is_asked_again_with_growing_pauses():
    clock, transport = SteppedClock(), ScriptedTransport()
    unavailable = (503, {"kind": "Status", "code": 503, "reason": "ServiceUnavailable", "message": "x"})
    transport.refuse_streams = [unavailable] * 6
    factory = InformerFactory(Client(transport), clock=clock, random=lambda: 0.0)
    factory.informer(ConfigMap)
    async with factory.running():
        await settle()
        times = [clock.time()]
        while len(transport.streams) < 6:
            known = len(transport.streams)
            await clock.advance(0.05)
            if len(transport.streams) > known:
                times.append(clock.time())
        pauses = [b - a for a, b in itertools.pairwise(times)]
        assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6], abs=0.06)


async def test_indexes_follow_changes(world):
    _, transport, _, informer, _ = world
    informer.add_index("color", lambda obj: [obj.data["color"]] if "color" in obj.data else [])
    stream = transport.streams[0]
    stream.send("ADDED", configmap("a", 1, color="red"))
    stream.send("ADDED", configmap("b", 2, color="red"))
    stream.bookmark(3, end=True)
    stream.send("MODIFIED", configmap("a", 4, color="blue"))
    await settle()
    assert [o.metadata.name for o in informer.index("color", "red")] == ["b"]
    assert [o.metadata.name for o in informer.index("color", "blue")] == ["a"]
    stream.send("DELETED", configmap("b", 5, color="red"))
    await settle()
    assert informer.index_values("color") == ["blue"]


async def test_an_informer_asked_twice_is_the_same_and_one_asked_late_runs(world):
    _, transport, factory, informer, _ = world
    assert factory.informer(ConfigMap) is informer
    other = factory.informer(ConfigMap, label_selector="a=b")
    await settle()
    assert other is not informer and transport.streams[-1].query["labelSelector"] == "a=b"


async def test_a_late_handler_hears_of_what_is_there(world):
    _, transport, _, informer, _ = world
    transport.streams[0].send("ADDED", configmap("a", 1))
    transport.streams[0].bookmark(2, end=True)
    await settle()
    heard = []
    informer.on_add(lambda obj: heard.append(obj.metadata.name))
    assert heard == ["a"]


async def test_two_factories_of_a_process_share_decoded_objects(world):
    _, transport, _, informer, _ = world
    other_transport = ScriptedTransport()
    other_factory = InformerFactory(Client(other_transport))
    other = other_factory.informer(ConfigMap)
    async with other_factory.running():
        await settle()
        for stream in (transport.streams[0], other_transport.streams[0]):
            stream.send("ADDED", configmap("shared", 41))
            stream.bookmark(42, end=True)
        await settle()
        assert other.get("default", "shared") is informer.get("default", "shared")


async def test_interned_objects_die_with_their_last_informer():
    from minikube_api.client import interning, objects

    gc.collect()
    body = objects.encode(configmap("short-lived", 1))
    obj = interning.decode(ConfigMap, body)
    size = interning.size()
    del obj
    gc.collect()
    assert interning.size() == size - 1
