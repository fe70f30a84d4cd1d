"""Tests of this directory run whole clusters of real processes and break them; a cluster that only has to be there is shared by its module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster, home, running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and not getattr(item.module, "NEEDS_NO_RIGHTS", False):  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.root)
            item.add_marker(
                pytest.mark.skipif(os.geteuid() != 0, reason="breaks clusters as root: network namespaces on the host")
            )


@pytest.fixture
def clusters_home() -> Iterator[Path]:
    with home() as path:
        yield path


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes, all components; shared by a module, so a test leaves it as it found it."""
    with running() as made:
        yield made
