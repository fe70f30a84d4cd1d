"""One server with Kubernetes' default admission for all examples of a module: what earlier examples left is part of the game."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from minikube_api.client.transport import Transport
from minikube_api.server.context import UserInfo
from minikube_api.server.server import Config, Listener, Server

T = TypeVar("T")
ADMIN = UserInfo("admin", "uid-admin", ("system:masters",))


class World:
    def __init__(self, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self.loop, self.server = loop, server
        self.transport: Transport = server.transport(ADMIN, "fuzz/1.0")
        self.resources = sorted(server.registry, key=lambda r: (r.group, r.version, r.plural))

    def run(self, work: Awaitable[T]) -> T:
        return self.loop.run_until_complete(work)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory: Path = tmp_path_factory.mktemp("fuzz")
    (directory / "tokens").write_text('adm,admin,uid-admin,"system:masters"\n')
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        listener = Listener(port=0, tls=False)
        server = Server(Config(listeners=[listener], token_file=directory / "tokens", rng=random.Random(1)))
        loop.run_until_complete(server.start())
        yield World(loop, server)
        loop.run_until_complete(server.stop())
