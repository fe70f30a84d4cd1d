"""One test a clause of the work queue's contract."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.client.queue import ExponentialBackoff, ShutDown, WorkQueue
from minikube_api.client.stepping import SteppedClock, settle


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def queue(clock: SteppedClock) -> WorkQueue[str]:
    return WorkQueue(clock)


async def test_items_come_in_the_order_they_were_added(queue):
    for item in "abc":
        queue.add(item)
    assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]


async def test_an_item_added_twice_is_given_once(queue):
    queue.add("a")
    queue.add("a")
    await queue.get()
    assert len(queue) == 0


async def test_an_item_in_work_is_not_given_to_a_second_worker(queue):
    queue.add("a")
    await queue.get()
    queue.add("a")
    second = asyncio.ensure_future(queue.get())
    await settle()
    assert not second.done()
    queue.done("a")
    assert await second == "a"


async def test_an_item_not_added_meanwhile_does_not_run_again(queue):
    queue.add("a")
    queue.done(await queue.get())
    assert len(queue) == 0


async def test_a_delayed_item_comes_when_its_time_has_come(queue, clock):
    queue.add_after("a", 5)
    getting = asyncio.ensure_future(queue.get())
    await clock.advance(4.9)
    assert not getting.done()
    await clock.advance(0.2)
    assert await getting == "a"


@pytest.mark.parametrize("delays", [pytest.param((5, 2), id="later first"), pytest.param((2, 5), id="earlier first")])
async def test_the_earliest_delay_wins_and_the_item_comes_once(queue, clock, delays):
    getting = asyncio.ensure_future(queue.get())
    await settle()
    for delay in delays:
        queue.add_after("a", delay)
    await clock.advance(2.1)
    queue.done(await getting)
    await clock.advance(10)
    assert len(queue) == 0 and queue.waiting == 0


async def test_every_waiting_worker_gets_a_delayed_item(queue, clock):
    getting = [asyncio.ensure_future(queue.get()) for _ in range(3)]
    await settle()
    for item, delay in (("a", 1), ("b", 1), ("c", 3)):
        queue.add_after(item, delay)
    await clock.advance(1.5)
    assert sorted(g.result() for g in getting if g.done()) == ["a", "b"]
    await clock.advance(2)
    assert sorted(g.result() for g in getting) == ["a", "b", "c"]


async def test_a_cancelled_timekeeper_hands_the_time_on(queue, clock):
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await settle()
    queue.add_after("a", 1)
    await settle()
    first.cancel()
    await clock.advance(2)
    assert await second == "a"


async def test_a_worker_cancelled_at_the_moment_of_an_add_loses_nothing(queue):
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await settle()
    queue.add("a")
    first.cancel()
    assert await second == "a"


async def test_shut_down_gives_what_waits_and_then_ends(queue):
    queue.add("a")
    queue.add_after("late", 1)
    queue.shut_down()
    queue.add("refused")
    assert await queue.get() == "a"
    with pytest.raises(ShutDown):
        await queue.get()


async def test_shut_down_ends_waiting_workers(queue):
    waiting = [asyncio.ensure_future(queue.get()) for _ in range(2)]
    await settle()
    queue.shut_down()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(r) for r in results] == [ShutDown, ShutDown]


async def test_drained_waits_for_the_item_in_work(queue):
    queue.add("a")
    item = await queue.get()
    queue.shut_down()
    draining = asyncio.ensure_future(queue.drained())
    await settle()
    assert not draining.done()
    queue.done(item)
    await asyncio.wait_for(draining, 1)


async def test_failures_double_the_delay_until_forgotten(queue, clock):
    backoff = ExponentialBackoff[str]()
    assert [backoff.next_delay("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    for _ in range(100):
        backoff.next_delay("a")
    assert backoff.next_delay("a") == 1000
    assert backoff.next_delay("b") == 0.005
    backoff.forget("a")
    assert backoff.next_delay("a") == 0.005


async def test_rate_limited_item_comes_after_its_back_off(queue, clock):
    queue.add_rate_limited("a")
    getting = asyncio.ensure_future(queue.get())
    await settle()
    assert not getting.done()
    await clock.advance(0.006)
    assert await getting == "a"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from((0, 1, 2, 3))), min_size=1, max_size=20))
def test_whatever_is_added_is_given_and_never_twice_at_once(steps):
    async def run() -> None:
        clock = SteppedClock()
        queue: WorkQueue[str] = WorkQueue(clock)
        in_work: set[str] = set()
        given_out: set[str] = set()

        async def work() -> None:
            while True:
                item = await queue.get()
                assert item not in in_work
                in_work.add(item)
                await clock.sleep(0.5)
                in_work.discard(item)
                given_out.add(item)
                queue.done(item)

        workers = [asyncio.ensure_future(work()) for _ in range(2)]
        for item, delay in steps:
            queue.add_after(item, delay)
        await clock.advance(60)
        assert given_out == {item for item, _ in steps}
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    asyncio.run(run())
