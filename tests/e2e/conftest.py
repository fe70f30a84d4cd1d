"""One cluster for all end-to-end tests of a run (and one with `--separate` for those that ask), a namespace a test."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.e2e import clusters, definitions
from tests.e2e.clusters import Cluster, Program

OPTIONS = {"all-in-one": (), "separate": ("--separate",)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.e2e)
            item.add_marker(pytest.mark.root)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root: pods are processes in network namespaces of the host"))


def _end_on_sigterm(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt("SIGTERM")


@pytest.fixture(scope="session")
def running_clusters() -> Iterator[Callable[[str], Cluster]]:
    """Starts each kind of cluster at its first use; the end of the session (also by Ctrl-C or SIGTERM) takes them down."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _end_on_sigterm)
    found: dict[str, Cluster] = {}
    failed: dict[str, Exception] = {}
    with contextlib.ExitStack() as stack:

        def cluster(way: str) -> Cluster:
            if way in failed:
                pytest.fail(f"the cluster did not start at its first use: {failed[way]}")
            if way not in found:
                try:
                    found[way] = stack.enter_context(clusters.started(f"e2e-{way[0]}", *OPTIONS[way]))
                except Exception as error:
                    failed[way] = error
                    raise
            return found[way]

        yield cluster


@pytest.fixture
def cluster(request: pytest.FixtureRequest, running_clusters: Callable[[str], Cluster]) -> Cluster:
    """The shared cluster: everything in one process unless the test is marked `both_ways`."""
    return running_clusters(getattr(request, "param", "all-in-one"))


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own with its service account; deleted at the end, without waiting."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", name, "--timeout=20s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Program:
    """kubectl 1.37 within the test's namespace."""
    return cluster.kubectl.within(namespace)


@pytest.fixture
def helm(cluster: Cluster, namespace: str) -> Program:
    return cluster.helm.within(namespace)


@pytest.fixture
def gadgets(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The group of an established CustomResourceDefinition of Gadgets, applied by kubectl; the definition goes with the test."""
    group = f"{namespace}.example.test"
    cluster.kubectl.apply(definitions.gadgets(group))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/gadgets.{group}", "--timeout=20s")
    yield group
    cluster.kubectl("delete", "crd", f"gadgets.{group}", "--wait=false")
