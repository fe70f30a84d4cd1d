"""Containers from start to end: exit codes, signals, logs, limits, and what a new client finds."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import pytest

from minikube_agents.runtime.contract import ExecFailed, NotFoundError, RuntimeError_, SecurityContext, Unsupported
from minikube_agents.runtime.process import ProcessRuntime
from minikube_agents.shim import rootfs
from tests.runtime import nodes
from tests.runtime.nodes import Machine, finished, log_text, output, pod, run, shell

pytestmark = nodes.needs_namespaces


@pytest.mark.parametrize(
    ("script", "code", "signal", "reason"),
    [
        pytest.param("exit 0", 0, 0, "Completed", id="success"),
        pytest.param("exit 7", 7, 0, "Error", id="code"),
        pytest.param("sh -c 'kill -9 $$'; exit $?", 137, 0, "Error", id="child killed"),
    ],
)
async def test_exit_codes(machine: Machine, runtime: ProcessRuntime, script: str, code: int, signal: int, reason: str) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    status = await finished(runtime, await run(runtime, sandbox, shell(script)))
    assert (status.exit_code, status.signal, status.reason, status.pid) == (code, signal, reason, 0)
    assert status.created_at <= status.started_at <= status.finished_at


async def test_stop_sends_sigterm_and_waits(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    container = await run(runtime, sandbox, shell("trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done"))
    await until_logged(runtime, container, "up")
    await runtime.stop_container(container, 10)
    status = await runtime.container_status(container)
    assert (status.state, status.exit_code) == ("exited", 3)
    assert log_text(status) == "up\nbye\n"


async def test_stop_kills_after_the_grace_period(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    container = await run(runtime, sandbox, shell("trap '' TERM; echo up; while :; do sleep 0.01; done"))
    await until_logged(runtime, container, "up")
    before = time.monotonic()
    await runtime.stop_container(container, 0.1)
    assert 0.1 <= time.monotonic() - before < 5
    status = await runtime.container_status(container)
    assert (status.exit_code, status.signal) == (137, 9)


async def test_stop_and_remove_may_be_repeated(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    container = await run(runtime, sandbox, shell("sleep 60"))
    for _ in range(2):
        await runtime.stop_container(container, 0)
        await runtime.stop_sandbox(sandbox)
    for _ in range(2):
        await runtime.remove_container(container)
        await runtime.remove_sandbox(sandbox)
    with pytest.raises(NotFoundError):
        await runtime.container_status(container)
    with pytest.raises(NotFoundError):
        await runtime.sandbox_status(sandbox)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param(("no-such-program",), 'exec: "no-such-program": executable file not found in $PATH', id="not in PATH"),
        pytest.param(("/no/such",), 'exec: "/no/such": stat /no/such: no such file or directory', id="no file"),
        pytest.param(("/etc/hostname",), 'exec: "/etc/hostname": permission denied', id="not executable"),
    ],
)
async def test_what_cannot_be_executed_is_a_start_error(
    machine: Machine, runtime: ProcessRuntime, command: tuple[str, ...], message: str
) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    container = await runtime.create_container(sandbox, shell("", command=command))
    with pytest.raises(ExecFailed, match=message.replace("$", r"\$")):
        await runtime.start_container(container)
    status = await finished(runtime, container)
    assert (status.exit_code, status.reason) == (128, "StartError")
    assert message in status.message


async def until_logged(runtime: ProcessRuntime, container: str, text: str) -> None:
    status = await runtime.container_status(container)
    for _ in range(2000):
        if os.path.exists(status.log_path) and text in log_text(status):
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{text!r} never came: {log_text(status)!r}")


async def test_a_killed_client_changes_nothing(machine: Machine, runtime: ProcessRuntime) -> None:
    """Adoption: a client in a process of its own starts containers and is killed; the next finds the same pid, a log without a gap, and the
    exit code of the one that ended meanwhile."""
    config = pod(machine)
    program = f"""
