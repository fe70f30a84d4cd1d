"""Deleting a cluster's data: files that containers wrote under other ids of a normal user's namespace are not that user's to delete from outside."""

from __future__ import annotations

import os
import shutil

from minikube_agents.network import owning


def remove_tree(path: str) -> None:
    """Like rm -rf, with the help of a user namespace where the files need it. OSError when even that fails. What is not there is removed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError as error:
        if os.geteuid() == 0:
            raise
        problem = owning.inside(lambda: shutil.rmtree(path))
        if problem:
            raise PermissionError(error.errno, f"can't be removed ({problem})", path) from error
