from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.server.fairness import levels
from minikube_api.server.fairness.levels import Level, Rejected, deal
from minikube_api.server.fairness.work import Work, listed, written


def level(limit: int, *, queues: int = 0, hand: int = 1, longest: int = 10) -> Level:
    made = Level("l")
    made.configure("uid", exempt=False, queues=queues, hand=hand, longest=longest)
    made.set_limit(limit)
    return made


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_without_queues_a_full_level_rejects_at_once() -> None:
    one = level(1)
    await one.take("a")
    with pytest.raises(Rejected, match="concurrency-limit"):
        await one.take("a")
    one.release()
    await one.take("a")


async def test_waiting_requests_get_the_seats_that_become_free() -> None:
    one = level(1, queues=4)
    await one.take("a")
    waiting = asyncio.create_task(one.take("a"))
    await settle()
    assert (waiting.done(), one.waiting) == (False, 1)
    one.release()
    await settle()
    assert (waiting.done(), one.waiting, one.executing) == (True, 0, 1)


async def test_a_full_queue_rejects() -> None:
    one = level(1, queues=1, longest=1)
    await one.take("a")
    waiting = asyncio.create_task(one.take("a"))
    await settle()
    with pytest.raises(Rejected, match="queue-full"):
        await one.take("a")
    waiting.cancel()
    await settle()
    assert one.waiting == 0


async def test_a_flow_with_few_requests_does_not_wait_behind_one_with_many() -> None:
    one = level(1, queues=64, hand=1)
    greedy = "greedy"
    modest = next(f"m{i}" for i in range(100) if deal(f"m{i}", 64, 1) != deal(greedy, 64, 1))
    await one.take(greedy)
    order: list[str] = []

    async def ask(flow: str) -> None:
        await one.take(flow)
        order.append(flow)
        one.release()

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(ask(greedy))
        await settle()
        group.create_task(ask(modest))
        await settle()
        one.release()
    assert order.index(modest) <= 1
    assert one.executing == 0


async def test_whoever_waits_too_long_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "WAIT", 0.0)
    one = level(1, queues=1)
    await one.take("a")
    with pytest.raises(Rejected, match="time-out"):
        await one.take("a")
    assert (one.waiting, one.executing) == (0, 1)


async def test_a_raised_limit_lets_waiting_requests_in() -> None:
    one = level(0, queues=1)
    waiting = asyncio.create_task(one.take("a"))
    await settle()
    assert not waiting.done()
    one.set_limit(1)
    await waiting


@given(st.text(), st.integers(1, 64), st.integers(1, 8))
def test_a_hand_is_of_different_cards_of_the_deck(flow: str, deck: int, hand: int) -> None:
    dealt = deal(flow, deck, hand)
    assert len(dealt) == len(set(dealt)) == min(hand, deck)
    assert all(0 <= card < deck for card in dealt)
    assert dealt == deal(flow, deck, hand)


async def test_a_wide_request_takes_several_seats_and_waits_until_they_are_there() -> None:
    one = level(3, queues=1)
    await one.take("a")
    wide = asyncio.create_task(one.take("b", Work(3)))
    narrow = asyncio.create_task(one.take("c"))
    await settle()
    # whoever came later does not slip in front for ever
    assert (wide.done(), narrow.done(), one.seats) == (False, False, 1)
    one.release()
    await settle()
    assert (wide.done(), narrow.done(), one.seats) == (True, False, 3)
    one.release(Work(3), wide.result())
    await narrow
    assert (one.executing, one.seats) == (1, 1)


async def test_a_request_wider_than_the_level_comes_in_alone() -> None:
    one = level(2, queues=1)
    assert one.try_take(Work(5))
    assert not one.try_take()
    one.release(Work(5))
    assert one.try_take()


async def test_seats_are_held_while_watchers_are_told() -> None:
    one = level(2)
    work = Work(2, 0.001)
    assert one.try_take(work)
    one.release(work)
    assert (one.executing, one.seats) == (0, 2)
    async with asyncio.timeout(5):
        while one.seats:
            await asyncio.sleep(0)


async def test_an_exempt_level_is_counted_but_never_full() -> None:
    one = Level("exempt")
    one.configure("uid", exempt=True)
    assert all(one.try_take() for _ in range(5))
    assert (one.executing, one.end_period().peak) == (5, 5)


@pytest.mark.parametrize(
    ("objects", "limit", "named", "seats"),
    [
        pytest.param(0, "", False, 1, id="nothing"),
        pytest.param(250, "", False, 3, id="all"),
        pytest.param(250, "50", False, 1, id="a-page"),
        pytest.param(100_000, "", False, 10, id="no-more-than-ten"),
        pytest.param(100_000, "", True, 1, id="one-by-name"),
    ],
)
def test_a_list_is_as_wide_as_what_it_goes_through(objects: int, limit: str, named: bool, seats: int) -> None:
    assert listed(objects, limit, named=named).seats == seats


def test_a_write_is_as_wide_as_its_watchers() -> None:
    assert written(9) == Work()
    assert written(25) == Work(3, 0.005)
    assert written(1000) == Work(10, 0.05)
