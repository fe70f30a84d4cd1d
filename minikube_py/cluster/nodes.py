"""Nodes of an all-in-one cluster come and go: what ran on a node whose shim died is ended, the node made again, its agents started anew.

Its containers died with the shim; the new kubelet finds that out and the pods' restart policy does the rest.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

from minikube_py.cluster.components import Components, Ready
from minikube_py.cluster.network import Network

log = logging.getLogger(__name__)

T = TypeVar("T")


class Nodes:
    """Starts components as tasks of `group` and remembers which belong to which node."""

    def __init__(self, network: Network, components: Components, group: asyncio.TaskGroup) -> None:
        self._network, self._components, self._group = network, components, group
        #: (component, node) -> its tasks
        self._tasks: dict[tuple[str, str], list[asyncio.Task[Any]]] = {}

    async def start(self, component: str, node: str) -> Ready:
        return await self._components.start(
            component, node, _Recording(self._group, self._tasks.setdefault((component, node), []))
        )

    async def run(self) -> None:
        """Bring lost nodes back until cancelled. Raises NetworkError when the whole network is gone."""
        async for name in self._network.follow():
            log.warning("node %s is lost: its shim ended; making it again", name)
            # the DNS server has sockets on every node
            lost = [key for key in self._tasks if key[1] == name or key[0] == "dns"]
            tasks = [task for key in lost for task in self._tasks.pop(key)]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._network.restore(name)
            for component, node in lost:
                await self.start(component, node)


class _Recording(asyncio.TaskGroup):
    """The group, noting the tasks that one component makes in it."""

    def __init__(self, group: asyncio.TaskGroup, tasks: list[asyncio.Task[Any]]) -> None:
        self._group, self._made = group, tasks

    def create_task(
        self, coro: Generator[Any, None, T] | Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        task = self._group.create_task(coro, name=name, context=context)
        self._made.append(task)
        return task
