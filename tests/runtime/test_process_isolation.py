"""The namespaces, mounts and cgroups of pods, read from inside."""

from __future__ import annotations

import os

from minikube_agents.runtime.contract import SecurityContext
from minikube_agents.runtime.process import ProcessRuntime
from tests.runtime import nodes
from tests.runtime.nodes import Machine, output, pod

pytestmark = nodes.needs_namespaces


SPACES = "for ns in net ipc uts pid mnt cgroup; do readlink /proc/self/ns/$ns; done"


async def test_a_pod_has_namespaces_of_its_own(machine: Machine, runtime: ProcessRuntime) -> None:
    inside = (await output(runtime, await runtime.run_sandbox(pod(machine)), SPACES)).split()
    node = [
        os.readlink(f"/proc/{machine.nodes['n1'].shim_pid}/ns/{name}") for name in ("net", "ipc", "uts", "pid", "mnt", "cgroup")
    ]
    assert len(inside) == 6
    assert set(inside).isdisjoint(node)


async def test_containers_of_a_pod_share_net_ipc_uts_and_nothing_else(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    first = (await output(runtime, sandbox, SPACES + "; sleep 0.01", name="a")).split()
    # the first must live while the second looks, or the kernel may give its inode numbers again
    one = await nodes.run(runtime, sandbox, nodes.shell(f"{SPACES}; sleep 30", name="x"))
    second = (await output(runtime, sandbox, SPACES, name="b")).split()
    status = await runtime.container_status(one)
    living = nodes.log_text(status).split()
    assert first[:3] == second[:3] == living[:3]
    assert set(living[3:]).isdisjoint(second[3:])


async def test_shared_process_namespace_has_one_pid_namespace(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine, share_process_namespace=True))
    one = await nodes.run(runtime, sandbox, nodes.shell("sleep 31", name="x"))
    seen = await output(runtime, sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; cat /proc/1/comm", name="y")
    assert "sleep 31" in seen
    await runtime.stop_container(one, 0)


async def test_the_entry_point_is_pid_1(machine: Machine, runtime: ProcessRuntime) -> None:
    assert await output(runtime, await runtime.run_sandbox(pod(machine)), "echo $$") == "1\n"


async def test_hostname_mounts_and_address_are_the_pods(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine, hostname="web-0"))
    text = await output(
        runtime, sandbox, "hostname; cat /etc/hostname; wc -l < /proc/self/mountinfo; ls /tmp | wc -l; cat /etc/hosts"
    )
    hostname, file, mounts, entries, *hosts = text.splitlines()
    assert (hostname, file, entries) == ("web-0", "web-0", "0")
    with open("/proc/self/mountinfo", encoding="utf-8") as own:
        assert int(mounts) != len(own.readlines())
    (address,) = (await runtime.sandbox_status(sandbox)).ips
    assert any(line.split() == [address, "web-0"] for line in hosts)


async def test_what_a_container_writes_stays_in_it(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    await output(runtime, sandbox, "echo mine > /etc/minikube-py-test && cat /etc/minikube-py-test && touch /var/here /opt/here")
    assert not os.path.exists("/etc/minikube-py-test")
    assert await output(runtime, sandbox, "ls /etc/minikube-py-test 2>/dev/null || echo none", name="other") == "none\n"


async def test_the_clusters_data_is_hidden_from_pods(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    assert await output(runtime, sandbox, f"ls -A {machine.directory} 2>/dev/null | wc -l") == "0\n"


async def test_devices_and_kernel_files_are_the_containers(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    script = "echo x > /dev/null; test -c /dev/urandom && test -d /dev/shm && test -e /dev/ptmx && echo y > /dev/shm/f && echo ok"
    assert await output(runtime, sandbox, script) == "ok\n"
    assert await output(runtime, sandbox, "cat /dev/shm/f", name="b") == "y\n"  # one /dev/shm a pod
    refused = await output(
        runtime, sandbox, "(echo 1 > /proc/sys/kernel/panic) 2>&1 || true; (echo > /sys/x) 2>&1 || true", name="c"
    )
    assert refused.count("Read-only file system") + refused.count("Permission denied") == 2


async def test_read_only_root(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    context = SecurityContext(read_only_root_filesystem=True)
    text = await output(runtime, sandbox, "(touch /etc/x /opt/y) 2>&1 || true; touch /dev/shm/z && echo ok", security=context)
    assert text.count("Read-only file system") == 2
    assert text.endswith("ok\n")


async def test_a_host_network_pod_is_on_the_nodes_network(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine, host_network=True))
    assert (await runtime.sandbox_status(sandbox)).ips == (machine.nodes["n1"].ip,)
    text = await output(runtime, sandbox, "readlink /proc/self/ns/net; hostname")
    node = os.readlink(f"/proc/{machine.nodes['n1'].shim_pid}/ns/net")
    assert text.split() == [node, "n1"]


async def test_a_host_pid_pod_sees_the_nodes_processes(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine, host_pid=True))
    container = await nodes.run(runtime, sandbox, nodes.shell("sleep 64 & sleep 65"))
    own, seen = os.readlink("/proc/self/ns/pid"), await runtime.exec_sync(container, ["readlink", "/proc/self/ns/pid"], 5)
    assert seen == (0, f"{own}\n".encode(), b"")
    await runtime.stop_container(container, 0)


async def test_an_ephemeral_container_joins_its_targets_processes(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    target = await nodes.run(runtime, sandbox, nodes.shell("exec sleep 66"))
    text = await output(runtime, sandbox, "tr '\\0' ' ' < /proc/1/cmdline", name="debug", target_id=target)
    assert text.split() == ["sleep", "66"]


async def test_a_privileged_container_has_the_machines_devices(machine: Machine, runtime: ProcessRuntime) -> None:
    context = SecurityContext(privileged=True)
    sandbox = await runtime.run_sandbox(pod(machine))
    text = await output(runtime, sandbox, "test -e /dev/ptmx && mount -t tmpfs x /mnt && echo mounted", security=context)
    assert text == "mounted\n"
