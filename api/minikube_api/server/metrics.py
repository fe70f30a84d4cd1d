"""What /metrics shows: requests, their durations, open watches, and the event loop's lag, under Kubernetes' names where it has them.

A request only bumps plain dictionaries; prometheus_client makes the text when somebody scrapes.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

from minikube_api.server.context import Request

#: seconds; kube-apiserver's apiserver_request_duration_seconds, thinned out
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LAG_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
#: seconds between two looks at the loop
LAG_EVERY = 0.1


class Histogram:
    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> Iterator[tuple[str, float]]:
        running = 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            running += count
            yield str(bound), running
        yield "+Inf", running + self.counts[-1]


class Metrics:
    """Counters of one server; also a prometheus_client collector."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, ...], int] = {}
        self.durations: dict[tuple[str, ...], Histogram] = {}
        self.in_flight = {"readOnly": 0, "mutating": 0}
        #: how many watches, logs and tunnels are open over HTTP; the server says where to ask
        self.long_running: Callable[[], int] = lambda: 0
        self.lag = Histogram(LAG_BUCKETS)
        self.lag_max = 0.0

    def observe(self, request: Request, code: int, seconds: float) -> None:
        info = request.info
        verb = info.verb.upper() if info.is_resource else request.method
        scope = ("resource" if info.name else "namespace" if info.namespace else "cluster") if info.is_resource else ""
        key = (verb, info.group, info.version, info.resource, info.subresource, scope)
        counted = (*key, str(code))
        self.requests[counted] = self.requests.get(counted, 0) + 1
        if verb in ("WATCH", "CONNECT"):
            return
        histogram = self.durations.get(key)
        if histogram is None:
            histogram = self.durations[key] = Histogram(BUCKETS)
        histogram.observe(seconds)

    async def watch_loop(self) -> None:
        """Measure how late the loop wakes up; runs until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            late = max(loop.time() - due, 0.0)
            self.lag.observe(late)
            self.lag_max = max(self.lag_max, late)

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        labels = ["verb", "group", "version", "resource", "subresource", "scope"]
        requests = CounterMetricFamily(
            "apiserver_request_total",
            "Counter of apiserver requests broken out for each verb, API resource and HTTP response code.",
            labels=[*labels, "code"],
        )
        for key, count in self.requests.items():
            requests.add_metric(list(key), count)
        yield requests
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "Response latency distribution in seconds.", labels=labels
        )
        for key, histogram in self.durations.items():
            durations.add_metric(list(key), list(histogram.cumulative()), histogram.total)
        yield durations
        flying = GaugeMetricFamily("apiserver_current_inflight_requests", "Requests being worked on.", labels=["request_kind"])
        for kind, number in self.in_flight.items():
            flying.add_metric([kind], number)
        yield flying
        running = GaugeMetricFamily("apiserver_longrunning_requests", "Open watches, logs, tunnels.")
        running.add_metric([], self.long_running())
        yield running
        lag = HistogramMetricFamily("minikube_event_loop_lag_seconds", "How late the event loop woke up.")
        lag.add_metric([], list(self.lag.cumulative()), self.lag.total)
        yield lag
        worst = GaugeMetricFamily("minikube_event_loop_lag_max_seconds", "The latest the event loop ever woke up.")
        worst.add_metric([], self.lag_max)
        yield worst

    def text(self, collectors: tuple[Callable[[], Iterator[Any]], ...] = ()) -> bytes:
        """The exposition, with those of further collectors."""
        from prometheus_client import CollectorRegistry, generate_latest
        from prometheus_client.process_collector import ProcessCollector

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)  # type: ignore[arg-type]
        ProcessCollector(registry=registry)
        for collect in collectors:
            registry.register(_Collector(collect))  # type: ignore[arg-type]
        return generate_latest(registry)


class _Collector:
    def __init__(self, collect: Callable[[], Iterator[Any]]) -> None:
        self.collect = collect
