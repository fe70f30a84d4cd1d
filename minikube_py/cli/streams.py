"""`minictl logs` and `minictl exec`: what containers say and do."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import termios
import tty as terminal
from contextlib import aclosing
from typing import Any

import aiohttp
import click
import orjson

from minikube_api.meta import selectors
from minikube_py.cli.connection import Connection, connected

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255


async def pod_of(connection: Connection, text: str) -> str:
    """`NAME`, `pod/NAME`, or the first ready pod of a workload `deployment/NAME`."""
    if "/" not in text:
        return text
    ((info, name),) = await connection.targets((text,))
    if info.kind == "Pod":
        return name
    obj = await connection.raw.get(info.path(connection.namespace, name))
    selector = obj.get("spec", {}).get("selector")
    if not selector:
        raise click.ClickException(f"cannot find pods of {text}")
    if "matchLabels" in selector or "matchExpressions" in selector:
        matching = selectors.from_label_selector(selector)
    else:
        matching = selectors.from_label_selector({"matchLabels": selector})
    tree = await connection.raw.get(f"/api/v1/namespaces/{connection.namespace}/pods")
    pods = [p for p in tree["items"] if matching.matches(p["metadata"].get("labels") or {})]
    if not pods:
        raise click.ClickException(f"no pods of {text}")
    return min(pods, key=lambda p: (not _ready(p), p["metadata"]["creationTimestamp"]))["metadata"]["name"]


def _ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))


@click.command()
@click.argument("pod", metavar="POD | TYPE/NAME")
@click.option("-c", "--container", default="", help="Which container.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("-p", "--previous", is_flag=True, help="Of the run before the last restart.")
@click.option("--tail", type=int, default=None, metavar="LINES", help="Only the last lines.")
@click.option("--since", default="", metavar="DURATION", help="Only newer than 5s, 2m, 3h.")
@click.option("--timestamps", is_flag=True, help="With the time of each line.")
@connected
async def logs(
    connection: Connection, pod: str, container: str, follow: bool, previous: bool, tail: int | None, since: str, timestamps: bool
) -> int:
    """Print a container's log."""
    name = await pod_of(connection, pod)
    query: dict[str, str] = {"container": container} if container else {}
    query |= {k: "true" for k, v in (("follow", follow), ("previous", previous), ("timestamps", timestamps)) if v}
    if tail is not None:
        query["tailLines"] = str(tail)
    if since:
        query["sinceSeconds"] = str(seconds(since))
    path = f"/api/v1/namespaces/{connection.namespace}/pods/{name}/log"
    async with aclosing(connection.raw.stream(path, query=query)) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return 0


def seconds(text: str) -> int:
    """`5s`, `2m`, `3h` in seconds, at least 1."""
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0)
    try:
        return max(1, int(float(text[:-1]) * unit)) if unit else int(text)
    except ValueError:
        raise click.ClickException(f"--since {text!r}: a duration such as 5s, 2m or 3h is needed") from None


@click.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.argument("pod", metavar="POD | TYPE/NAME")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND [ARG...]")
@click.option("-c", "--container", default="", help="Which container.")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input on.")
@click.option("-t", "--tty", is_flag=True, help="With a terminal.")
@connected
async def exec_(connection: Connection, pod: str, command: tuple[str, ...], container: str, stdin: bool, tty: bool) -> int:
    """Run a command in a container; the exit code is the command's."""
    name = await pod_of(connection, pod)
    tty = tty and sys.stdin.isatty()
    query = [("command", word) for word in command]
    query += [("container", container)] if container else []
    query += [(k, "true" if v else "false") for k, v in (("stdin", stdin), ("stdout", True), ("stderr", not tty), ("tty", tty))]
    path = f"/api/v1/namespaces/{connection.namespace}/pods/{name}/exec"
    url = connection.config.server.rstrip("/") + path
    token = connection.config.token or (connection.config.token_file.read_text().strip() if connection.config.token_file else "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connector = aiohttp.TCPConnector(ssl=connection.config.ssl_context() or False)
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            socket = await session.ws_connect(url, params=query, headers=headers, protocols=PROTOCOLS, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            path_get = await connection.raw.transport.request("GET", path, query=dict(query))
            message = orjson.loads(path_get.body).get("message", error.message) if path_get.body[:1] == b"{" else error.message
            raise click.ClickException(f"Error from server: {message}") from error
        async with socket:
            return await _session(socket, stdin=stdin, tty=tty)


async def _session(socket: aiohttp.ClientWebSocketResponse, *, stdin: bool, tty: bool) -> int:
    saved = termios.tcgetattr(0) if tty else None
    sending = asyncio.create_task(_send_stdin(socket), name="exec-stdin") if stdin else None
    try:
        if saved is not None:
            terminal.setraw(0)
            loop = asyncio.get_running_loop()
            resizes: set[asyncio.Task[None]] = set()

            def resized() -> None:
                task = loop.create_task(_send_size(socket), name="exec-resize")
                resizes.add(task)
                task.add_done_callback(resizes.discard)

            loop.add_signal_handler(signal.SIGWINCH, resized)
            await _send_size(socket)
        return await _receive(socket)
    finally:
        if sending is not None:
            sending.cancel()
        if saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, saved)


async def _send_size(socket: aiohttp.ClientWebSocketResponse) -> None:
    size = shutil.get_terminal_size()
    await socket.send_bytes(bytes([RESIZE]) + orjson.dumps({"Width": size.columns, "Height": size.lines}))


async def _send_stdin(socket: aiohttp.ClientWebSocketResponse) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.run_in_executor(None, os.read, 0, 65536):
        await socket.send_bytes(bytes([STDIN]) + data)
    if socket.protocol == PROTOCOLS[0]:
        await socket.send_bytes(bytes([CLOSE, STDIN]))


async def _receive(socket: aiohttp.ClientWebSocketResponse) -> int:
    async for message in socket:
        if message.type != aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        if channel in (STDOUT, STDERR):
            stream = sys.stdout.buffer if channel == STDOUT else sys.stderr.buffer
            stream.write(data)
            stream.flush()
        elif channel == ERROR:
            return exit_code(orjson.loads(data))
    raise click.ClickException("the connection ended before the command did")


def exit_code(status: dict[str, Any]) -> int:
    """The exit code in a v1.Status of the error channel; other failures are raised as ClickException."""
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes", ()):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise click.ClickException(f"error: {status.get('message', 'the command failed')}")
