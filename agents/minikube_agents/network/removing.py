"""Deleting a cluster's data: files that containers wrote under other ids of a normal user's namespace are not that user's to delete from outside."""

from __future__ import annotations

import os
import shutil

from minikube_agents.shim import userns


def remove_tree(path: str) -> None:
    """Like rm -rf, with the help of a user namespace where the files need it. OSError when even that fails. What is not there is removed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except PermissionError:
        if os.geteuid() == 0:
            raise
        _remove_inside(path)


def _remove_inside(path: str) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            userns.enter()
            os.execvp("rm", ["rm", "-rf", "--", path])
        finally:
            os._exit(1)
    os.waitpid(pid, 0)
    if os.path.exists(path):
        raise PermissionError(13, "can't be removed", path)
