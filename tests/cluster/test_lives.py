"""A component of the all-in-one cluster that fails is started anew, alone, with back-off; everything else goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from minikube_api.client.stepping import SteppedClock, settle
from minikube_py.cluster.lives import LAST_DELAY, STEADY, Lives, next_delay
from minikube_py.cluster.reporting import StateFile


@dataclass
class World:
    lives: Lives
    clock: SteppedClock
    path: Path
    #: name -> the failure its present life waits for
    wounds: dict[str, asyncio.Future[None]] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    async def start(self, component: str, node: str, group: asyncio.TaskGroup):
        name = f"{component} {node}".strip()
        self.begun.append(name)
        wound = self.wounds[name] = asyncio.get_running_loop().create_future()

        async def main() -> None:
            try:
                await wound
            finally:
                self.ended.append(f"{name} main")

        async def beside() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self.ended.append(f"{name} beside")

        group.create_task(main())
        group.create_task(beside())

        async def ready() -> None:
            if component == "never-ready":
                await asyncio.get_running_loop().create_future()

        return ready

    async def fail(self, name: str, error: Exception) -> None:
        self.wounds[name].set_exception(error)
        await settle()

    def restarts(self) -> dict[str, dict[str, object]]:
        return json.loads(self.path.read_text())["restarts"]


@contextlib.asynccontextmanager
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock, state = SteppedClock(), StateFile(tmp_path / "state.json")
    state.publish({"ready": True})
    async with asyncio.TaskGroup() as group:
        made: World

        async def start(component: str, node: str, life: asyncio.TaskGroup):
            return await made.start(component, node, life)

        made = World(Lives(start, group, state, clock=clock), clock, tmp_path / "state.json")
        yield made
        await made.lives.pause(made.lives.units)


async def test_a_failed_component_comes_back_alone_after_a_second(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with world(tmp_path) as w:
        for component, node in (("scheduler", ""), ("kubelet", "n1"), ("kubelet", "n2")):
            await (await w.lives.begin(component, node))()
        with caplog.at_level(logging.ERROR):
            await w.fail("kubelet n1", ValueError("a bug\nof two lines"))
        # all of its tasks ended, and none of anybody else
        assert sorted(w.ended) == ["kubelet n1 beside", "kubelet n1 main"]
        assert "kubelet n1 failed; again in 1 s" in caplog.text
        assert "Traceback" in caplog.text and "a bug" in caplog.text
        assert w.restarts() == {"kubelet n1": {"times": 1, "last": "ValueError: a bug of two lines"}}
        await w.clock.advance(0.99)
        assert w.begun == ["scheduler", "kubelet n1", "kubelet n2"]
        await w.clock.advance(0.01)
        assert w.begun[3:] == ["kubelet n1"]


async def test_the_pause_grows_until_a_life_was_steady(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await (await w.lives.begin("scheduler", ""))()
        pauses = []
        for _ in range(3):
            await w.fail("scheduler", RuntimeError("again"))
            began = w.clock.time()
            lives = len(w.begun)
            while len(w.begun) == lives:
                await w.clock.advance(0.5)
            pauses.append(w.clock.time() - began)
        assert pauses == [1.0, 2.0, 4.0]
        assert w.restarts()["scheduler"]["times"] == 3


@pytest.mark.parametrize(
    ("before", "lived", "delay"),
    [
        pytest.param(0.0, 0.1, 1.0, id="first"),
        pytest.param(4.0, 0.1, 8.0, id="doubles"),
        pytest.param(20.0, 0.1, LAST_DELAY, id="to-a-limit"),
        pytest.param(30.0, STEADY + 1, 1.0, id="forgotten-after-a-steady-life"),
    ],
)
def test_delay(before: float, lived: float, delay: float) -> None:
    assert next_delay(before, lived) == delay


async def test_a_component_whose_tasks_return_is_started_anew_too(tmp_path: Path) -> None:
    async with world(tmp_path) as w:

        async def start(component: str, node: str, group: asyncio.TaskGroup):
            w.begun.append(component)
            return lambda: asyncio.sleep(0)

        w.start = start  # type: ignore[method-assign]
        await (await w.lives.begin("dns", ""))()
        await settle()
        assert w.restarts()["dns"]["last"] == "Ended: dns ended by itself"
        await w.clock.advance(1.0)
        assert w.begun == ["dns", "dns"]


async def test_what_fails_before_it_was_ready_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with world(tmp_path) as w:
            await w.lives.begin("never-ready", "")
            await w.fail("never-ready", ValueError("no port"))
    assert caught.group_contains(ValueError, match="no port")


async def test_paused_units_run_nothing_until_they_are_resumed(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        await (await w.lives.begin("kubelet", "n1"))()
        await w.lives.pause(w.lives.units)
        assert len(w.ended) == 2
        await w.clock.advance(100)
        assert w.begun == ["kubelet n1"]
        w.lives.resume(w.lives.units)
        await settle()
        assert w.begun == ["kubelet n1", "kubelet n1"]
        assert w.restarts() == {}
