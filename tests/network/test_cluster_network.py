"""Nodes on one network: they talk, are unplugged, die and come back, and leave nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess

import pytest

from minikube_agents.network import cluster, ranges, starting
from minikube_agents.runtime.contract import PortMapping
from minikube_agents.runtime.process import ProcessRuntime
from tests.runtime import nodes
from tests.runtime.nodes import Machine, finished, output, pod, run, shell

pytestmark = nodes.needs_namespaces

SERVE = "exec python3 -c \"import socket; s=socket.create_server(('0.0.0.0', 8080))\nwhile 1:\n c,a=s.accept(); c.sendall(a[0].encode()); c.close()\""


async def served(network: cluster.ClusterNetwork, host: str, port: int, node: str = "") -> str:
    """What a server says, asked from the cluster's or a node's namespace; retried while it comes up."""
    for _ in range(200):
        try:
            sock = await network.open_socket("connect", host, port, node=node)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
            continue
        with sock:
            return (await asyncio.get_running_loop().sock_recv(sock, 100)).decode()
    raise AssertionError(f"nobody serves {host}:{port}")


async def test_pods_of_two_nodes_talk_over_pod_addresses() -> None:
    async with nodes.booted() as machine:
        one, two = machine.runtime("n1"), machine.runtime("n2")
        await one.start()
        await two.start()
        server = await one.run_sandbox(pod(machine))
        await run(one, server, shell(SERVE))
        client = await two.run_sandbox(pod(machine))
        ((target,), (source,)) = (await one.sandbox_status(server)).ips, (await two.sandbox_status(client)).ips
        network = await cluster.ClusterNetwork.connect(machine.directory)
        assert await served(network, target, 8080) == network.gateway
        assert await served(network, target, 8080, node="n2") == machine.nodes["n2"].ip
        with await two.connect(client, 8080, target) as sock:
            assert (await asyncio.get_running_loop().sock_recv(sock, 100)).decode() == source
        await _unplugged(network, machine, target)
        network.close()
        await one.close()
        await two.close()


async def _unplugged(network: cluster.ClusterNetwork, machine: Machine, target: str) -> None:
    await network.unplug("n1")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await network.open_socket("connect", target, 8080, node="n2")
    await network.plug("n1")
    assert await served(network, target, 8080, node="n2") == machine.nodes["n2"].ip


async def test_a_host_port_leads_to_the_pod() -> None:
    async with nodes.booted() as machine:
        runtime = machine.runtime("n1")
        await runtime.start()
        config = pod(machine, port_mappings=(PortMapping(container_port=8080, host_port=80),))
        sandbox = await runtime.run_sandbox(config)
        await run(runtime, sandbox, shell(SERVE))
        network = await cluster.ClusterNetwork.connect(machine.directory)
        assert await served(network, machine.nodes["n1"].ip, 80) == network.gateway
        await runtime.stop_sandbox(sandbox)
        with pytest.raises(ConnectionRefusedError):
            await network.open_socket("connect", machine.nodes["n1"].ip, 80)
        network.close()
        await runtime.close()


async def test_a_node_whose_shim_died_comes_back_and_tells_of_its_containers() -> None:
    async with nodes.booted() as machine:
        runtime = machine.runtime("n1")
        await runtime.start()
        sandbox = await runtime.run_sandbox(pod(machine))
        container = await run(runtime, sandbox, shell("sleep 60", labels={"a": "b"}))
        pid = (await runtime.container_status(container)).pid
        network = await cluster.ClusterNetwork.connect(machine.directory)
        stopped = asyncio.ensure_future(_first_stopped(runtime))
        lost = network.changes()
        told = asyncio.ensure_future(anext(lost))
        await asyncio.sleep(0)
        await network.nodes()
        os.kill(machine.nodes["n1"].shim_pid, 9)
        assert await told == cluster.Change("n1", "lost")
        again = await network.add_node("n1", 1)
        assert again.shim_path == machine.nodes["n1"].shim_path
        assert await stopped == sandbox
        status = await finished(runtime, container)
        assert (status.exit_code, status.labels) == (137, {"a": "b"})
        assert "shim ended" in status.message
        for _ in range(400):
            if not os.path.exists(f"/proc/{pid}"):
                break
            await asyncio.sleep(0.005)
        assert not os.path.exists(f"/proc/{pid}")
        assert (await runtime.sandboxes())[0].state == "notready"
        assert await output(runtime, await runtime.run_sandbox(pod(machine)), "echo $$") == "1\n"
        network.close()
        await runtime.close()


async def _first_stopped(runtime: ProcessRuntime) -> str:
    """The sandbox that the event stream, which outlives the shim, tells of as stopped."""
    async for event in runtime.events():
        if event.type == "sandbox-stopped":
            return event.sandbox_id
    raise AssertionError("the events ended")


@pytest.mark.parametrize("how", ["down", "killed"])
async def test_nothing_is_left(how: str) -> None:
    async with nodes.booted() as machine:
        runtime = machine.runtime("n1")
        await runtime.start()
        container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("sleep 63"))
        pid = (await runtime.container_status(container)).pid
        network = await cluster.ClusterNetwork.connect(machine.directory)
        shims = [network.shim_pid, *(node.shim_pid for node in machine.nodes.values())]
        name = network.started.name
        if how == "down":
            assert await network.destroy() == []
        else:
            os.kill(network.shim_pid, 9)
            network.close()
            assert cluster.cleanup(machine.directory) == []
        assert not [pid for pid in (pid, *shims) if os.path.exists(f"/proc/{pid}/exe") and _is_running(pid)]
        assert not os.path.exists(starting.journal_path(machine.directory))
        assert starting.find(machine.directory) is None
        found = subprocess.run(
            ["find", "/sys/fs/cgroup", "-path", f"*minikube-py/{name}*"], capture_output=True, text=True, check=False
        )
        assert found.stdout == ""
        await runtime.close()


def _is_running(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="links in the machine's network need root")
async def test_host_mode_reaches_pods_from_the_machine_and_two_clusters_stand_side_by_side() -> None:
    async with nodes.booted("host") as first, nodes.booted("host") as second:
        one, two = starting.find(first.directory), starting.find(second.directory)
        assert one and two
        assert not {one.node_cidr, one.pod_cidr, one.service_cidr, one.link} & {
            two.node_cidr,
            two.pod_cidr,
            two.service_cidr,
            two.link,
        }
        for machine in (first, second):
            runtime = machine.runtime()
            await runtime.start()
            sandbox = await runtime.run_sandbox(pod(machine))
            await run(runtime, sandbox, shell(SERVE))
            ((address,), gateway) = (await runtime.sandbox_status(sandbox)).ips, starting.find(machine.directory)
            assert gateway
            assert await asyncio.to_thread(_ask, address) == gateway.gateway
            await runtime.close()
    links = [name for _index, name in socket.if_nameindex()]
    assert one.link not in links
    assert two.link not in links


def _ask(address: str) -> str:
    for _ in range(200):
        try:
            with socket.create_connection((address, 8080), timeout=2) as sock:
                return sock.recv(100).decode()
        except ConnectionRefusedError:
            import time

            time.sleep(0.01)
    raise AssertionError("nobody serves")


def test_a_set_of_ranges_is_skipped_when_it_collides_or_is_locked(tmp_path: object) -> None:
    directory = str(tmp_path)
    routes = ["0.0.0.0/0", "10.244.0.0/24", "192.168.50.0/24"]
    chosen, fd = ranges.take(routes, directory=directory)
    following, other = ranges.take(routes, directory=directory)
    assert (chosen.number, following.number) == (2, 3)
    os.close(fd)
    again, third = ranges.take(routes, directory=directory)
    assert again == chosen
    os.close(other)
    os.close(third)


def test_ranges_that_the_user_fixed_are_never_changed(tmp_path: object) -> None:
    with pytest.raises(ranges.NoFreeRange, match=r"10\.9\.0\.0/16 overlaps"):
        ranges.take(["10.9.8.0/24"], pods="10.9.0.0/16", directory=str(tmp_path))
