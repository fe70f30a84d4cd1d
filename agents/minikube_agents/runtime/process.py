"""The runtime `process`: real processes in real namespaces, through the node's shim. Keeps no state of its own: whoever connects
next finds all in the shim.

A node where limits can't be had (no cgroups as a normal user) runs containers without them and says so: `warnings`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from minikube_agents.runtime import host_ports, process_config
from minikube_agents.runtime.contract import (
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    ExecFailed,
    Image,
    NotFoundError,
    RuntimeError_,
    RuntimeEvent,
    SandboxConfig,
    SandboxStatus,
    Unsupported,
)
from minikube_agents.runtime.images import ImageStore
from minikube_agents.runtime.process_streams import Streams
from minikube_agents.shim.client import ShimClient, ShimError, ShimGone

log = logging.getLogger(__name__)

RECONNECT_SECONDS: Final = 0.2
_MAX_OUTPUT: Final = 16 << 20


class RunError(RuntimeError_):
    reason = "RunContainerError"


class ProcessRuntime:
    """`Runtime` over one node's shim. `shim_path`: its socket; `images`: the node's (or machine's) image store."""

    name = "process"

    def __init__(self, shim_path: str, images: ImageStore) -> None:
        self._path = shim_path
        self._shim = ShimClient(shim_path)
        self._images = images
        self._many_ids = True
        self._controllers: frozenset[str] = frozenset()
        self._opening = asyncio.Lock()
        #: what this node can't give, in words for a user
        self.warnings: tuple[str, ...] = ()

    async def start(self) -> None:
        await self._connected()
        answer = await self._call("capabilities")
        self._many_ids = answer["can_set_groups"]
        self._controllers = frozenset(answer["controllers"])
        missing = sorted({"cpu", "memory"} - self._controllers)
        if missing:
            self.warnings = (f"no limits of {' and '.join(missing)} on this node: no cgroup that this account may write to",)

    async def close(self) -> None:
        self._shim.close()

    async def _connected(self) -> ShimClient:
        """The connection, made again when the shim was started again."""
        async with self._opening:
            if not self._shim.is_open:
                self._shim = await ShimClient(self._path).open()
            return self._shim

    async def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        try:
            return await (await self._connected()).call(operation, **arguments)
        except ShimError as error:
            raise _translate(error) from error

    # -- sandboxes -------------------------------------------------------------------------------------------------------

    async def run_sandbox(self, config: SandboxConfig) -> str:
        wanted = process_config.sandbox(config)
        if wanted["ports"]:
            taken = [port for _ip, port in await self._host_ports()]
            problem = host_ports.conflict(wanted["ports"], taken)
            if problem:
                raise RunError(problem)
        sandbox_id = (await self._call("run_sandbox", config=wanted))["sandbox"]
        if wanted["ports"]:
            try:
                await self._write_host_ports()
            except RuntimeError_:
                await self.remove_sandbox(sandbox_id)
                raise
        return sandbox_id

    async def _host_ports(self) -> list[tuple[str, dict[str, Any]]]:
        pods = (await self._call("list", container=""))["sandboxes"]
        return [(pod["ip"], port) for pod in pods if pod["state"] == "ready" for port in pod["ports"]]

    async def _write_host_ports(self) -> None:
        shim = await self._connected()
        try:
            done = await shim.run(["nft", "-f", "-"], host_ports.script(await self._host_ports()))
        except OSError as error:
            raise Unsupported("hostPort: this machine has no nft (package nftables)") from error
        if done.code:
            raise RunError(f"hostPort: nft: {done.stderr.strip()}")

    async def update_sandbox(self, sandbox_id: str, *, cpu_limit: float, cpu_request: float, memory_limit: int) -> None:
        limits = {"cpu_limit": cpu_limit, "cpu_request": cpu_request, "memory_limit": memory_limit}
        await self._call("update_sandbox", sandbox=sandbox_id, limits=limits)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        had_ports = await self._has_ports(sandbox_id)
        await self._call("stop_sandbox", sandbox=sandbox_id)
        if had_ports:
            await self._write_host_ports()

    async def _has_ports(self, sandbox_id: str) -> bool:
        pods = (await self._call("list", sandbox=sandbox_id))["sandboxes"]
        return bool(pods and pods[0]["ports"] and pods[0]["state"] == "ready")

    async def remove_sandbox(self, sandbox_id: str) -> None:
        await self.stop_sandbox(sandbox_id)
        await self._call("remove_sandbox", sandbox=sandbox_id)

    async def sandboxes(self) -> list[SandboxStatus]:
        return [_sandbox_status(pod) for pod in (await self._call("list"))["sandboxes"]]

    async def sandbox_status(self, sandbox_id: str) -> SandboxStatus:
        return _sandbox_status(await self._sandbox(sandbox_id))

    async def _sandbox(self, sandbox_id: str) -> dict[str, Any]:
        found = (await self._call("list", sandbox=sandbox_id))["sandboxes"]
        if not found:
            raise NotFoundError(f"sandbox {sandbox_id!r} not found")
        return found[0]

    # -- containers ------------------------------------------------------------------------------------------------------

    async def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        pod = await self._sandbox(sandbox_id)
        image = self._images.content(config.image)
        spec = process_config.container(config, image, pod, many_ids=self._many_ids)
        missing = process_config.missing_limits(config, self._controllers)
        if missing:
            log.warning("%s/%s %s: no %s limit on this node", pod["namespace"], pod["name"], config.name, " and ".join(missing))
        record = process_config.record(config, image, pod)
        return (await self._call("create_container", sandbox=sandbox_id, record=record, spec=spec))["container"]

    async def start_container(self, container_id: str) -> None:
        await self._call("start_container", container=container_id)

    async def stop_container(self, container_id: str, grace_seconds: float) -> None:
        with contextlib.suppress(NotFoundError):
            await self._call("stop_container", container=container_id, grace=max(0.0, grace_seconds))

    async def remove_container(self, container_id: str) -> None:
        await self._call("remove_container", container=container_id)

    async def containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]:
        answer = await self._call("list", **({"sandbox": sandbox_id} if sandbox_id else {}))
        return [_container_status(record) for record in answer["containers"]]

    async def container_status(self, container_id: str) -> ContainerStatus:
        found = (await self._call("list", container=container_id))["containers"]
        if not found:
            raise NotFoundError(f"container {container_id!r} not found")
        return _container_status(found[0])

    async def update_container(self, container_id: str, *, cpu_limit: float, cpu_request: float, memory_limit: int) -> None:
        limits = {"cpu_limit": cpu_limit, "cpu_request": cpu_request, "memory_limit": memory_limit}
        await self._call("update_container", container=container_id, limits=limits)

    async def reopen_log(self, container_id: str) -> None:
        await self._call("reopen_log", container=container_id)

    async def stats(self, sandbox_id: str | None = None) -> list[ContainerStats]:
        answer = await self._call("stats", **({"sandbox": sandbox_id} if sandbox_id else {}))
        return [
            ContainerStats(
                id=item["id"],
                name=item["name"],
                timestamp=item["time"],
                cpu_seconds=item.get("cpu", 0.0),
                memory_working_set=int(item.get("working_set", 0)),
                memory_usage=int(item.get("memory", 0)),
            )
            for item in answer["containers"]
        ]

    # -- streams ---------------------------------------------------------------------------------------------------------

    async def exec(
        self,
        container_id: str,
        command: Sequence[str],
        *,
        stdin: bool,
        stdout: bool,
        stderr: bool,
        tty: bool,
    ) -> Streams:
        shim = await self._connected()
        try:
            answer, fds = await shim.call_with_fds("exec", container=container_id, argv=list(command), stdin=stdin, tty=tty)
        except ShimError as error:
            raise _translate(error) from error
        # asked for at once, so that the shim may forget the exec when it has ended
        ended = asyncio.ensure_future(shim.call("wait_exec", exec=answer["exec"]))
        ended.add_done_callback(lambda future: future.cancelled() or future.exception())

        async def wait() -> int:
            try:
                return (await asyncio.shield(ended))["code"]
            except ShimError as error:
                raise _translate(error) from error

        async def close() -> None:
            if not ended.done():
                with contextlib.suppress(ShimGone):
                    await shim.call("kill_exec", exec=answer["exec"])

        return Streams(answer["kinds"], fds, wait=wait, close=close)

    async def exec_sync(self, container_id: str, command: Sequence[str], timeout: float) -> tuple[int, bytes, bytes]:
        streams = await self.exec(container_id, command, stdin=False, stdout=True, stderr=True, tty=False)
        output = {"stdout": bytearray(), "stderr": bytearray()}
        try:
            async with asyncio.timeout(timeout if timeout > 0 else None):
                while (item := await streams.read()) is not None:
                    kind, data = item
                    output[kind] += data[: _MAX_OUTPUT - len(output[kind])]
                code = await streams.wait()
        finally:
            await streams.close()
        return code, bytes(output["stdout"]), bytes(output["stderr"])

    async def attach(self, container_id: str, *, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> Streams:
        shim = await self._connected()
        wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        try:
            answer, fds = await shim.call_with_fds("attach", container=container_id, **wanted)
        except ShimError as error:
            raise _translate(error) from error

        async def wait() -> int:
            return (await self._call("wait_container", container=container_id))["code"]

        async def resize(width: int, height: int) -> None:
            await self._call("resize", container=container_id, width=width, height=height)

        return Streams(answer["kinds"], fds, wait=wait, resize=resize)

    async def connect(self, sandbox_id: str, port: int, host: str = "127.0.0.1") -> socket.socket:
        shim = await self._connected()
        try:
            return await shim.open_socket("connect", host, port, sandbox=sandbox_id)
        except ShimError as error:
            raise _translate(error) from error

    # -- images and events -----------------------------------------------------------------------------------------------

    async def image_status(self, image: str) -> Image | None:
        return self._images.status(image)

    async def pull_image(self, image: str) -> Image:
        return self._images.pull(image)

    async def image_directory(self, image: str) -> str:
        """Where an image's files are on the node, for image volumes; "" for the image `host`, which has none of its own."""
        return self._images.content(image).root

    async def import_image(self, archive: str, tag: str = "") -> list[Image]:
        return await self._images.load(await self._connected(), archive, tag)

    async def alias_image(self, image: str, alias: str) -> None:
        self._images.alias(image, alias)

    async def images(self) -> list[Image]:
        return self._images.images()

    async def remove_image(self, image: str) -> None:
        await self._images.remove(await self._connected(), image)

    async def events(self) -> AsyncIterator[RuntimeEvent]:
        """Never ends by itself: when the shim was started again, every sandbox it lost is told as stopped."""
        while True:
            try:
                shim = await self._connected()
                async for event in shim.events():
                    yield _event(event)
            except ShimGone:
                log.debug("shim %s is gone; waiting for the next", self._path)
            await asyncio.sleep(RECONNECT_SECONDS)
            with contextlib.suppress(ShimGone, RuntimeError_):
                for pod in await self.sandboxes():
                    if pod.state == "notready":
                        yield RuntimeEvent(sandbox_id=pod.id, pod_uid=pod.uid, type="sandbox-stopped")

    async def version(self) -> str:
        return f"process://{sys.version.split()[0]}"


def _event(event: dict[str, Any]) -> RuntimeEvent:
    return RuntimeEvent(
        sandbox_id=event["sandbox_id"],
        pod_uid=event["pod_uid"],
        type=event["type"],
        container_id=event["container_id"],
    )


def _sandbox_status(pod: dict[str, Any]) -> SandboxStatus:
    return SandboxStatus(
        id=pod["id"],
        namespace=pod["namespace"],
        name=pod["name"],
        uid=pod["uid"],
        attempt=pod["attempt"],
        state=pod["state"],
        created_at=pod["created_at"],
        ips=(pod["ip"],),
        labels=pod["labels"],
    )


def _container_status(record: dict[str, Any]) -> ContainerStatus:
    return ContainerStatus(
        id=record["id"],
        sandbox_id=record["sandbox"],
        name=record["name"],
        attempt=record["attempt"],
        state=record["state"],
        created_at=record["created_at"],
        started_at=record.get("started_at", 0),
        finished_at=record.get("finished_at", 0),
        exit_code=record.get("exit_code", 0),
        signal=record.get("signal", 0),
        reason=record.get("reason", ""),
        message=record.get("message", ""),
        image=record["image"],
        image_id=record["image_id"],
        pid=record.get("pid", 0) if record["state"] == "running" else 0,
        log_path=record["log_path"],
        labels=record["labels"],
    )


def _translate(error: ShimError) -> RuntimeError_:
    if error.kind == "notfound":
        return NotFoundError(str(error))
    if error.kind == "start":
        return ExecFailed(f"unable to start container process: {error}")
    if error.kind == "setup":
        return RunError(f"error during container init: {error}")
    return RuntimeError_(str(error))
