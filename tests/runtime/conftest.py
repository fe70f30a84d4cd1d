from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from minikube_agents.runtime.process import ProcessRuntime
from tests.runtime import nodes
from tests.runtime.nodes import Machine


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """Two nodes for all tests of the process runtime; each test leaves them empty."""
    with nodes.machine() as made:
        yield made


@pytest.fixture
async def runtime(machine: Machine) -> AsyncIterator[ProcessRuntime]:
    async for one in nodes.opened(machine):
        yield one
