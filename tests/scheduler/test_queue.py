"""Who is tried when. Time is stepped by the test."""

from __future__ import annotations

import asyncio

import pytest
from scheduling_world import pod

from minikube_api.client.stepping import SteppedClock, settle
from minikube_py.scheduler.queue import Happening, SchedulingQueue, backoff
from minikube_py.scheduler.state import pod_info


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def queue(clock):
    return SchedulingQueue(clock)


async def popped(queue):
    """The next pod's name, None when none is ready now."""
    task = asyncio.ensure_future(queue.pop())
    await settle()
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait([task])
    return None


async def test_more_important_pods_come_first_then_older_ones(queue):
    for name, priority in (("a", 0), ("b", 10), ("c", 0)):
        queue.add(pod_info(pod(name, priority=priority)))
    assert [(await popped(queue)).pod.name for _ in range(3)] == ["b", "a", "c"]


async def test_a_refused_pod_waits_for_something_that_helps(queue, clock):
    queue.add(pod_info(pod("a")))
    waiting = await popped(queue)
    queue.refused(waiting, frozenset({"NodeResourcesFit"}))
    queue.happened(Happening.NAMESPACE_CHANGED)
    await clock.advance(20)
    assert await popped(queue) is None
    queue.happened(Happening.POD_GONE)
    assert (await popped(queue)).pod.name == "a"


async def test_its_back_off_counts_from_the_refusal(queue, clock):
    queue.add(pod_info(pod("a")))
    queue.refused(await popped(queue), frozenset({"NodeResourcesFit"}))
    queue.happened(Happening.POD_GONE)
    assert await popped(queue) is None
    await clock.advance(1.01)
    assert (await popped(queue)).pod.name == "a"


async def test_what_happens_while_a_pod_is_tried_is_not_missed(queue, clock):
    queue.add(pod_info(pod("a")))
    waiting = await popped(queue)
    queue.happened(Happening.NODE_ADDED)
    queue.refused(waiting, frozenset({"NodeResourcesFit"}))
    await clock.advance(1.01)
    assert (await popped(queue)).pod.name == "a"


async def test_nobody_is_forgotten_for_ever(queue, clock):
    queue.add(pod_info(pod("a")))
    queue.refused(await popped(queue), frozenset({"NodeAffinity"}))
    await clock.advance(301)
    assert (await popped(queue)).pod.name == "a"


async def test_a_deleted_pod_is_not_tried(queue):
    info = pod_info(pod("a"))
    queue.add(info)
    queue.remove(info.uid)
    assert await popped(queue) is None
    assert len(queue) == 0


def test_back_off_doubles_up_to_ten_seconds():
    assert [backoff(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
