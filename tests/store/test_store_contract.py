"""What every store promises, clause by clause."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from minikube_api import store as stores
from minikube_api.client.stepping import SteppedClock, settle
from minikube_api.store.contract import (
    Compacted,
    CompareFailed,
    Event,
    FutureRevision,
    Store,
    StoreClosed,
    WatchBatch,
)

Opener = Callable[..., Awaitable[Store]]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path, clock: SteppedClock) -> AsyncIterator[Store]:
    opened = await stores.open(request.param, tmp_path / "data", clock=clock, compaction_interval=None)
    yield opened
    await opened.close()


async def collect(watch: AsyncIterator[WatchBatch], revision: int) -> list[Event]:
    """Events until progress reaches `revision`."""
    events: list[Event] = []
    async with asyncio.timeout(5):
        async for batch in watch:
            events += batch.events
            if batch.revision >= revision:
                return events
    raise AssertionError("the watch ended")


async def test_first_write_gets_revision_two(store: Store) -> None:
    assert await store.current_revision() == 1
    assert await store.put("/a", b"1") == 2
    assert await store.current_revision() == 2


async def test_get_gives_newest_state_with_both_revisions(store: Store) -> None:
    first = await store.put("/a", b"1")
    second = await store.put("/a", b"2")
    kv = await store.get("/a")
    assert kv is not None
    assert (kv.value, kv.create_revision, kv.mod_revision) == (b"2", first, second)
    assert await store.get("/b") is None


async def test_put_expecting_absence_fails_on_a_standing_key(store: Store) -> None:
    await store.put("/a", b"1", expect=0)
    with pytest.raises(CompareFailed) as failed:
        await store.put("/a", b"2", expect=0)
    assert failed.value.current is not None
    assert failed.value.current.value == b"1"
    assert await store.current_revision() == 2


async def test_put_expecting_an_old_revision_fails(store: Store) -> None:
    first = await store.put("/a", b"1")
    await store.put("/a", b"2", expect=first)
    with pytest.raises(CompareFailed):
        await store.put("/a", b"3", expect=first)


async def test_put_expecting_a_revision_of_an_absent_key_fails_without_current(store: Store) -> None:
    with pytest.raises(CompareFailed) as failed:
        await store.put("/a", b"1", expect=7)
    assert failed.value.current is None


async def test_deleting_an_absent_key_fails(store: Store) -> None:
    with pytest.raises(CompareFailed):
        await store.delete("/a")


async def test_a_key_made_again_after_deletion_has_a_new_create_revision(store: Store) -> None:
    await store.put("/a", b"1")
    await store.delete("/a", expect=2)
    assert await store.put("/a", b"2", expect=0) == 4
    kv = await store.get("/a")
    assert kv is not None
    assert kv.create_revision == 4


async def test_of_concurrent_compares_exactly_one_wins(store: Store) -> None:
    base = await store.put("/a", b"0")
    outcomes = await asyncio.gather(*(store.put("/a", str(n).encode(), expect=base) for n in range(20)), return_exceptions=True)
    assert sum(isinstance(outcome, int) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, CompareFailed) for outcome in outcomes) == 19


async def test_concurrent_writes_get_distinct_revisions(store: Store) -> None:
    revisions = await asyncio.gather(*(store.put(f"/{n}", b"x") for n in range(50)))
    assert sorted(revisions) == list(range(2, 52))


async def test_range_is_in_key_order_and_inside_the_prefix(store: Store) -> None:
    for key in ("/b/2", "/b/10", "/b/1", "/c/1", "/b", "/a/1", "/b0"):
        await store.put(key, key.encode())
    result = await store.range("/b/")
    assert [kv.key for kv in result.kvs] == ["/b/1", "/b/10", "/b/2"]
    assert (result.revision, result.more, result.count) == (8, False, 3)


async def test_range_pages_by_start_and_limit_and_counts_what_is_there(store: Store) -> None:
    for n in range(5):
        await store.put(f"/p/{n}", b"x")
    await store.delete("/p/0")
    page = await store.range("/p/", limit=2)
    assert ([kv.key for kv in page.kvs], page.more, page.count) == (["/p/1", "/p/2"], True, 4)
    rest = await store.range("/p/", start="/p/2\0", limit=2)
    assert ([kv.key for kv in rest.kvs], rest.more, rest.count) == (["/p/3", "/p/4"], False, 2)


async def test_range_at_a_revision_shows_the_past(store: Store) -> None:
    await store.put("/p/a", b"1")
    at = await store.put("/p/b", b"1")
    await store.put("/p/a", b"2")
    await store.delete("/p/b")
    await store.put("/p/c", b"1")
    past = await store.range("/p/", revision=at)
    assert [(kv.key, kv.value) for kv in past.kvs] == [("/p/a", b"1"), ("/p/b", b"1")]
    assert past.revision == at


async def test_range_in_the_future_is_refused(store: Store) -> None:
    with pytest.raises(FutureRevision) as future:
        await store.range("/", revision=99)  # type: ignore[arg-type]
    assert future.value.current == 1


async def test_compaction_keeps_its_revision_readable_and_refuses_older_ones(store: Store) -> None:
    await store.put("/p/a", b"1")
    await store.put("/p/a", b"2")
    await store.put("/p/gone", b"1")
    at = await store.delete("/p/gone")
    await store.put("/p/a", b"3")
    await store.compact(at)
    assert [(kv.key, kv.value) for kv in (await store.range("/p/", revision=at)).kvs] == [("/p/a", b"2")]
    assert [(kv.key, kv.value) for kv in (await store.range("/p/")).kvs] == [("/p/a", b"3")]
    with pytest.raises(Compacted) as compacted:
        await store.range("/p/", revision=at - 1)  # type: ignore[arg-type]
    assert compacted.value.compact_revision == at


async def test_a_compacted_deletion_does_not_give_its_revision_away_again(store: Store) -> None:
    await store.put("/a", b"1")
    deleted = await store.delete("/a")
    await store.compact(deleted)
    assert await store.put("/a", b"2", expect=0) == deleted + 1
    again = await store.get("/a")
    assert again is not None
    with pytest.raises(CompareFailed):
        await store.put("/a", b"3", expect=0)


async def test_compacting_the_future_is_refused(store: Store) -> None:
    with pytest.raises(FutureRevision):
        await store.compact(50)  # type: ignore[arg-type]


async def test_watch_gives_past_then_live_events_without_gap(store: Store) -> None:
    await store.put("/p/a", b"1")
    await store.put("/q/a", b"1")
    watch = store.watch("/p/", after=1)  # type: ignore[arg-type]
    assert [event.revision for event in await collect(watch, 3)] == [2]
    await store.put("/p/a", b"2")
    last = await store.delete("/p/a")
    events = await collect(watch, last)
    assert [(event.revision, event.current and event.current.value) for event in events] == [(4, b"2"), (5, None)]
    assert [event.previous and event.previous.value for event in events] == [b"1", b"2"]


async def test_watch_reports_progress_of_other_keys(store: Store) -> None:
    watch = store.watch("/p/", after=1)  # type: ignore[arg-type]
    last = await store.put("/other", b"1")
    assert await collect(watch, last) == []


async def test_a_consumer_far_behind_reads_the_log(store: Store) -> None:
    watch = store.watch("/p/", after=1)  # type: ignore[arg-type]
    revisions = [await store.put(f"/p/{n % 7}", b"x") for n in range(1500)]
    assert [event.revision for event in await collect(watch, revisions[-1])] == revisions


async def test_watch_from_before_compaction_is_refused(store: Store) -> None:
    for n in range(4):
        await store.put("/p/a", str(n).encode())
    await store.compact(4)  # type: ignore[arg-type]
    with pytest.raises(Compacted):
        await anext(aiter(store.watch("/p/", after=3)))  # type: ignore[arg-type]
    events = await collect(store.watch("/p/", after=4), 5)  # type: ignore[arg-type]
    assert [(event.revision, event.previous and event.previous.value) for event in events] == [(5, b"2")]


async def test_an_event_is_published_before_its_writer_is_told(store: Store) -> None:
    seen: list[int] = []

    async def follow() -> None:
        async for batch in store.watch("/", after=1):  # type: ignore[arg-type]
            seen.append(batch.revision)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        await asyncio.sleep(0)
        for n in range(5):
            revision = await store.put(f"/{n}", b"x")
            assert seen[-1] >= revision
        task.cancel()


async def test_a_cancelled_writer_does_not_undo_its_queued_write(store: Store) -> None:
    task = asyncio.create_task(store.put("/a", b"1"))
    await asyncio.sleep(0)
    task.cancel()
    await store.put("/b", b"1")
    assert (await store.get("/a")) is not None


async def test_an_expired_key_is_deleted_by_an_event(store: Store, clock: SteppedClock) -> None:
    await store.put("/e/a", b"1", ttl=60)
    await clock.advance(59)
    assert await store.get("/e/a") is not None
    watch = store.watch("/e/", after=2)  # type: ignore[arg-type]
    await clock.advance(2)
    events = await collect(watch, 3)
    assert [(event.key, event.current) for event in events] == [("/e/a", None)]
    assert await store.get("/e/a") is None


async def test_writing_again_renews_or_ends_a_lease(store: Store, clock: SteppedClock) -> None:
    await store.put("/e/renewed", b"1", ttl=10)
    await store.put("/e/kept", b"1", ttl=10)
    await clock.advance(5)
    await store.put("/e/renewed", b"2", ttl=10)
    await store.put("/e/kept", b"2")
    await clock.advance(7)
    await settle()
    assert [kv.key for kv in (await store.range("/e/")).kvs] == ["/e/kept", "/e/renewed"]
    await clock.advance(5)
    await collect(store.watch("/e/", after=5), 6)  # type: ignore[arg-type]
    assert [kv.key for kv in (await store.range("/e/")).kvs] == ["/e/kept"]


async def test_a_closed_store_refuses_and_its_watches_end(store: Store) -> None:
    watch = store.watch("/", after=1)  # type: ignore[arg-type]
    await store.put("/a", b"1")
    await store.close()
    assert [batch.revision async for batch in watch] == [2]
    with pytest.raises(StoreClosed):
        await store.put("/a", b"2")
    with pytest.raises(StoreClosed):
        await store.get("/a")


async def test_writes_queued_before_closing_are_done(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        writes = [group.create_task(store.put(f"/{n}", b"x")) for n in range(10)]
        await asyncio.sleep(0)
        await store.close()
    assert sorted(write.result() for write in writes) == list(range(2, 12))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_history_is_forgotten_one_interval_late(kind, tmp_path, clock: SteppedClock) -> None:
    store = await stores.open(kind, tmp_path / "data", clock=clock, compaction_interval=300)
    await store.put("/a", b"1")
    await store.put("/a", b"2")
    await settle()
    await clock.advance(301)  # compacts to the revision at the start: nothing that was written since
    await store.range("/", revision=2)  # type: ignore[arg-type]
    await store.put("/a", b"3")
    await clock.advance(300)
    async with asyncio.timeout(5):
        while True:
            try:
                await store.range("/", revision=2)  # type: ignore[arg-type]
            except Compacted:
                break
            await asyncio.sleep(0.001)
    assert (await store.range("/", revision=3)).kvs[0].value == b"2"  # type: ignore[arg-type]
    await store.close()
