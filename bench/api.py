"""Rates and costs of an API server: `python -m bench.api --kubeconfig FILE [--pid SERVER] [--json OUT]`.

Takes any kubeconfig with embedded credentials, so that a real kube-apiserver runs the same work side by side. Rates: what a Python
client (aiohttp) sees with 32 requests in flight; a GET loop of a light client (a few lines of protocol, wrk class); lists; apply, a custom
resource and a webhook (`bench.extensions`); watch fan-out.
Costs: the server's CPU seconds over each phase (`--pid`, psutil) and its loop lag (/metrics, where it has that metric).
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import re
import time
from typing import Any
from urllib.parse import urlsplit

from bench import extensions, measuring
from bench.measuring import Bench, Result

NAMESPACE = "bench"


def pod(name: str, labels: dict[str, str]) -> dict[str, Any]:
    container = {
        "name": "c",
        "image": "registry.example/app:1",
        "env": [{"name": "A", "value": "b"}],
        "resources": {"requests": {"cpu": "10m", "memory": "8Mi"}},
    }
    spec = {"containers": [container], "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


async def light_get(bench: Bench, path: str, seconds: float, connections: int) -> None:
    """Keep-alive GETs over hand-made HTTP: what a client that costs next to nothing gets out of the server."""
    parts = urlsplit(bench.target.url)
    headers = "".join(f"{k}: {v}\r\n" for k, v in bench.target.headers.items())
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\nUser-Agent: bench\r\n{headers}\r\n".encode()
    )
    length = re.compile(rb"(?i)content-length: (\d+)")
    took: list[float] = []
    stop = 0.0

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=bench.target.tls)
        while (began := time.perf_counter()) < stop:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            found = length.search(head)
            await reader.readexactly(int(found[1]) if found else 0)
            took.append(time.perf_counter() - began)
        writer.close()

    async def all_of_them() -> tuple[int, list[float]]:
        nonlocal stop
        stop = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as group:
            for n in range(connections):
                group.create_task(connection(), name=f"light-{n}")
        return len(took), took

    await bench.phase(f"GET configmap, light client c{connections}", all_of_them)


_EVENT = b'{"type":"ADDED"'


class Watcher(asyncio.Protocol):
    """Counts the events of one watch and does nothing else: a hundred of them must cost less than the server."""

    def __init__(self, request: bytes, events: int, opened: asyncio.Semaphore, done: asyncio.Future[None]) -> None:
        self._request, self._left, self._opened, self._done = request, events, opened, done
        self._answered = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        if not self._answered:
            self._answered = True
            if not data.startswith(b"HTTP/1.1 200"):
                self.connection_lost(RuntimeError(data[:300].decode()))
                return
            self._opened.release()
        # the mark of an event may be cut in two
        data = self._rest + data
        self._left -= data.count(_EVENT)
        self._rest = data[-len(_EVENT) + 1 :]
        if self._left <= 0 and not self._done.done():
            self._done.set_result(None)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or EOFError("the watch ended early"))


async def fan_out(bench: Bench, watchers: int, events: int) -> None:
    """Every write goes to all watchers; the rate counts events delivered."""
    base = f"/api/v1/namespaces/{NAMESPACE}-watch/configmaps"
    parts = urlsplit(bench.target.url)
    headers = "".join(f"{k}: {v}\r\n" for k, v in bench.target.headers.items())
    path = f"{base}?watch=1&resourceVersion=0&timeoutSeconds=120"
    request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n{headers}\r\n".encode()
    loop = asyncio.get_running_loop()
    opened = asyncio.Semaphore(0)
    done = [loop.create_future() for _ in range(watchers)]
    assert parts.hostname is not None
    for ended in done:
        await loop.create_connection(
            functools.partial(Watcher, request, events, opened, ended), parts.hostname, parts.port or 443, ssl=bench.target.tls
        )
    for _ in range(watchers):
        await opened.acquire()

    async def delivered() -> tuple[int, list[float]]:
        await bench_writes(bench, base, events)
        async with asyncio.timeout(60):
            await asyncio.gather(*done)
        return watchers * events, []

    await bench.phase(f"watch fan-out to {watchers}, events", delivered)


async def bench_writes(bench: Bench, base: str, count: int) -> None:
    data = {"k": "v" * 200}
    await measuring.spread(count, 8, lambda i: bench.call("POST", base, {"metadata": {"name": f"w-{i}"}, "data": data}))


async def run(options: argparse.Namespace) -> list[Result]:
    async with measuring.bench(options) as bench:
        for name in (NAMESPACE, f"{NAMESPACE}-watch"):
            await bench.namespace(name)
        maps, pods = f"/api/v1/namespaces/{NAMESPACE}/configmaps", f"/api/v1/namespaces/{NAMESPACE}/pods"
        n = options.count
        data = {"key": "v" * 500}
        await bench.measure(
            "create ConfigMap", n, lambda i: bench.call("POST", maps, {"metadata": {"name": f"c-{i}"}, "data": data})
        )
        await bench.measure("get ConfigMap", n, lambda i: bench.call("GET", f"{maps}/c-{i}"))
        merge = "application/merge-patch+json"
        await bench.measure(
            "merge patch ConfigMap", n, lambda i: bench.call("PATCH", f"{maps}/c-{i}", {"data": {"n": str(i)}}, kind=merge)
        )
        await bench.measure("create Pod", options.pods, lambda i: bench.call("POST", pods, pod(f"p-{i}", {"app": f"a{i % 50}"})))
        await light_get(bench, f"{maps}/c-0", options.seconds, options.in_flight)
        await bench.measure(f"LIST {options.pods} pods", 10, lambda i: bench.call("GET", pods), 1)
        await bench.measure("LIST by label, 1 in 50", 20, lambda i: bench.call("GET", f"{pods}?labelSelector=app%3Da7"), 1)
        await extensions.apply(bench, NAMESPACE, options.extended)
        await extensions.custom(bench, NAMESPACE, options.extended)
        await extensions.webhook(bench, NAMESPACE, options.extended)
        await fan_out(bench, options.watchers, options.events)
        if not options.keep:
            for path in (maps, pods, f"/api/v1/namespaces/{NAMESPACE}-watch/configmaps"):
                await bench.call("DELETE", path)
        return bench.results


def main() -> None:
    parser = measuring.arguments("api", __doc__)
    parser.add_argument("--count", type=int, default=3000, help="ConfigMaps")
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--extended", type=int, default=1000, help="objects of the apply, custom resource and webhook cases")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the light GET loop")
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--keep", action="store_true", help="leave the objects there")
    options = parser.parse_args()
    measuring.finish(options, measuring.run(run(options)))


if __name__ == "__main__":
    main()
