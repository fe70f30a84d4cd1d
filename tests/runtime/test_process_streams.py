"""exec and attach, with and without a terminal."""

from __future__ import annotations

import asyncio

import pytest

from minikube_agents.runtime.contract import ExecFailed
from minikube_agents.runtime.process import ProcessRuntime
from minikube_agents.runtime.process_streams import Streams
from tests.runtime import nodes
from tests.runtime.nodes import Machine, finished, log_text, pod, run, shell

pytestmark = nodes.needs_namespaces


async def everything(streams: Streams) -> dict[str, str]:
    found = {"stdout": "", "stderr": ""}
    while (item := await streams.read()) is not None:
        found[item[0]] += item[1].decode()
    return found


async def until(streams: Streams, text: str) -> str:
    seen = ""
    while text not in seen:
        item = await streams.read()
        assert item is not None, f"ended before {text!r}: {seen!r}"
        seen += item[1].decode()
    return seen


async def test_exec_sync_gives_code_and_both_streams(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("sleep 60"))
    assert await runtime.exec_sync(container, ["sh", "-c", "echo out; echo err >&2; exit 5"], 5) == (5, b"out\n", b"err\n")


async def test_exec_runs_in_the_containers_namespaces(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine, hostname="inner")), shell("touch /etc/mine; sleep 60"))
    code, out, _err = await runtime.exec_sync(container, ["sh", "-c", "hostname; cat /proc/1/cmdline | tr '\\0' ' '"], 5)
    assert (code, out.decode().splitlines()[0]) == (0, "inner")
    assert "touch /etc/mine" in out.decode()


async def test_exec_sync_times_out_and_kills(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("sleep 60"))
    with pytest.raises(TimeoutError):
        await runtime.exec_sync(container, ["sleep", "61"], 0.05)
    _code, out, _err = await runtime.exec_sync(container, ["sh", "-c", "cat /proc/[0-9]*/cmdline"], 5)
    assert b"sleep\x0061" not in out


async def test_exec_of_what_is_not_there(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("sleep 60"))
    with pytest.raises(ExecFailed, match="executable file not found"):
        await runtime.exec_sync(container, ["no-such-thing"], 5)


async def test_exec_with_stdin_carries_much_and_ends(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("sleep 60"))
    streams = await runtime.exec(container, ["sh", "-c", "wc -c"], stdin=True, stdout=True, stderr=True, tty=False)

    async def feed() -> None:
        for _ in range(20):
            await streams.write(b"x" * 100_000)
        await streams.close_stdin()

    async with asyncio.TaskGroup() as group:
        group.create_task(feed(), name="feed")
        seen = await everything(streams)
    assert seen["stdout"].strip() == "2000000"
    assert await streams.wait() == 0
    await streams.close()


async def test_exec_with_a_terminal(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("sleep 60"))
    streams = await runtime.exec(container, ["sh"], stdin=True, stdout=True, stderr=True, tty=True)
    await streams.resize(91, 37)
    await streams.write(b"tty; stty size; echo $TERM; exit 4\n")
    seen = (await everything(streams))["stdout"]
    assert "/dev/pts/0\r\n37 91\r\nxterm\r\n" in seen
    assert await streams.wait() == 4
    await streams.close()


async def test_attach_sees_output_and_feeds_stdin_once(machine: Machine, runtime: ProcessRuntime) -> None:
    config = shell("echo hello; while read line; do echo got $line; done; echo end", stdin=True, stdin_once=True)
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), config)
    streams = await runtime.attach(container, stdin=True, stdout=True, stderr=True, tty=False)
    await streams.write(b"one\n")
    await until(streams, "got one")
    await streams.close_stdin()
    await until(streams, "end")
    assert await streams.wait() == 0
    await streams.close()
    assert log_text(await finished(runtime, container)) == "hello\ngot one\nend\n"


async def test_attach_to_a_terminal_resizes_it(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(
        runtime, await runtime.run_sandbox(pod(machine)), shell("read x; stty size; read y", stdin=True, tty=True)
    )
    streams = await runtime.attach(container, stdin=True, stdout=True, stderr=False, tty=True)
    await streams.resize(100, 40)
    await streams.write(b"\n")
    await until(streams, "40 100")
    await streams.close()
    await runtime.stop_container(container, 0)


async def test_a_lost_attachment_leaves_the_container_running(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("while :; do echo x; sleep 0.001; done"))
    streams = await runtime.attach(container, stdin=False, stdout=True, stderr=True, tty=False)
    await until(streams, "x")
    await streams.close()
    await asyncio.sleep(0.02)
    assert (await runtime.container_status(container)).state == "running"


async def test_a_closed_exec_is_ended(machine: Machine, runtime: ProcessRuntime) -> None:
    container = await run(runtime, await runtime.run_sandbox(pod(machine)), shell("sleep 60"))
    streams = await runtime.exec(container, ["sleep", "62"], stdin=False, stdout=True, stderr=True, tty=False)
    await streams.close()
    assert await streams.wait() == 137
