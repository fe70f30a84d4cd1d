"""watch: where it begins, what each selector sees, bookmarks, slow watchers, one rendering for many."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from world import STORED, bookmark, metadata_only, nothing_more, pod, read, told, world

from minikube_api.cache import Entry, Rendering, Selection, WatchRequest
from minikube_api.client.stepping import SteppedClock
from minikube_api.meta.errors import Expired, Timeout
from minikube_api.meta.selectors import parse_fields, parse_labels


def at(version: object, **options) -> WatchRequest:
    return WatchRequest(resource_version=str(version), **options)


@pytest.mark.parametrize("version", ["", "0"])
async def test_without_a_version_what_is_there_comes_as_added(version: str) -> None:
    async with world() as w:
        await w.put(pod("b"))
        await w.put(pod("a"))
        async with w.pods.watch(at(version), STORED) as watch:
            assert [told(event) for event in await read(watch, 2)] == [("ADDED", "a", "3"), ("ADDED", "b", "2")]
            await w.put(pod("c"))
            assert told((await read(watch, 1))[0]) == ("ADDED", "c", "4")


async def test_from_a_version_come_exactly_the_later_events() -> None:
    async with world() as w:
        await w.put(pod("a"))
        start = await w.put(pod("b"))
        await w.put(pod("a"))
        await w.delete("b")
        async with w.pods.watch(at(start), STORED) as watch:
            await w.put(pod("c"))
            events = [told(event) for event in await read(watch, 3)]
        assert events == [("MODIFIED", "a", "4"), ("DELETED", "b", "5"), ("ADDED", "c", "6")]


async def test_a_kind_first_asked_for_later_still_knows_its_past() -> None:
    async with world() as w:
        from minikube_api.cache import encode

        await w.store.put(w.key(pod("a")), encode(pod("a")))
        await w.store.delete(w.key(pod("a")))
        async with w.pods.watch(at(1), STORED) as watch:
            assert [told(e) for e in await read(watch, 2)] == [("ADDED", "a", "2"), ("DELETED", "a", "3")]


async def test_from_a_future_version_earlier_events_are_left_out() -> None:
    async with world() as w:
        async with w.pods.watch(at(3), STORED) as watch:
            for name in "abc":
                await w.put(pod(name))
            assert told((await read(watch, 1))[0]) == ("ADDED", "c", "4")


async def test_a_version_older_than_the_window_is_410() -> None:
    async with world(window=4) as w:
        for n in range(10):
            await w.put(pod("a", mark=str(n)))
        with pytest.raises(Expired, match=r"^too old resource version: 2 \(\d+\)$"):
            async with w.pods.watch(at(2), STORED):
                pass
        assert w.pods.watchers == 0


async def test_initial_events_end_with_a_bookmark_of_the_state_they_showed() -> None:
    async with world() as w:
        await w.put(pod("a"))
        request = at("", send_initial_events=True, bookmarks=True)
        async with w.pods.watch(request, STORED) as watch:
            await w.put(pod("b"))
            events = await read(watch, 3)
        assert [told(event) for event in events] == [("ADDED", "a", "2"), ("BOOKMARK", "", "2"), ("ADDED", "b", "3")]
        assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_initial_events_may_be_declined() -> None:
    async with world() as w:
        await w.put(pod("a"))
        async with w.pods.watch(at("", send_initial_events=False), STORED) as watch:
            assert await nothing_more(watch)


async def test_initial_events_of_a_version_not_reached_are_504() -> None:
    async with world() as w:
        with pytest.raises(Timeout):
            async with w.pods.watch(at(99, send_initial_events=True), STORED):
                pass


LABEL = Selection(labels=parse_labels("app=x"))
NODE = Selection.of("", None, parse_fields("spec.nodeName=n1"))


@pytest.mark.parametrize("selection", [pytest.param(LABEL, id="label"), pytest.param(NODE, id="node")])
async def test_entering_and_leaving_a_selector_is_added_and_deleted(selection: Selection) -> None:
    async with world() as w:
        inside = {"app": "x", "node": "n1"}
        outside = {"app": "y", "node": "n2"}
        async with w.pods.watch(at(1, selection=selection), STORED) as watch:
            await w.put(pod("a", mark="0", **outside))
            await w.put(pod("a", mark="1", **inside))
            await w.put(pod("a", mark="2", **inside))
            await w.put(pod("a", mark="3", **outside))
            await w.put(pod("a", mark="4", **inside))
            await w.delete("a")
            events = await read(watch, 5)
        assert [(*told(event)[::2], event[1]["spec"]["mark"]) for event in events] == [
            ("ADDED", "3", "1"),
            ("MODIFIED", "4", "2"),
            ("DELETED", "5", "2"),  # the previous object, with the new revision
            ("ADDED", "6", "4"),
            ("DELETED", "7", "4"),
        ]


@pytest.mark.parametrize(
    ("selection", "wanted"),
    [
        pytest.param(Selection(namespace="one"), ["a", "b"], id="namespace"),
        pytest.param(Selection.of("", None, parse_fields("metadata.name=b")), ["b", "b"], id="name-everywhere"),
        pytest.param(Selection(namespace="two", name="b"), ["b"], id="single-object"),
        pytest.param(Selection.of("one", None, parse_fields("metadata.name!=b")), ["a"], id="not-name"),
    ],
)
async def test_a_watcher_sees_its_part_only(selection: Selection, wanted: list[str]) -> None:
    async with world() as w:
        async with w.pods.watch(at(1, selection=selection), STORED) as watch:
            for name, namespace in (("a", "one"), ("b", "one"), ("b", "two"), ("c", "two")):
                await w.put(pod(name, namespace))
            assert [told(event)[1] for event in await read(watch, len(wanted))] == wanted
            assert await nothing_more(watch)


async def test_a_slow_watcher_is_closed_and_others_go_on() -> None:
    async with world(pending_limit=5) as w:
        async with w.pods.watch(at(1), STORED) as slow, w.pods.watch(at(1), STORED) as quick:
            for n in range(8):
                await w.put(pod("a", mark=str(n)))
                assert len(await read(quick, 1)) == 1
            assert slow.ended == "slow"
            with pytest.raises(StopAsyncIteration):
                await anext(slow)
            await w.put(pod("b"))
            assert told((await read(quick, 1))[0])[1] == "b"


async def test_many_equal_watchers_cost_one_rendering() -> None:
    rendered = []

    def render(entry: Entry) -> bytes:
        rendered.append(entry.revision)
        return metadata_only(entry)

    view = Rendering(key="metadata", bookmark=bookmark, render=render)
    async with world() as w, AsyncExitStack() as stack:
        watches = [await stack.enter_async_context(w.pods.watch(at(1), view)) for _ in range(50)]
        watches += [
            await stack.enter_async_context(w.pods.watch(at(1, selection=Selection(namespace="default")), view))
            for _ in range(50)
        ]
        await w.put(pod("a"))
        for watch in watches:
            assert (await read(watch, 1))[0][1]["kind"] == "PartialObjectMetadata"
        assert rendered == [2]


async def test_the_first_event_may_look_different() -> None:
    async def head(entry: Entry) -> bytes:
        return metadata_only(entry).replace(b"PartialObjectMetadata", b"Head")

    view = Rendering(key="m", bookmark=bookmark, render=metadata_only, first=head)
    async with world() as w:
        await w.put(pod("a"))
        async with w.pods.watch(at(1), view) as early, w.pods.watch(at(2), view) as late:
            await w.put(pod("b"))
            assert [event[1]["kind"] for event in await read(early, 2)] == ["Head", "PartialObjectMetadata"]
            assert [event[1]["kind"] for event in await read(late, 1)] == ["Head"]


async def test_rendering_may_be_asynchronous_and_keeps_the_order() -> None:
    async def render(entry: Entry) -> bytes:
        await asyncio.sleep(0)
        return entry.body

    view = Rendering(key="converted", bookmark=bookmark, render=render)
    async with world() as w:
        async with w.pods.watch(at(1), view) as watch:
            await asyncio.gather(*(w.put(pod(f"p{n}")) for n in range(20)))
            versions = [int(told(event)[2]) for event in await read(watch, 20)]
        assert versions == list(range(2, 22))


async def test_bookmarks_come_about_every_minute_with_the_progress_of_the_whole_store() -> None:
    clock = SteppedClock()
    async with world(clock=clock) as w:
        async with w.pods.watch(at(1, bookmarks=True), STORED) as watch, w.pods.watch(at(1), STORED) as silent:
            other = await w.store.put("/registry/nodes/n", b"{}")
            await clock.advance(61)
            events = await read(watch, 1)
            assert [told(event) for event in events] == [("BOOKMARK", "", str(other))]
            assert "annotations" not in events[0][1]["metadata"]
            assert await nothing_more(silent)


async def test_a_last_bookmark_comes_before_the_deadline() -> None:
    clock = SteppedClock()
    async with world(clock=clock) as w, w.pods.watch(at(1, bookmarks=True), STORED, timeout=10) as watch:
        await clock.advance(7)
        assert await nothing_more(watch)
        await clock.advance(2)
        assert (await read(watch, 1))[0][0] == "BOOKMARK"


async def test_leaving_a_watch_leaves_nothing_behind() -> None:
    async with world() as w:
        for selection in (Selection(), Selection(namespace="a"), LABEL, NODE, Selection(name="x")):
            async with w.pods.watch(at(1, selection=selection), STORED):
                assert w.pods.watchers == 1
        assert w.pods.watchers == 0
        assert (w.pods._groups._groups, w.pods._groups._index, w.pods._groups._nodes) == ({}, {}, 0)


async def test_a_kind_no_longer_served_ends_its_watches() -> None:
    async with world() as w, w.pods.watch(at(1), STORED) as watch:
        w.feed.remove(w.pods)
        with pytest.raises(StopAsyncIteration):
            await anext(watch)
