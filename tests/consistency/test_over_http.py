"""Over HTTP, a list and the events after it always give a later list: for every view and selector, across pages, old revisions, slow
watchers, compaction and restarts.

Followers are clients: each has a list in a view of its own and a watch from its revision, and reads at its own pace. A model keeps what
is true at every revision. `tests/cache/test_consistency.py` shows the same below HTTP, faster and deeper.
"""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import hypothesis.strategies as st
import orjson
from hypothesis import HealthCheck, given, settings

from minikube_api.server.server import Config, Listener, Server
from minikube_api.store.contract import Revision

V1 = "/apis/autoscaling/v1"
V2 = "/apis/autoscaling/v2"
RESOURCE = "horizontalpodautoscalers"
#: view -> (group version, Accept)
VIEWS = {
    "object": (V2, "application/json"),
    "second version": (V1, "application/json"),
    "table": (V2, "application/json;as=Table;v=v1;g=meta.k8s.io"),
    "metadata": (V2, "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"),
}
SELECTORS = ({}, {"labelSelector": "app=x"}, {"labelSelector": "app in (x,y)"}, {"fieldSelector": "metadata.name=b"})

Key = tuple[str, str]
State = dict[Key, str]

STEP = st.one_of(
    st.tuples(st.just("write"), st.sampled_from("abcd"), st.sampled_from(["one", "two"]), st.sampled_from("xyz")),
    st.tuples(st.just("write"), st.sampled_from("ab"), st.just("one"), st.sampled_from("xyz")),
    st.tuples(st.just("delete"), st.sampled_from("abcd"), st.sampled_from(["one", "two"])),
    st.tuples(
        st.just("follow"),
        st.sampled_from(sorted(VIEWS)),
        st.sampled_from(range(len(SELECTORS))),
        st.sampled_from(["", "one"]),
        st.integers(0, 8),
    ),
    st.tuples(st.just("pull"), st.integers(0, 5)),
    st.tuples(
        st.just("page"), st.sampled_from(sorted(VIEWS)), st.sampled_from(range(len(SELECTORS))), st.integers(1, 3), st.booleans()
    ),
    st.tuples(st.just("compact"), st.integers(0, 6)),
    st.tuples(st.just("restart")),
)


def hpa(name: str, namespace: str, app: str, count: int) -> dict[str, Any]:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": count}
    return {"metadata": {"name": name, "namespace": namespace, "labels": {"app": app}}, "spec": spec}


def selected(state: dict[Key, tuple[str, str]], namespace: str, selector: int) -> State:
    """What a list must give: the model's own idea of the selectors above."""

    def fits(key: Key, app: str) -> bool:
        return (True, app == "x", app in "xy", key[1] == "b")[selector]

    return {key: rv for key, (rv, app) in state.items() if namespace in ("", key[0]) and fits(key, app)}


