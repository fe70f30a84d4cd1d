"""Files of other ids: a normal user's process may not give them away from outside its user namespace, but a child inside such a namespace may.

A namespace made anew with the same subordinate ids maps the same numbers to the same owners, so the child needs no way to the shim's.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from minikube_agents.shim import userns


def inside(action: Callable[[], None]) -> str:
    """Run `action` in a child, as root of a user namespace; "" or what went wrong. Some 10 ms; may run in a thread."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        problem = ""
        try:
            userns.enter()
            action()
        except BaseException as error:  # the child must tell and must not return
            problem = str(error) or type(error).__name__
        os.write(writer, problem.encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        problem = file.read().decode()
    os.waitpid(pid, 0)
    return problem


def chown(path: str | os.PathLike[str], uid: int, gid: int) -> None:
    """As os.chown, ids being those of containers (-1 = leave). PermissionError says what this account lacks. Set the mode before: the file may be
    another's afterwards."""
    try:
        os.chown(path, uid, gid)
    except PermissionError as error:
        if os.geteuid() == 0:
            raise
        problem = inside(lambda: os.chown(path, uid, gid))
        if problem:
            words = f"can't belong to user {uid}, group {gid} here ({problem}): for other ids than 0 install uidmap, with ids in /etc/subuid"
            raise PermissionError(error.errno, words, os.fspath(path)) from error
