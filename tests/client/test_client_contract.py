"""The same claims over HTTP and over the in-process transport: components must not tell them apart."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from minikube_api.client import Client
from minikube_api.client.election import ElectionOptions, LeaderElector, LeadershipLost
from minikube_api.client.events import EventRecorder
from minikube_api.client.http import HttpTransport
from minikube_api.client.informers import InformerFactory
from minikube_api.client.stepping import SteppedClock, settle
from minikube_api.meta.errors import AlreadyExists, Conflict, NotFound, Unauthorized
from minikube_api.schema.typed.coordination_v1 import Lease
from minikube_api.schema.typed.core_v1 import ConfigMap, Event, Namespace
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Listener, Server


@pytest.fixture
async def server(tmp_path):
    tokens = tmp_path / "tokens.csv"
    tokens.write_text('secret,admin,1,"system:masters"\n')
    server = Server(Config(listeners=(Listener(host="127.0.0.1", port=0, tls=False),), token_file=tokens))
    await server.start()
    yield server
    await server.stop()


def http(server: Server, token: str = "secret") -> HttpTransport:
    return HttpTransport(f"http://127.0.0.1:{server.ports[0]}", None, token)


@pytest.fixture(params=["in-process", "http"])
async def client(request, server):
    transport = http(server) if request.param == "http" else server.transport(UserInfo("admin", groups=("system:masters",)))
    client = Client(transport, user_agent="contract/1")
    for name in ("default", "kube-system"):
        try:
            await client.create(Namespace(metadata=ObjectMeta(name=name)))
        except AlreadyExists:
            pass
    yield client
    await client.close()


def configmap(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default"), data=data)


async def test_create_get_update_patch_delete(client):
    made = await client.create(configmap("a", k="1"))
    assert made.metadata.uid and made.data == {"k": "1"}
    from msgspec.structs import replace

    updated = await client.update(replace(made, data={"k": "2"}))
    assert int(updated.metadata.resourceVersion) > int(made.metadata.resourceVersion)
    with pytest.raises(Conflict):
        await client.update(replace(made, data={"k": "3"}))
    patched = await client.patch(ConfigMap, "a", {"data": {"l": "1"}}, namespace="default")
    assert patched.data == {"k": "2", "l": "1"}
    assert await client.get(ConfigMap, "a", namespace="default") == patched
    with pytest.raises(Conflict):
        await client.delete(ConfigMap, "a", namespace="default", uid="another")
    await client.delete(ConfigMap, "a", namespace="default")
    with pytest.raises(NotFound) as error:
        await client.get(ConfigMap, "a", namespace="default")
    assert error.value.message == 'configmaps "a" not found'
    assert error.value.details == {"name": "a", "kind": "configmaps"}


async def test_list_pages_and_selectors(client):
    for n in range(5):
        metadata = ObjectMeta(name=f"c{n}", namespace="default", labels={"even": str(n % 2 == 0).lower()})
        await client.create(ConfigMap(metadata=metadata))
    even = await client.list(ConfigMap, namespace="default", label_selector="even=true")
    assert [c.metadata.name for c in even.items] == ["c0", "c2", "c4"]
    page = await client.list(ConfigMap, namespace="default", label_selector="even", limit=3)
    assert len(page.items) == 3 and page.continue_token
    rest = await client.list(ConfigMap, namespace="default", label_selector="even", continue_token=page.continue_token)
    assert [c.metadata.name for c in rest.items] == ["c3", "c4"] and not rest.continue_token


async def test_names_are_sent_as_they_are(client):
    with pytest.raises(NotFound) as error:
        await client.raw.get("/api/v1/namespaces/default/configmaps/a b%2Fc+d")
    assert 'configmaps "a b%2Fc+d" not found' in error.value.message


async def test_watch_gives_changes_after_a_version(client):
    listed = await client.list(ConfigMap, namespace="default")
    async with aclosing(client.watch(ConfigMap, namespace="default", resource_version=listed.resource_version)) as events:
        await client.create(configmap("a"))
        await client.patch(ConfigMap, "a", {"data": {"x": "y"}}, namespace="default")
        await client.delete(ConfigMap, "a", namespace="default")
        seen = []
        async with asyncio.timeout(5):
            async for event in events:
                seen.append((event.type, event.object.metadata.name))
                if len(seen) == 3:
                    break
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_an_informer_follows_the_server(client):
    await client.create(configmap("before"))
    factory = InformerFactory(client)
    informer = factory.informer(ConfigMap, namespace="default")
    async with factory.running(), asyncio.timeout(5):
        await factory.synced()
        assert informer.get("default", "before") is not None
        assert informer.lists == 1
        gone = asyncio.Event()
        informer.on_delete(lambda _: gone.set())
        made = await client.create(configmap("after"))
        await client.delete(ConfigMap, "before", namespace="default")
        await gone.wait()
        assert informer.get("default", "after") == made


async def test_metadata_informers_see_no_data(client):
    await client.create(configmap("a", secret="s"))
    factory = InformerFactory(client)
    informer = factory.metadata_informer("/api/v1/configmaps")
    async with factory.running(), asyncio.timeout(5):
        await factory.synced()
        found = informer.get("default", "a")
        assert found.metadata.uid and found.kind == "PartialObjectMetadata"


async def test_events_are_written_counted_and_described(client):
    made = await client.create(configmap("a"))
    clock = SteppedClock(1_800_000_000.0)
    recorder = EventRecorder(client, "tester", host="n1", clock=clock)
    writing = asyncio.create_task(recorder.run())
    for _ in range(3):
        recorder.event(made, "Warning", "Broken", "it broke")
    recorder.event(made, "Normal", "Fixed", "it works")
    async with asyncio.timeout(5):
        await recorder.flushed()
    writing.cancel()
    events = {e.reason: e for e in (await client.list(Event, namespace="default")).items}
    broken = events["Broken"]
    assert (broken.count, broken.type, broken.message) == (3, "Warning", "it broke")
    assert broken.involvedObject.uid == made.metadata.uid and broken.involvedObject.kind == "ConfigMap"
    assert (broken.source.component, broken.source.host) == ("tester", "n1")
    assert broken.metadata.name.startswith("a.") and events["Fixed"].count == 1
    found = await client.list(
        Event, namespace="default", field_selector=f"involvedObject.uid={made.metadata.uid},involvedObject.name=a"
    )
    assert len(found.items) == 2, "kubectl describe selects by these fields"


async def test_one_leads_and_another_follows_when_it_resigns(client):
    clock = SteppedClock()
    order: list[str] = []

    async def lead(name: str) -> None:
        order.append(name)
        await asyncio.Event().wait()

    electors = [LeaderElector(client, "lock", identity=name, clock=clock, random=lambda: 0.0) for name in ("one", "two")]
    tasks = []
    for elector in electors:
        tasks.append(asyncio.create_task(elector.run(lambda e=elector: lead(e.identity))))
        await _until(clock, lambda e=elector: e.leader == "one")
    assert order == ["one"] and electors[1].leader == "one"
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    await _until(clock, lambda: order == ["one", "two"])
    lease = await client.get(Lease, "lock", namespace="kube-system")
    assert lease.spec.holderIdentity == "two" and lease.spec.leaseTransitions == 1
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_leader_whose_lease_was_taken_stops(client):
    clock = SteppedClock()
    elector = LeaderElector(client, "lock", identity="one", clock=clock, random=lambda: 0.0)
    running = asyncio.create_task(elector.run(asyncio.Event().wait))
    await _until(clock, lambda: elector.is_leader)
    body = {"spec": {"holderIdentity": "thief", "leaseDurationSeconds": 3600}}
    await client.patch(Lease, "lock", body, namespace="kube-system")
    await _until(clock, running.done)
    with pytest.raises(LeadershipLost):
        await running


async def test_a_dead_leaders_lease_is_taken_when_it_has_run_out(client):
    clock = SteppedClock()
    body = {"spec": {"holderIdentity": "dead", "leaseDurationSeconds": 15}}
    await client.create(Lease(metadata=ObjectMeta(name="lock", namespace="kube-system")))
    await client.patch(Lease, "lock", body, namespace="kube-system")
    elector = LeaderElector(client, "lock", identity="one", clock=clock, random=lambda: 0.0)
    started = clock.time()
    running = asyncio.create_task(elector.run(asyncio.Event().wait))
    await _until(clock, lambda: elector.is_leader)
    assert 15 <= clock.time() - started <= 20
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _until(clock: SteppedClock, check) -> None:
    """Step time by half-seconds, with real turns of the loop for the sockets in between."""
    async with asyncio.timeout(10):
        while not check():
            for _ in range(10):
                await settle(5)
                if check():
                    return
                await asyncio.sleep(0.002)
            await clock.advance(0.5)


def test_election_times_must_leave_room_for_renewal():
    with pytest.raises(ValueError, match="leaseDuration must be greater than renewDeadline"):
        ElectionOptions(lease_duration=10, renew_deadline=10)


async def test_a_bad_token_is_unauthorized(server):
    transport = http(server, "wrong")
    with pytest.raises(Unauthorized):
        await Client(transport).list(Namespace)
    await transport.close()


async def test_a_server_that_is_away_is_an_os_error():
    transport = HttpTransport("http://127.0.0.1:9", None, "t")
    with pytest.raises(OSError):
        await Client(transport).list(Namespace)
    await transport.close()
