"""`python -S -E -I .../shim CONFIG`: the cluster's shim. CONFIG is JSON (see switch.SwitchServer); descriptor `listener` is its bound socket.

Started by `launch.spawn`, before anything heavy. It imports nothing but the standard library's light parts, and this package
through the path of this file.
"""

from __future__ import annotations

import gc
import json
import os
import sys

sys.path[0] = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def main() -> None:
    import resource
    import socket

    from minikube_agents.shim import libc, node, switch  # noqa: F401 - node: here, so that forked nodes have it

    config = json.loads(sys.argv[1])
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and os.path.exists(f"/proc/self/fd/{name}"):
            os.set_inheritable(int(name), False)  # the socket and the locks came through an exec; they go no further
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    libc.prctl(libc.PR_SET_NAME, _address(b"minikube-shim\0"))
    os.chdir("/")
    os.umask(0o022)
    server = switch.SwitchServer(socket.socket(fileno=config["listener"]), config)
    gc.freeze()
    server.run()


def _address(text: bytes) -> int:
    import ctypes

    holder = ctypes.create_string_buffer(text)
    _kept.append(holder)
    return ctypes.addressof(holder)


_kept: list[object] = []

if __name__ == "__main__":
    main()
