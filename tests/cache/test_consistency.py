"""A list and the events after it always give a later list: for every selector and rendering, whatever happens in between.

Watchers are opened from old lists, read at random paces, closed when slow, across compaction; each follower applies its events
to the list it began with and must at every bookmark-like moment have exactly what the model says, with no gap, duplicate or
regression of revisions.
"""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings
from world import STORED, bookmark, events_of, metadata_only, pod, world

from minikube_api.cache import ListRequest, Rendering, Selection, WatchRequest
from minikube_api.meta.errors import Expired
from minikube_api.meta.selectors import parse_fields, parse_labels

SELECTIONS = [
    Selection(),
    Selection(namespace="one"),
    Selection(labels=parse_labels("app in (x,y)")),
    Selection.of("", None, parse_fields("spec.nodeName=n1")),
    Selection.of("two", parse_labels("app!=x"), parse_fields("metadata.name=b")),
]
RENDERINGS = [STORED, Rendering(key="metadata", bookmark=bookmark, render=metadata_only)]

WRITE = st.tuples(
    st.just("write"),
    st.sampled_from("abc"),
    st.sampled_from(["one", "two"]),
    st.sampled_from(["x", "y", "z"]),
    st.sampled_from(["", "n1", "n2"]),
)
STEP = st.one_of(
    WRITE,
    WRITE,
    st.tuples(st.just("delete"), st.sampled_from("abc"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("follow"), st.sampled_from(SELECTIONS), st.sampled_from(RENDERINGS), st.integers(0, 12)),
    st.tuples(st.just("pull"), st.integers(0, 5)),
    st.tuples(st.just("compact"), st.integers(0, 10)),
    st.tuples(st.just("page"), st.sampled_from(SELECTIONS), st.integers(1, 3)),
)


class Follower:
    """A client: a list, and a watch from its revision."""

    def __init__(self, selection: Selection, state: dict[tuple[str, str], str], revision: int) -> None:
        self.selection = selection
        self.state = state
        self.revision = revision
        self.watch: Any = None
        self.context: Any = None

    def apply(self, chunk: bytes) -> None:
        for kind, obj in events_of(chunk):
            metadata = obj["metadata"]
            revision = int(metadata["resourceVersion"])
            assert revision > self.revision, "regression or duplicate"
            self.revision = revision
            key = (metadata["namespace"], metadata["name"])
            assert (key in self.state) == (kind != "ADDED"), f"{kind} of {key}"
            if kind == "DELETED":
                del self.state[key]
            else:
                self.state[key] = metadata["resourceVersion"]


async def play(steps: list[Any]) -> None:
    async with world(window=8, pending_limit=6) as w:
        #: model: revision -> {(namespace, name): tree}
        history: dict[int, dict[tuple[str, str], dict[str, Any]]] = {1: {}}
        lists: list[tuple[Selection, dict[tuple[str, str], str], int]] = []
        followers: list[Follower] = []

        def selected(selection: Selection, revision: int) -> dict[tuple[str, str], str]:
            found = {}
            for key, tree in history[revision].items():
                labels = tree["metadata"].get("labels", {})
                fields = {
                    "metadata.name": key[1],
                    "metadata.namespace": key[0],
                    "spec.nodeName": tree["spec"]["nodeName"],
                }
                if (
                    selection.namespace in ("", key[0])
                    and (selection.labels is None or selection.labels.matches(labels))
                    and (selection.fields is None or selection.fields.matches(fields))
                ):
                    found[key] = tree["rv"]
            return found

        async def drain(follower: Follower) -> None:
            while follower.watch._queue or follower.watch._initial is not None:
                follower.apply(await anext(follower.watch))
            if not follower.watch.ended:
                assert follower.state == selected(follower.selection, now())

        def now() -> int:
            return max(history)

        def commit(key: tuple[str, str], tree: dict[str, Any] | None, revision: int) -> None:
            state = dict(history[now()])
            if tree is None:
                del state[key]
            else:
                state[key] = {**tree, "rv": str(revision)}
            history[revision] = state

        for step in steps:
            match step:
                case ("write", name, namespace, app, node):
                    tree = pod(name, namespace, node=node, app=app)
                    commit((namespace, name), tree, await w.put(tree))
                case ("delete", name, namespace):
                    if (namespace, name) in history[now()]:
                        commit((namespace, name), None, await w.delete(name, namespace))
                case ("follow", selection, rendering, age):
                    page = await w.pods.list(ListRequest(selection=selection))
                    state = {(e.namespace, e.name): str(e.revision) for e in page.items}
                    assert (state, page.revision) == (selected(selection, now()), now())
                    old = [entry for entry in lists if entry[0] == selection][-1 - age :][:1]
                    lists.append((selection, state, page.revision))
                    selection, state, revision = (old or lists[-1:])[0]
                    follower = Follower(selection, dict(state), revision)
                    request = WatchRequest(selection=selection, resource_version=str(revision))
                    follower.context = w.pods.watch(request, rendering)
                    try:
                        follower.watch = await follower.context.__aenter__()
                    except Expired:
                        assert now() - revision > 6, "410 although the window holds it"
                        continue
                    followers.append(follower)
                case ("pull", which):
                    if which < len(followers):
                        await drain(followers[which])
                case ("compact", back):
                    await w.store.compact(max(1, now() - back))  # type: ignore[arg-type]
                case ("page", selection, limit):
                    page = await w.pods.list(ListRequest(selection=selection, limit=limit))
                    revision, seen = page.revision, [*page.items]
                    while page.continue_token:
                        tree = pod("c", "two", app="x")
                        commit(("two", "c"), tree, await w.put(tree))
                        page = await w.pods.list(
                            ListRequest(selection=selection, limit=limit, continue_token=page.continue_token)
                        )
                        assert page.revision == revision
                        seen += page.items
                    state = {(e.namespace, e.name): str(e.revision) for e in seen}
                    assert len(state) == len(seen)
                    assert state == selected(selection, revision)
        for follower in followers:
            await drain(follower)
            await follower.context.__aexit__(None, None, None)
        assert w.pods.watchers == 0


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, max_size=40))
def test_list_and_events_give_the_later_list(steps: list[Any]) -> None:
    asyncio.run(play(steps))
