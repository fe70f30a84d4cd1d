"""What admission shows on /metrics: calls of webhooks, under Kubernetes' names.

A call only bumps plain dictionaries; prometheus_client's families are made when somebody scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minikube_api.server.metrics import Histogram

#: seconds; those of kube-apiserver's webhook histogram
BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
#: codes above are shown as this one, so that webhooks can't make up ever new ones
_HIGHEST_CODE = 600


class AdmissionMetrics:
    def __init__(self) -> None:
        self._durations: dict[tuple[str, ...], Histogram] = {}
        self._requests: dict[tuple[str, ...], int] = {}
        self._rejections: dict[tuple[str, ...], int] = {}
        self._fail_open: dict[tuple[str, ...], int] = {}

    def called(self, name: str, kind: str, operation: str, seconds: float, code: int, *, rejected: bool) -> None:
        """A webhook was asked. `kind` is admit or validating; `code` what it answered, 0 for no answer."""
        told = str(rejected).lower()
        _add(self._requests, (name, kind, operation, str(min(code, _HIGHEST_CODE)), told))
        histogram = self._durations.get((name, kind, operation, told))
        if histogram is None:
            histogram = self._durations[name, kind, operation, told] = Histogram(BUCKETS)
        histogram.observe(seconds)

    def rejected(self, name: str, kind: str, operation: str, error: str, code: int) -> None:
        """A request was refused. `error`: no_error, calling_webhook_error or apiserver_internal_error."""
        _add(self._rejections, (name, kind, operation, error, str(min(code, _HIGHEST_CODE))))

    def failed_open(self, name: str, kind: str) -> None:
        _add(self._fail_open, (name, kind))

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import HistogramMetricFamily, Metric

        durations = HistogramMetricFamily(
            "apiserver_admission_webhook_admission_duration_seconds",
            "Admission webhook latency in seconds.",
            labels=["name", "type", "operation", "rejected"],
        )
        for key, histogram in self._durations.items():
            durations.add_metric(list(key), list(histogram.cumulative()), histogram.total)
        yield durations
        for name, text, labels, counts in (
            ("request_total", "Admission webhook requests.", ["name", "type", "operation", "code", "rejected"], self._requests),
            (
                "rejection_count",
                "Requests that admission webhooks refused.",
                ["name", "type", "operation", "error_type", "rejection_code"],
                self._rejections,
            ),
            ("fail_open_count", "Admission webhook failures that were ignored.", ["name", "type"], self._fail_open),
        ):
            # prometheus_client's own counters are all called *_total, Kubernetes' are not: so their type stays untold
            ending = name.endswith("_total")
            family = Metric(
                f"apiserver_admission_webhook_{name.removesuffix('_total')}", text, "counter" if ending else "unknown"
            )
            for key, count in counts.items():
                family.add_sample(f"apiserver_admission_webhook_{name}", dict(zip(labels, key, strict=True)), count)
            yield family


def _add(counts: dict[tuple[str, ...], int], key: tuple[str, ...]) -> None:
    counts[key] = counts.get(key, 0) + 1
