"""What a start may not import: each of these costs more than the start can give (design: imports are a budget)."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: numpy, pyroute2, rich and typer by the design; the others are for commands, scrapes and bodies that come later
LATER = ("numpy", "pyroute2", "rich", "typer", "yaml", "click", "kubernetes", "prometheus_client", "multiprocessing", "grpc")

#: what the daemon has imported when its nodes are Ready
DAEMON = """
import asyncio, sys
import minikube_py.cluster.__main__, minikube_py.cluster.daemon, minikube_py.cluster.components, minikube_py.cluster.agents
import minikube_py.cluster.network, minikube_py.cluster.egress, minikube_py.controllers.controller_manager, minikube_py.scheduler.scheduler
import minikube_agents.kubelet.kubelet, minikube_agents.proxy.proxy, minikube_agents.runtime.process
from minikube_api.server.server import Config, Server

async def start():
    server = Server(Config(listeners=()))
    await server.start()
    await server.stop()

asyncio.run(start())
print(*{name.partition(".")[0] for name in sys.modules})
"""
#: what `minictl up` imports itself before the daemon is spawned
LAUNCHER = "import sys, minikube_py.cluster.launch; print(*{name.partition('.')[0] for name in sys.modules})"


def imported(program: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_daemon_starts_without_heavy_packages():
    assert imported(DAEMON) & set(LATER) == set()


@pytest.mark.parametrize("package", ["asyncio", "aiohttp", "msgspec", "minikube_api", "minikube_agents", "cryptography"])
def test_the_launcher_is_standard_library_only(package):
    assert package not in imported(LAUNCHER)


def test_a_shim_needs_nothing_but_the_standard_library():
    found = imported(
        "import sys, minikube_agents.shim.server, minikube_agents.shim.node; print(*{n.partition('.')[0] for n in sys.modules})"
    )
    foreign = found - set(sys.stdlib_module_names) - {"__main__", "minikube_agents", "_distutils_hack", "sitecustomize"}
    assert {name for name in foreign if not name.startswith("_")} == set()