import asyncio, os, sys
from tests.runtime.nodes import shell
from minikube_agents.runtime.process import ProcessRuntime
from minikube_agents.runtime.images import ImageStore
from minikube_agents.runtime.contract import SandboxConfig
async def main():
    runtime = ProcessRuntime({machine.nodes["n1"].shim_path!r}, ImageStore({machine.directory!r} + "/images"))
    await runtime.start()
    sandbox = await runtime.run_sandbox(SandboxConfig(namespace="d", name="p", uid={config.uid!r}, log_directory={config.log_directory!r}))
    count = await runtime.create_container(sandbox, shell("i=0; while :; do echo $i; i=$((i+1)); sleep 0.002; done", name="count"))
    await runtime.start_container(count)
    wait = "while ! test -e /etc/go; do sleep 0.01; done; exit 7"
    short = await runtime.create_container(sandbox, shell("sleep 0.3; exit 7", name="short", labels={{"restarts": "4"}}))
    await runtime.start_container(short)
    print(count, (await runtime.container_status(count)).pid, short, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])},
    )
    assert process.stdout
    count, pid, short = process.stdout.readline().split()
    process.kill()
    process.wait()
    process.stdout.close()
    ended = await finished(runtime, short)
    assert (ended.exit_code, ended.reason, ended.labels) == (7, "Error", {"restarts": "4"})
    running = await runtime.container_status(count)
    assert (running.state, running.pid) == ("running", int(pid))
    await until_logged(runtime, count, "\n100\n")
    await runtime.stop_container(count, 0)
    lines = log_text(await runtime.container_status(count)).split()
    assert lines == [str(number) for number in range(len(lines))]


async def test_events_tell_of_starts_and_ends(machine: Machine, runtime: ProcessRuntime) -> None:
    seen = []

    async def listen() -> None:
        async for event in runtime.events():
            seen.append(event.type)
            if event.type == "sandbox-stopped":
                return

    async with asyncio.TaskGroup() as group:
        group.create_task(listen(), name="events")
        await asyncio.sleep(0)
        await runtime.sandboxes()
        sandbox = await runtime.run_sandbox(pod(machine))
        container = await run(runtime, sandbox, shell("exit 0"))
        await finished(runtime, container)
        await runtime.remove_container(container)
        await runtime.stop_sandbox(sandbox)
    assert seen == ["sandbox-started", "container-started", "container-exited", "container-removed", "sandbox-stopped"]


