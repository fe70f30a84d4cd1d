"""The rendered rules in a network namespace of the test's own: nft takes them, and connections go where they should."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import uuid

import pytest

from minikube_agents.proxy import nft
from minikube_agents.proxy.backends import BackendError, NftBackend
from minikube_agents.proxy.rules import PortRules, Target

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("nft") or not shutil.which("ip"), reason="needs root, nft and ip"),
]

WEB = PortRules(
    service="shop/web",
    port_name="http",
    protocol="tcp",
    port=80,
    cluster_ips=("10.96.0.9",),
    node_port=30080,
    internal=(Target("10.244.0.2", 8001), Target("10.244.0.3", 8002)),
    external=(Target("10.244.0.2", 8001),),
)

CLIENT = """
import socket, sys
seen = set()
for _ in range(int(sys.argv[3])):
    try:
        s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)
        seen.add(s.recv(99).decode()); s.close()
    except OSError as e:
        seen.add(type(e).__name__)
print(",".join(sorted(seen)))
"""
SERVER = """
import socket, sys, threading
def serve(ip, port):
    s = socket.create_server((ip, port)); sys.stdout.write("up;"); sys.stdout.flush()
    while True:
        c, _ = s.accept(); c.sendall(ip.encode()); c.close()
for a in sys.argv[1:]:
    ip, port = a.split(":"); threading.Thread(target=serve, args=(ip, int(port))).start()
"""


@pytest.fixture
def namespace():
    """A namespace with two `pod` addresses on a bridge, a web server on each, and a default route."""
    name = f"mkpy-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ["ip", "netns", "exec", name]
    for command in (
        "link set lo up",
        "link add pods type bridge",
        "link set pods up",
        "addr add 10.244.0.1/24 dev pods",
        "addr add 10.244.0.2/32 dev pods",
        "addr add 10.244.0.3/32 dev pods",
        "route add default dev pods",
    ):
        subprocess.run([*inside, "ip", *command.split()], check=True)
    server = subprocess.Popen(
        [*inside, "python3", "-c", SERVER, "10.244.0.2:8001", "10.244.0.3:8002"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    assert server.stdout.read(6) == "up;up;"
    yield inside
    server.kill()
    server.wait()
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
async def backend(namespace):
    async def run(argv, stdin):
        done = subprocess.run([*namespace, *argv], input=stdin, capture_output=True)
        return done.returncode, done.stdout, done.stderr

    backend = NftBackend(run, table="kube-proxy", pod_cidr="10.244.0.0/16")
    await backend.start()
    return backend


def connect(namespace, ip, port, times=1):
    command = [*namespace, "python3", "-c", CLIENT, ip, str(port), str(times)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


async def test_a_cluster_ip_leads_to_every_endpoint_and_a_node_port_to_the_external_ones(namespace, backend):
    await backend.apply({WEB.key: WEB})
    assert connect(namespace, "10.96.0.9", 80, 40) == "10.244.0.2,10.244.0.3"
    assert connect(namespace, "10.244.0.1", 30080, 10) == "10.244.0.2"


async def test_without_endpoints_the_connection_is_refused_and_comes_back_with_them(namespace, backend):
    await backend.apply({WEB.key: dataclasses.replace(WEB, internal=(), external=())})
    assert connect(namespace, "10.96.0.9", 80) == "ConnectionRefusedError"
    await backend.apply({WEB.key: WEB})
    assert connect(namespace, "10.96.0.9", 80, 20) == "10.244.0.2,10.244.0.3"


async def test_client_ip_affinity_keeps_a_client_on_one_endpoint(namespace, backend):
    await backend.apply({WEB.key: dataclasses.replace(WEB, affinity_seconds=60)})
    assert connect(namespace, "10.96.0.9", 80, 20) in ("10.244.0.2", "10.244.0.3")


async def test_changes_and_removals_leave_nothing_of_the_old_behind(namespace, backend):
    await backend.apply({WEB.key: dataclasses.replace(WEB, affinity_seconds=60)})
    moved = dataclasses.replace(WEB, port=81, internal=(Target("10.244.0.3", 8002),), node_port=30081, affinity_seconds=0)
    await backend.apply({WEB.key: moved})
    assert connect(namespace, "10.96.0.9", 81, 5) == "10.244.0.3"
    await backend.apply({WEB.key: None})
    listed = subprocess.run([*namespace, "nft", "list", "table", "ip", "kube-proxy"], capture_output=True, text=True).stdout
    assert "10.96.0.9" not in listed
    assert "ep-" not in listed
    assert "aff-" not in listed


async def test_a_refused_transaction_changes_nothing_and_is_reported(namespace, backend):
    await backend.apply({WEB.key: WEB})
    bad = dataclasses.replace(WEB, service="shop/bad", protocol="nonsense", cluster_ips=("10.96.0.10",))
    with pytest.raises(BackendError, match="nft"):
        await backend.apply({bad.key: bad, WEB.key: None})
    assert connect(namespace, "10.96.0.9", 80, 5)


def test_equal_rules_give_no_commands():
    rendered = nft.render(WEB)
    assert nft.changes("t", [(rendered, nft.render(dataclasses.replace(WEB)))]) == ""
