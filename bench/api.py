"""Rates and costs of an API server: `python -m bench.api --kubeconfig FILE [--pid SERVER] [--json OUT]`.

Takes any kubeconfig with embedded credentials, so that a real kube-apiserver runs the same work side by side. Rates: what a Python
client (aiohttp) sees with 32 requests in flight; a GET loop of a light client (a few lines of protocol, wrk class); lists; watch fan-out.
Costs: the server's CPU seconds over each phase (`--pid`, psutil) and its loop lag (/metrics, where it has that metric).
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import re
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil
import yaml

NAMESPACE = "bench"


@dataclass
class Result:
    name: str
    requests: int
    seconds: float
    rate: float
    p50_ms: float
    p99_ms: float
    #: server CPU microseconds a request; None without --pid
    cpu_us: float | None


class Target:
    """A cluster by its kubeconfig: base URL and TLS context."""

    def __init__(self, kubeconfig: Path) -> None:
        tree = yaml.safe_load(kubeconfig.read_text())
        chosen = tree.get("current-context")
        context = next(c["context"] for c in tree["contexts"] if c["name"] == chosen)
        cluster = next(c["cluster"] for c in tree["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in tree["users"] if u["name"] == context["user"])
        self.url: str = cluster["server"]
        self.headers: dict[str, str] = {}
        self.tls: ssl.SSLContext | None = None
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        if self.url.startswith("https"):
            self.tls = ssl.create_default_context()
            if "certificate-authority-data" in cluster:
                self.tls.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
            if "client-certificate-data" in user:
                with tempfile.TemporaryDirectory() as directory:
                    certificate, key = Path(directory, "c"), Path(directory, "k")
                    certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
                    key.write_bytes(base64.b64decode(user["client-key-data"]))
                    self.tls.load_cert_chain(certificate, key)


class Bench:
    def __init__(self, target: Target, session: aiohttp.ClientSession, pid: int | None, in_flight: int) -> None:
        self.target = target
        self.session = session
        self.server = psutil.Process(pid) if pid else None
        self.in_flight = in_flight
        self.results: list[Result] = []

    def cpu(self) -> float:
        if self.server is None:
            return 0.0
        used = self.server.cpu_times()
        return used.user + used.system

    async def measure(self, name: str, count: int, one: Callable[[int], Awaitable[Any]], in_flight: int | None = None) -> None:
        """Do `one(i)` for i < count, at most `in_flight` at a time."""
        took: list[float] = []
        numbers = iter(range(count))

        async def worker() -> None:
            for i in numbers:
                began = time.perf_counter()
                await one(i)
                took.append(time.perf_counter() - began)

        cpu, began = self.cpu(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for n in range(min(in_flight or self.in_flight, count)):
                group.create_task(worker(), name=f"bench-{n}")
        self.note(name, count, time.perf_counter() - began, took, self.cpu() - cpu)

    def note(self, name: str, count: int, seconds: float, took: list[float], cpu: float) -> None:
        took.sort()
        p50, p99 = (took[len(took) // 2], took[int(len(took) * 0.99)]) if took else (0.0, 0.0)
        cost = cpu / count * 1e6 if self.server is not None else None
        result = Result(name, count, seconds, count / seconds, p50 * 1e3, p99 * 1e3, cost)
        self.results.append(result)
        shown = f"{cost:8.0f}" if cost is not None else "       -"
        print(
            f"{name:34} {result.rate:10.0f}/s  p50 {result.p50_ms:8.2f} ms  p99 {result.p99_ms:8.2f} ms  cpu {shown} us",
            flush=True,
        )

    async def call(
        self, method: str, path: str, body: Any = None, ok: tuple[int, ...] = (200, 201), kind: str = "application/json"
    ) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        headers = {} if data is None else {"Content-Type": kind}
        async with self.session.request(method, self.target.url + path, data=data, headers=headers) as response:
            answer = await response.read()
            if response.status not in ok:
                raise RuntimeError(f"{method} {path}: {response.status} {answer[:300]!r}")
            return answer


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
    stop = time.perf_counter() + seconds

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=bench.target.tls)
        while (began := time.perf_counter()) < stop:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            found = length.search(head)
            await reader.readexactly(int(found[1]) if found else 0)
            took.append(time.perf_counter() - began)
        writer.close()

    cpu, began = bench.cpu(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for n in range(connections):
            group.create_task(connection(), name=f"light-{n}")
    bench.note(f"GET configmap, light client c{connections}", len(took), time.perf_counter() - began, took, bench.cpu() - cpu)


async def fan_out(bench: Bench, watchers: int, events: int) -> None:
    """Every write goes to all watchers; the rate counts events delivered."""
    base = f"/api/v1/namespaces/{NAMESPACE}-watch/configmaps"
    ready = asyncio.Event()
    open_watches = 0
    done = 0

    async def watch() -> None:
        nonlocal open_watches, done
        url = f"{bench.target.url}{base}?watch=1&resourceVersion=0&timeoutSeconds=120"
        async with bench.session.get(url, headers={"Accept": "application/json"}) as response:
            open_watches += 1
            if open_watches == watchers:
                ready.set()
            seen = 0
            async for chunk in response.content.iter_any():
                seen += chunk.count(b'{"type":')
                if seen >= events:
                    done += 1
                    return

    async with asyncio.TaskGroup() as group:
        for n in range(watchers):
            group.create_task(watch(), name=f"watch-{n}")
        await ready.wait()
        cpu, began = bench.cpu(), time.perf_counter()
        await bench_writes(bench, base, events)
        while done < watchers:
            await asyncio.sleep(0.005)
        seconds = time.perf_counter() - began
    bench.note(f"watch fan-out to {watchers}, events", watchers * events, seconds, [], bench.cpu() - cpu)


async def bench_writes(bench: Bench, base: str, count: int) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for i in numbers:
            await bench.call("POST", base, {"metadata": {"name": f"w-{i}"}, "data": {"k": "v" * 200}})

    async with asyncio.TaskGroup() as group:
        for n in range(8):
            group.create_task(worker(), name=f"writer-{n}")


async def run(options: argparse.Namespace) -> list[Result]:
    target = Target(options.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=target.tls or False, limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=target.headers) as session:
        bench = Bench(target, session, options.pid, options.in_flight)
        for name in (NAMESPACE, f"{NAMESPACE}-watch"):
            await bench.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, (201, 409))
            account = {"metadata": {"name": "default"}}
            await bench.call("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account, (201, 409))
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
        await fan_out(bench, options.watchers, options.events)
        if not options.keep:
            for path in (maps, pods, f"/api/v1/namespaces/{NAMESPACE}-watch/configmaps"):
                await bench.call("DELETE", path)
        text = (await bench.call("GET", "/metrics")).decode()
        for line in text.splitlines():
            if line.startswith("minikube_event_loop_lag_max_seconds "):
                print(f"loop lag, worst: {float(line.split()[1]) * 1e3:.1f} ms")
        return bench.results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.api", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--pid", type=int, help="the server's process, for CPU a request")
    parser.add_argument("--count", type=int, default=3000, help="ConfigMaps")
    parser.add_argument("--pods", type=int, default=3000)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0, help="of the light GET loop")
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--keep", action="store_true", help="leave the objects there")
    parser.add_argument("--json", type=Path, help="write the results there")
    options = parser.parse_args()
    try:
        import uvloop
    except ImportError:
        results = asyncio.run(run(options))
    else:
        results = uvloop.run(run(options))
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
