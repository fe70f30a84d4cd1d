"""Remove what a cluster left outside its data directory."""

from __future__ import annotations

import contextlib
import shutil

from minikube_py.cluster.layout import Layout


def clean(layout: Layout) -> None:
    """Safe to repeat; nothing of a running cluster may be left when this is called."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(layout.run)