def rows(view: str, tree: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects' metadata in a list or an event of a view, whose form is checked."""
    if view == "table":
        assert tree["kind"] == "Table"
        return [row["object"]["metadata"] for row in tree["rows"]]
    expected = {
        "object": "HorizontalPodAutoscaler",
        "second version": "HorizontalPodAutoscaler",
        "metadata": "PartialObjectMetadata",
    }
    assert tree["kind"].removesuffix("List") == expected[view], tree["kind"]
    items = tree.get("items", [tree])
    if view in ("object", "second version") and "items" not in tree:
        assert tree["apiVersion"] == ("autoscaling/v2" if view == "object" else "autoscaling/v1")
    return [item["metadata"] for item in items]


@dataclass
class Follower:
    view: str
    selector: int
    namespace: str
    state: State
    revision: int
    response: aiohttp.ClientResponse
    rest: bytes = b""
    ended: bool = field(default=False)

    def apply(self, line: bytes) -> None:
        event = orjson.loads(line)
        if event["type"] == "ERROR":
            assert event["object"]["code"] == 410
            self.ended = True
            return
        for metadata in rows(self.view, event["object"]):
            revision, key = int(metadata["resourceVersion"]), (metadata["namespace"], metadata["name"])
            assert revision > self.revision, f"{event['type']} of {key}: {revision} after {self.revision}"
            self.revision = revision
            assert (key in self.state) == (event["type"] != "ADDED"), f"{event['type']} of {key}"
            if event["type"] == "DELETED":
                del self.state[key]
            else:
                self.state[key] = metadata["resourceVersion"]

    async def pull(self, expected: State) -> None:
        """Read until the state is the expected one; a watch that a restart or slowness has ended may stop short of it."""
        while self.state != expected and not self.ended:
            try:
                chunk = await asyncio.wait_for(self.response.content.readany(), 5)
            except (aiohttp.ClientError, ConnectionError):
                chunk = b""
            except TimeoutError:
                raise AssertionError(f"no event within 5 s: {self.state} in place of {expected} ({self.view})") from None
            if not chunk:
                self.ended = True
            *lines, self.rest = (self.rest + chunk).split(b"\n")
            for line in lines:
                self.apply(line)


class World:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "tokens").write_text('t,tester,1,"system:masters"\n')
        #: revision -> {key: (resourceVersion, app)}
        self.history: dict[int, dict[Key, tuple[str, str]]] = {}
        self.lists: list[tuple[str, int, str, State, int]] = []
        self.followers: list[Follower] = []
        self.count = 0
        self.compacted = 0

    async def start(self) -> None:
        config = Config(
            store="sqlite",
            data_dir=self.directory / "store",
            listeners=[Listener(port=0, tls=False)],
            bootstrap=False,
            admission=(),
            token_file=self.directory / "tokens",
        )
        self.server = Server(config)
        await self.server.start()
        headers = {"Authorization": "Bearer t"}
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.server.ports[0]}", headers=headers)
        if not self.history:
            found = await self.ok("GET", f"{V2}/{RESOURCE}")
            self.history[int(found["metadata"]["resourceVersion"])] = {}

    async def stop(self) -> None:
        for follower in self.followers:
            follower.response.close()
        self.followers.clear()
        await self.session.close()
        await self.server.stop()

    async def send(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> tuple[int, Any]:
        data = None if body is None else orjson.dumps(body)
        headers = {"Accept": accept, "Content-Type": "application/json"}
        async with self.session.request(method, path, data=data, headers=headers) as response:
            return response.status, orjson.loads(await response.read())

    async def ok(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> Any:
        status, tree = await self.send(method, path, body, accept)
        assert status in (200, 201), tree
        return tree

    @property
    def now(self) -> int:
        return max(self.history)

    def path(self, version: str, namespace: str) -> str:
        return f"{version}/namespaces/{namespace}/{RESOURCE}" if namespace else f"{version}/{RESOURCE}"

    async def write(self, name: str, namespace: str, app: str) -> None:
        self.count += 1
        body = hpa(name, namespace, app, self.count)
        path = self.path(V1 if self.count % 2 else V2, namespace)
        if (namespace, name) in self.history[self.now]:
            tree = await self.ok("PUT", f"{path}/{name}", body)
        else:
            tree = await self.ok("POST", path, body)
        version = tree["metadata"]["resourceVersion"]
        assert int(version) > self.now
        self.history[int(version)] = {**self.history[self.now], (namespace, name): (version, app)}

    async def delete(self, name: str, namespace: str) -> None:
        if (namespace, name) not in self.history[self.now]:
            return
        await self.ok("DELETE", f"{self.path(V2, namespace)}/{name}")
        found = await self.ok("GET", f"{V2}/{RESOURCE}?limit=1")
        state = dict(self.history[self.now])
        del state[namespace, name]
        self.history[int(found["metadata"]["resourceVersion"])] = state

    async def list(self, view: str, selector: int, namespace: str, **query: str) -> tuple[State, int, str]:
        version, accept = VIEWS[view]
        tree = await self.ok(
            "GET", f"{self.path(version, namespace)}?{urlencode({**SELECTORS[selector], **query})}", accept=accept
        )
        state = {(m["namespace"], m["name"]): m["resourceVersion"] for m in rows(view, tree)}
        return state, int(tree["metadata"]["resourceVersion"]), tree["metadata"].get("continue", "")

    async def follow(self, view: str, selector: int, namespace: str, age: int) -> None:
        state, revision, _ = await self.list(view, selector, namespace)
        assert state == selected(self.history[self.now], namespace, selector)
        self.lists.append((view, selector, namespace, state, revision))
        alike = [entry for entry in self.lists if entry[:3] == (view, selector, namespace)]
        *_, state, revision = alike[max(0, len(alike) - 1 - age)]
        version, accept = VIEWS[view]
        query = urlencode({**SELECTORS[selector], "watch": "1", "resourceVersion": str(revision)})
        accept = accept.replace("MetadataList", "Metadata")
        response = await self.session.get(f"{self.path(version, namespace)}?{query}", headers={"Accept": accept})
        if response.status == 410:
            assert revision < self.compacted or revision < self.now, "410 although nothing happened since"
            response.close()
            return
        assert response.status == 200, await response.read()
        self.followers.append(Follower(view, selector, namespace, dict(state), revision, response))

    async def page(self, view: str, selector: int, limit: int, *, writes: bool) -> None:
        """All pages show one revision, whatever is written between them; after compaction the token has expired."""
        seen, revision, token = await self.list(view, selector, "", limit=str(limit))
        while token:
            if writes:
                await self.write("d", "two", "x")
            more, at, token = await self.list(view, selector, "", limit=str(limit), **{"continue": token})
            assert at == revision
            assert not more.keys() & seen.keys(), "an object on two pages"
            seen |= more
        base = max(r for r in self.history if r <= revision)
        assert seen == selected(self.history[base], "", selector)

    async def pull(self, follower: Follower) -> None:
        await follower.pull(selected(self.history[self.now], follower.namespace, follower.selector))

    async def compact(self, back: int) -> None:
        revision = max(1, self.now - back)
        await self.server.storage.store.compact(Revision(revision))
        self.compacted = max(self.compacted, revision)

    async def restart(self) -> None:
        await self.stop()
        await self.start()
        state, revision, _ = await self.list("object", 0, "")
        assert state == selected(self.history[self.now], "", 0)
        assert revision >= self.now


async def play(steps: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        await world.start()
        try:
            for step in steps:
                match step:
                    case ("write", name, namespace, app):
                        await world.write(name, namespace, app)
                    case ("delete", name, namespace):
                        await world.delete(name, namespace)
                    case ("follow", view, selector, namespace, age):
                        await world.follow(view, selector, namespace, age)
                    case ("pull", which):
                        if which < len(world.followers):
                            await world.pull(world.followers[which])
                    case ("page", view, selector, limit, writes):
                        await world.page(view, selector, limit, writes=writes)
                    case ("compact", back):
                        await world.compact(back)
                    case ("restart",):
                        await world.restart()
            for follower in world.followers:
                await world.pull(follower)
                assert not follower.ended, "a watch that was not slow was ended"
        finally:
            await world.stop()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(st.lists(STEP, min_size=5, max_size=40))
def test_list_and_events_give_the_later_list_in_every_view(steps: list[Any]) -> None:
    asyncio.run(play(steps))
