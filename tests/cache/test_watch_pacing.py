"""A crowd of equal watchers: bursts are held and go out together, nothing is lost, doubled or out of order."""

from __future__ import annotations

from contextlib import AsyncExitStack

from world import STORED, World, nothing_more, pod, read, told, world

from minikube_api.cache import Watch, WatchRequest
from minikube_api.cache.watching import CROWD
from minikube_api.client.stepping import SteppedClock


async def crowd(w: World, stack: AsyncExitStack, count: int = CROWD, *, bookmarks: bool = False) -> list[Watch]:
    request = WatchRequest(resource_version="0", bookmarks=bookmarks)
    return [await stack.enter_async_context(w.pods.watch(request, STORED)) for _ in range(count)]


async def test_the_first_event_goes_at_once_and_a_burst_after_it_as_one_chunk() -> None:
    async with world() as w, AsyncExitStack() as stack:
        watches = await crowd(w, stack)
        await w.put(pod("a"))
        for watch in watches:
            assert [told(e) for e in await read(watch, 1)] == [("ADDED", "a", "2")]
        await w.put(pod("b"))
        await w.put(pod("c"))
        await w.delete("a")
        assert all([await nothing_more(watch) for watch in watches])
        chunks = [await anext(watch) for watch in watches]
        assert chunks[0].count(b"\n") == 3
        # one bytes object for all of them: encoded and joined once
        assert all(chunk is chunks[0] for chunk in chunks)


async def test_a_few_watchers_are_told_at_once() -> None:
    async with world() as w, AsyncExitStack() as stack:
        watches = await crowd(w, stack, CROWD - 1)
        for name in "abc":
            await w.put(pod(name))
            for watch in watches:
                assert told((await read(watch, 1))[0])[1] == name


async def test_a_watcher_that_joins_amid_a_burst_sees_each_event_once() -> None:
    async with world() as w, AsyncExitStack() as stack:
        watches = await crowd(w, stack)
        for name in "abc":
            await w.put(pod(name))
        from_now = await stack.enter_async_context(w.pods.watch(WatchRequest(resource_version="0"), STORED))
        from_then = await stack.enter_async_context(w.pods.watch(WatchRequest(resource_version="2"), STORED))
        await w.put(pod("d"))
        assert [told(e)[1] for e in await read(watches[0], 4)] == ["a", "b", "c", "d"]
        assert [told(e)[1] for e in await read(from_now, 4)] == ["a", "b", "c", "d"]
        assert [told(e)[1] for e in await read(from_then, 3)] == ["b", "c", "d"]
        assert all([await nothing_more(watch) for watch in (watches[0], from_now, from_then)])


async def test_a_bookmark_comes_after_what_it_vouches_for() -> None:
    clock = SteppedClock()
    async with world(clock=clock) as w, AsyncExitStack() as stack:
        watches = await crowd(w, stack, bookmarks=True)
        for name in "abc":
            await w.put(pod(name))
        w.pods.tick(clock.monotonic() + 61)
        events = await read(watches[0], 4)
        assert [(kind, obj["metadata"]["resourceVersion"]) for kind, obj in events] == [
            ("ADDED", "2"),
            ("ADDED", "3"),
            ("ADDED", "4"),
            ("BOOKMARK", "4"),
        ]


async def test_what_is_held_goes_out_before_a_watch_ends() -> None:
    async with world() as w, AsyncExitStack() as stack:
        watches = await crowd(w, stack)
        for name in "abc":
            await w.put(pod(name))
        w.pods.close()
        for watch in watches:
            assert b"".join([chunk async for chunk in watch]).count(b"\n") == 3


async def test_the_last_watcher_leaves_no_timer_behind() -> None:
    async with world() as w:
        async with AsyncExitStack() as stack:
            watches = await crowd(w, stack)
            for name in "ab":
                await w.put(pod(name))
            group = watches[0].group
        await w.put(pod("c"))
        assert group._timer is None
        async with w.pods.watch(WatchRequest(resource_version="4"), STORED) as alone:
            await w.put(pod("d"))
            assert told((await read(alone, 1))[0])[1] == "d"
