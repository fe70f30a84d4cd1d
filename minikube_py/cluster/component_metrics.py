"""What controllers and scheduler of an all-in-one cluster show on the API server's /metrics, under Kubernetes' names.

They have no port of their own in one process. Each life of a component registers what it counts in place of the former one; the families of
prometheus_client are made when somebody scrapes. Counters begin at zero with every life, as a restarted process' do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minikube_py.controllers.controller_manager import ControllerManager
    from minikube_py.scheduler.scheduler import Scheduler

Collect = Callable[[], Iterator[Any]]


class ComponentMetrics:
    """`collect` is a further collector of the server's /metrics."""

    def __init__(self) -> None:
        self._sources: dict[str, Collect] = {}

    def register(self, component: str, collect: Collect) -> None:
        self._sources[component] = collect

    def collect(self) -> Iterator[Any]:
        for source in self._sources.values():
            yield from source()


def of_controllers(manager: ControllerManager) -> Iterator[Any]:
    """Work queues (client-go's metrics) and reconciliations (controller-runtime's) by controller."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    depth = GaugeMetricFamily("workqueue_depth", "Current depth of workqueue", labels=["name"])
    adds = CounterMetricFamily("workqueue_adds_total", "Total number of adds handled by workqueue", labels=["name"])
    retries = CounterMetricFamily("workqueue_retries_total", "Total number of retries handled by workqueue", labels=["name"])
    active = GaugeMetricFamily(
        "controller_runtime_active_workers", "Number of currently used workers per controller", labels=["controller"]
    )
    done = CounterMetricFamily(
        "controller_runtime_reconcile_total", "Total number of reconciliations per controller", labels=["controller", "result"]
    )
    for name, controller in manager.controllers.items():
        queue, counts = controller.queue, controller.metrics
        depth.add_metric([name], len(queue))
        adds.add_metric([name], queue.adds)
        retries.add_metric([name], queue.retries)
        active.add_metric([name], counts.active)
        failed = counts.errors + counts.terminal_errors
        done.add_metric([name, "error"], failed)
        done.add_metric([name, "requeue_after"], counts.requeues)
        done.add_metric([name, "success"], counts.reconciles - failed - counts.requeues - counts.active)
    yield from (depth, adds, retries, active, done)


def of_scheduler(scheduler: Scheduler) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    pending = GaugeMetricFamily("scheduler_pending_pods", "Number of pending pods, by the queue type.", labels=["queue"])
    for queue, count in scheduler.queue.counts.items():
        pending.add_metric([queue], count)
    yield pending
    attempts = CounterMetricFamily(
        "scheduler_schedule_attempts_total", "Number of attempts to schedule pods, by the result.", labels=["profile", "result"]
    )
    for result, count in (
        ("scheduled", scheduler.scheduled),
        ("unschedulable", scheduler.refused),
        ("error", scheduler.failed),
    ):
        attempts.add_metric([scheduler.options.name, result], count)
    yield attempts
