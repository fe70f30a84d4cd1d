"""What all benches share: a way to any API server by kubeconfig, the figures of a phase, the table and the JSON of them.

Costs are the server's own where it can be seen: CPU seconds by process id (`--pid`), and how late its event loop woke up, read from
/metrics before and after a phase (only this project's server has that metric; others show "-").
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
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import psutil
import yaml

T = TypeVar("T")


@dataclass
class Result:
    """One line of the table. Figures that could not be had are None."""

    name: str
    count: int
    seconds: float
    rate: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    #: server CPU microseconds per request (or event, or pod): a mean over the phase
    cpu_us: float | None = None
    #: the same of the median request; only for phases with one request at a time, where CPU can be told apart by request
    cpu_p50_us: float | None = None
    #: how late the server's loop woke up during the phase: 99 of 100 times at most (a bucket's bound); at worst
    lag_p99_ms: float | None = None
    lag_max_ms: float | None = None


HEAD = f"{'':38} {'per second':>10} {'p50 ms':>9} {'p99 ms':>9} {'cpu us':>8} {'cpu p50':>8} {'lag p99':>8} {'lag max':>8}"


def line(result: Result) -> str:
    def shown(value: float | None, width: int, digits: int) -> str:
        return f"{value:{width}.{digits}f}" if value is not None else f"{'-':>{width}}"

    return (
        f"{result.name:38} {result.rate:10.0f} {shown(result.p50_ms, 9, 2)} {shown(result.p99_ms, 9, 2)}"
        f" {shown(result.cpu_us, 8, 0)} {shown(result.cpu_p50_us, 8, 0)}"
        f" {shown(result.lag_p99_ms, 8, 1)} {shown(result.lag_max_ms, 8, 1)}"
    )


@dataclass
class Lag:
    """The loop lag histogram at one moment: counts at most so late, by bound in seconds."""

    counts: dict[float, float]
    worst: float

    def since(self, before: Lag) -> tuple[float, float]:
        """(p99, worst) in milliseconds since `before`. `worst` is a bucket's bound unless the server's record was broken meanwhile."""
        grown = {bound: count - before.counts.get(bound, 0) for bound, count in sorted(self.counts.items())}
        total = max(grown.values(), default=0)
        p99 = next((bound for bound, count in grown.items() if count >= total * 0.99), 0.0)
        most = next((bound for bound, count in grown.items() if count >= total), 0.0)
        worst = self.worst if self.worst > before.worst else min(most, self.worst)
        return min(p99, self.worst) * 1e3, worst * 1e3


_LAG = re.compile(r'^minikube_event_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_WORST = re.compile(r"^minikube_event_loop_lag_max_seconds (\S+)$", re.MULTILINE)


def parse_lag(metrics: str) -> Lag | None:
    worst = _WORST.search(metrics)
    return Lag({float(b): float(c) for b, c in _LAG.findall(metrics)}, float(worst[1])) if worst else None


class Target:
    """A cluster by its kubeconfig: base URL, TLS context, headers."""

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
            self.tls = _tls(cluster, user)


def _tls(cluster: dict[str, str], user: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if "certificate-authority-data" in cluster:
        context.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    elif "certificate-authority" in cluster:
        context.load_verify_locations(cluster["certificate-authority"])
    if "client-certificate-data" in user:
        with tempfile.TemporaryDirectory() as directory:
            certificate, key = Path(directory, "c"), Path(directory, "k")
            certificate.write_bytes(base64.b64decode(user["client-certificate-data"]))
            key.write_bytes(base64.b64decode(user["client-key-data"]))
            context.load_cert_chain(certificate, key)
    elif "client-certificate" in user:
        context.load_cert_chain(user["client-certificate"], user["client-key"])
    return context


class Bench:
    """Phases against one server: each is timed, costed and printed as it ends."""

    def __init__(self, target: Target, session: aiohttp.ClientSession, pid: int | None = None, in_flight: int = 32) -> None:
        self.target = target
        self.session = session
        self.server = psutil.Process(pid) if pid else None
        self.in_flight = in_flight
        self.results: list[Result] = []

    def cpu(self) -> float:
        """Seconds of the server's CPU so far."""
        if self.server is None:
            return 0.0
        used = self.server.cpu_times()
        return used.user + used.system

    async def lag(self) -> Lag | None:
        return parse_lag((await self.call("GET", "/metrics", ok=(200, 403, 404))).decode())

    def ran(self) -> float:
        """Seconds the server's threads ran so far, by the scheduler's own count: nanoseconds, where `cpu` counts ticks of 10 ms."""
        assert self.server is not None
        tasks = Path("/proc", str(self.server.pid), "task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    async def measure(self, name: str, count: int, one: Callable[[int], Awaitable[Any]], in_flight: int | None = None) -> None:
        """Do `one(i)` for i < count, at most `in_flight` at a time."""
        cpu: list[float] = []

        async def costed(i: int) -> None:
            before = self.ran()
            await one(i)
            cpu.append(self.ran() - before)

        async def all_of_them() -> tuple[int, list[float]]:
            alone = in_flight == 1 and self.server is not None
            return count, await spread(count, in_flight or self.in_flight, costed if alone else one)

        await self.phase(name, all_of_them, cpu)

    async def phase(
        self, name: str, work: Callable[[], Coroutine[Any, Any, tuple[int, list[float]]]], costs: Sequence[float] = ()
    ) -> None:
        """`work` returns how many requests (events, pods) it did, and the seconds each took ([]: not known).

        `costs` holds, when it is done, the seconds of CPU that each request cost (nothing: not known).
        """
        before = await self.lag()
        cpu, began = self.cpu(), time.perf_counter()
        count, took = await work()
        seconds, cpu = time.perf_counter() - began, self.cpu() - cpu
        after = await self.lag()
        self.note(name, count, seconds, took, cpu, after.since(before) if after and before else None, costs)

    def note(
        self,
        name: str,
        count: int,
        seconds: float,
        took: list[float],
        cpu: float,
        lag: tuple[float, float] | None,
        costs: Sequence[float] = (),
    ) -> None:
        result = result_of(name, count, seconds, took)
        result.cpu_us = cpu / count * 1e6 if self.server is not None else None
        if costs:
            result.cpu_p50_us = sorted(costs)[len(costs) // 2] * 1e6
        result.lag_p99_ms, result.lag_max_ms = lag or (None, None)
        if not self.results:
            print(HEAD)
        self.results.append(result)
        print(line(result), flush=True)

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

    async def namespace(self, name: str) -> None:
        """The namespace with its default service account, made here where no controller does it."""
        await self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, (201, 409))
        account = {"metadata": {"name": "default"}}
        await self.call("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account, (201, 409))


async def spread(count: int, in_flight: int, one: Callable[[int], Awaitable[Any]]) -> list[float]:
    """Do `one(i)` for i < count, `in_flight` at a time; the seconds each took."""
    took: list[float] = []
    numbers = iter(range(count))

    async def worker() -> None:
        for i in numbers:
            began = time.perf_counter()
            await one(i)
            took.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for n in range(min(in_flight, count)):
            group.create_task(worker(), name=f"bench-{n}")
    return took


def result_of(name: str, count: int, seconds: float, took: list[float]) -> Result:
    ordered = sorted(took)
    result = Result(name, count, seconds, count / seconds if seconds else 0.0)
    if ordered:
        result.p50_ms = ordered[len(ordered) // 2] * 1e3
        result.p99_ms = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)] * 1e3
    return result


@asynccontextmanager
async def bench(options: argparse.Namespace) -> AsyncIterator[Bench]:
    """A bench of the cluster that `arguments` named."""
    target = Target(options.kubeconfig)
    connector = aiohttp.TCPConnector(ssl=target.tls or False, limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=target.headers, read_bufsize=1 << 20) as session:
        yield Bench(target, session, options.pid, getattr(options, "in_flight", 32))


def arguments(name: str, description: str | None, *, kubeconfig: bool = True) -> argparse.ArgumentParser:
    """A parser with what every bench takes."""
    parser = argparse.ArgumentParser(
        prog=f"python -m bench.{name}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kubeconfig", type=Path, required=kubeconfig, metavar="FILE")
    parser.add_argument("--pid", type=int, help="the server's process, for its CPU")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


def finish(options: argparse.Namespace, results: list[Result]) -> None:
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")


def run(main: Coroutine[Any, Any, T]) -> T:
    """On the loop that clients of this kind would use."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
