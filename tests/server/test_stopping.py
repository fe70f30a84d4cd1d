from __future__ import annotations

import asyncio

import aiohttp
import pytest

from minikube_api.cache.feed import Feed
from minikube_api.server.server import Config, Listener, Server
from minikube_api.store.contract import StoreFailed
from tests.server.conftest import MAPS, Api, config_map


def config() -> Config:
    return Config(listeners=[Listener(port=0, tls=False)], bootstrap=False, admission=())


async def test_a_failed_store_stops_the_server_and_its_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    failing = asyncio.Event()

    async def run(self: Feed) -> None:
        await failing.wait()
        raise StoreFailed("no space left on device")

    monkeypatch.setattr(Feed, "run", run)
    server = Server(config())
    await server.start()
    failing.set()
    with pytest.raises(ExceptionGroup) as caught:
        await server.wait()
    assert caught.group_contains(StoreFailed)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"http://127.0.0.1:{server.ports[0]}/healthz")


async def test_a_write_that_the_store_refuses_is_a_500(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(config())
    await server.start()

    async def put(*_: object, **__: object) -> int:
        raise StoreFailed("no space left on device")

    monkeypatch.setattr(server.storage.store, "put", put)
    status, tree = await Api(server)("POST", MAPS, config_map("a"))
    assert (status, tree["reason"]) == (500, "InternalError")
    await server.stop()


async def test_what_was_answered_is_there_after_a_restart(tmp_path: object) -> None:
    kept = Config(listeners=(), bootstrap=False, admission=(), store="sqlite", data_dir=tmp_path)  # type: ignore[arg-type]
    server = Server(kept)
    await server.start()
    made = await Api(server).ok("POST", MAPS, config_map("a"))
    await server.stop()
    again = Server(kept)
    await again.start()
    assert await Api(again).ok("GET", f"{MAPS}/a") == made
    later = await Api(again).ok("POST", MAPS, config_map("b"))
    assert int(later["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])
    await again.stop()
