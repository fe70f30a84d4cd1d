"""Remove what a cluster left outside its data directory."""

from __future__ import annotations

import contextlib
from pathlib import Path

from minikube_agents.network import removing, starting
from minikube_agents.shim import journal
from minikube_py.cluster.layout import Layout


def clean(layout: Layout) -> list[str]:
    """Shims, links, namespaces, tables, cgroups, run directory: what could not be removed, in words. The daemon must have ended. Safe to repeat."""
    problems = journal.cleanup(starting.journal_path(str(layout.data)))
    for path in (layout.run, *(base / f"minikube-py-{layout.run.name}" for base in (layout.run.parent, Path("/dev/shm")))):
        with contextlib.suppress(FileNotFoundError):
            removing.remove_tree(str(path))
    return problems