async def test_output_streams_are_told_apart_in_the_log(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    status = await finished(runtime, await run(runtime, sandbox, shell("echo out; echo err >&2; printf part")))
    with open(status.log_path, encoding="utf-8") as file:
        lines = sorted(line.split(" ", 1)[1] for line in file)
    assert lines == ["stderr F err\n", "stdout F out\n", "stdout P part\n"]


async def test_users_groups_and_directory(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    context = SecurityContext(run_as_user=1000, run_as_group=3000, supplemental_groups=(2000,))
    script = "id -u; id -g; id -G; pwd; echo x > /dev/stdout"
    many = runtime._many_ids
    if not many:
        with pytest.raises(Unsupported, match="newuidmap"):
            await run(runtime, sandbox, shell(script, security=context))
        return
    text = await output(runtime, sandbox, script, security=context, working_dir="/made/for/it")
    uid, gid, groups, directory, x = text.splitlines()
    assert (uid, gid, directory, x) == ("1000", "3000", "/made/for/it", "x")
    assert {"2000", "3000"} <= set(groups.split())


async def test_capabilities_and_no_new_privileges(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    read = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | cut -f2"
    effective, bounding, privileges, filters = (await output(runtime, sandbox, read)).split()
    assert (effective, bounding, privileges, filters) == ("00000000a80425fb", "00000000a80425fb", "0", "0")
    strict = SecurityContext(
        drop_capabilities=("ALL",),
        add_capabilities=("NET_BIND_SERVICE",),
        allow_privilege_escalation=False,
        seccomp="RuntimeDefault",
    )
    assert (await output(runtime, sandbox, read, name="strict", security=strict)).split() == ["0000000000000400"] * 2 + ["1", "2"]


async def test_the_default_seccomp_profile_forbids_namespaces(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    context = SecurityContext(privileged=False, add_capabilities=("SYS_ADMIN",), seccomp="RuntimeDefault")
    script = "unshare -u true 2>&1 || echo refused; ls / >/dev/null && (sleep 0 & wait) && echo works"
    assert (await output(runtime, sandbox, script, security=context)).endswith("refused\nworks\n")
    assert (
        await output(
            runtime, sandbox, "unshare -u echo allowed", name="b", security=SecurityContext(add_capabilities=("SYS_ADMIN",))
        )
        == "allowed\n"
    )


async def test_volumes(machine: Machine, runtime: ProcessRuntime) -> None:
    from minikube_agents.runtime.contract import Mount

    sandbox = await runtime.run_sandbox(pod(machine))
    volume = os.path.join(machine.directory, f"volume-{os.urandom(4).hex()}")
    os.mkdir(volume)
    with open(os.path.join(volume, "file"), "w", encoding="utf-8") as file:
        file.write("content\n")
    mounts = (
        Mount(host_path=volume, container_path="/data/deep/er"),
        Mount(host_path=volume, container_path="/etc/missing/dir", read_only=True),
        Mount(host_path=os.path.join(volume, "file"), container_path="/etc/one-file"),
        Mount(host_path=os.path.join(volume, "file"), container_path="/run/secrets/x/file"),
    )
    script = "cat /data/deep/er/file /etc/one-file /run/secrets/x/file; echo new > /data/deep/er/new; (echo > /etc/missing/dir/no) 2>&1 || true"
    text = await output(runtime, sandbox, script, mounts=mounts)
    assert text.startswith("content\n" * 3)
    assert "Read-only file system" in text
    with open(os.path.join(volume, "new"), encoding="utf-8") as file:
        assert file.read() == "new\n"


async def test_a_memory_limit_kills_and_is_told(machine: Machine, runtime: ProcessRuntime) -> None:
    if "memory" not in runtime._controllers:
        pytest.skip("no memory cgroup for this account")
    sandbox = await runtime.run_sandbox(pod(machine))
    script = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"
    status = await finished(runtime, await run(runtime, sandbox, shell(script, memory_limit=16 << 20)))
    assert (status.exit_code, status.reason) == (137, "OOMKilled")


async def test_limits_stand_in_the_cgroup_and_can_be_changed(machine: Machine, runtime: ProcessRuntime) -> None:
    if "memory" not in runtime._controllers:
        pytest.skip("no memory cgroup for this account")
    sandbox = await runtime.run_sandbox(pod(machine))
    container = await run(runtime, sandbox, shell("sleep 60", memory_limit=64 << 20, cpu_limit=0.5, cpu_request=0.25))
    (stats,) = await runtime.stats(sandbox)
    assert stats.memory_usage > 0
    await runtime.update_container(container, cpu_limit=1, cpu_request=0.5, memory_limit=128 << 20)
    await runtime.update_container(container, cpu_limit=0, cpu_request=0, memory_limit=32 << 20)


async def test_limits_of_a_pod_make_room_for_those_of_its_containers(machine: Machine, runtime: ProcessRuntime) -> None:
    if "memory" not in runtime._controllers:
        pytest.skip("no memory cgroup for this account")
    sandbox = await runtime.run_sandbox(pod(machine, cpu_limit=0.5, cpu_request=0.25, memory_limit=64 << 20))
    container = await run(runtime, sandbox, shell("sleep 60", memory_limit=64 << 20, cpu_limit=0.5, cpu_request=0.25))
    await runtime.update_sandbox(sandbox, cpu_limit=0, cpu_request=0, memory_limit=0)
    await runtime.update_container(container, cpu_limit=1, cpu_request=0.5, memory_limit=128 << 20)
    await runtime.update_sandbox(sandbox, cpu_limit=1, cpu_request=0.5, memory_limit=128 << 20)


async def test_stats_grow_with_use(machine: Machine, runtime: ProcessRuntime) -> None:
    sandbox = await runtime.run_sandbox(pod(machine))
    await run(runtime, sandbox, shell("while :; do :; done"))
    (first,) = await runtime.stats(sandbox)
    for _ in range(1000):
        (second,) = await runtime.stats(sandbox)
        if second.cpu_seconds > first.cpu_seconds:
            break
        await asyncio.sleep(0.005)
    assert second.cpu_seconds > first.cpu_seconds
    assert second.memory_usage >= second.memory_working_set > 0
    assert second.timestamp > first.timestamp


async def test_reading_a_link_never_leaves_the_root(tmp_path: object) -> None:
    root = str(tmp_path)
    os.symlink("/../../etc", os.path.join(root, "out"))
    os.symlink("out/../../..", os.path.join(root, "further"))
    assert rootfs.resolve(root, "/out/passwd") == "/etc/passwd"
    assert rootfs.resolve(root, "/further/x") == "/x"
    assert rootfs.resolve(root, "a/./b/../c") == "/a/c"


async def test_a_missing_tty_program_and_wrong_sandbox_are_told(machine: Machine, runtime: ProcessRuntime) -> None:
    with pytest.raises(NotFoundError):
        await runtime.create_container("nope", shell("true"))
    sandbox = await runtime.run_sandbox(pod(machine))
    await runtime.stop_sandbox(sandbox)
    with pytest.raises(RuntimeError_, match="not ready"):
        await runtime.create_container(sandbox, shell("true"))
