"""Starting the cluster's shim: a spawn with a socket that listens already, so that nobody waits for it to come up.

Imports little: the cluster calls this before its own heavy imports, and the shim starts beside them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from minikube_agents.shim import switch


def spawn(config: dict[str, Any], *, python: str = sys.executable, log_path: str = "", keep: Sequence[int] = ()) -> int:
    """Start it, detached from this process (own session, survives it); its pid. `config` as in switch.SwitchServer; `keep`: descriptors that it
    holds for as long as it lives (locks).

    The socket is `shim.sock` in `config["directory"]`; an early failure shows as an error on the first call, and in the log.
    """
    directory = config["directory"]
    os.makedirs(directory, mode=0o700, exist_ok=True)
    listener = switch.listen(os.path.join(directory, "shim.sock"))
    os.set_inheritable(listener.fileno(), True)
    program = os.path.dirname(os.path.abspath(__file__))
    arguments = json.dumps({**config, "listener": listener.fileno()})
    with open(log_path or os.path.join(directory, "shim.log"), "ab") as log:
        process = subprocess.Popen(
            [python, "-S", "-E", "-I", program, arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno(), *keep],
            start_new_session=True,
            cwd="/",
        )
    listener.close()
    process.returncode = 0  # it outlives us on purpose: no ResourceWarning, no wait
    return process.pid


def connect(path: str) -> socket.socket:
    """A connection to a shim's socket, whatever the length of its path. OSError when nobody listens."""
    directory, name = os.path.split(path)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(f"/proc/self/fd/{fd}/{name}")
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(fd)
    return sock
