"""Cells of a Pod: the status column sums up container states as `kubectl get pods` shows them.

Source: pkg/printers/internalversion, printPod. A sidecar (init container with restartPolicy Always) counts among the ready ones.
"""

from __future__ import annotations

from typing import Any

from minikube_api.meta import conditions, times
from minikube_api.resources.tables.text import NONE, Object, age, since, spec_of, status_of


def pod(obj: Object, now: float) -> list[Any]:
    spec, status = spec_of(obj), status_of(obj)
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    total = len(spec.get("containers") or ()) + len(sidecars)
    summary = _Summary(obj, sidecars)
    restarts = str(summary.restarts)
    if summary.restarts and summary.last_restart:
        restarts = f"{summary.restarts} ({since(summary.last_restart, now)} ago)"
    return [
        obj["metadata"]["name"],
        f"{summary.ready}/{total}",
        summary.reason,
        restarts,
        age(obj, now),
        status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _readiness_gates(spec, status),
    ]


class _Summary:
    """Ready and restart counts and the reason, from the container statuses."""

    def __init__(self, obj: Object, sidecars: set[str]) -> None:
        status = status_of(obj)
        phase = status.get("phase") or ""
        self.ready = 0
        self.restarts = 0
        self.last_restart = ""
        self.reason = status.get("reason") or phase
        listed = status.get("conditions") or ()
        scheduled = conditions.find(listed, "PodScheduled")
        if scheduled and scheduled.get("reason") == "SchedulingGated":
            self.reason = "SchedulingGated"
        if not self._initializing(obj, sidecars) or conditions.is_true(listed, "Initialized"):
            self._containers(status.get("containerStatuses") or (), listed)
        if obj["metadata"].get("deletionTimestamp"):
            if status.get("reason") == "NodeLost":
                self.reason = "Unknown"
            elif phase not in ("Succeeded", "Failed"):
                self.reason = "Terminating"

    def _initializing(self, obj: Object, sidecars: set[str]) -> bool:
        """Whether an init container has still to end; restarts of sidecars alone stay counted when none has."""
        init = spec_of(obj).get("initContainers") or ()
        restarts, last, initializing = 0, "", False
        for i, container in enumerate(status_of(obj).get("initContainerStatuses") or ()):
            ended = _last_end(container)
            self.restarts += container.get("restartCount", 0)
            self.last_restart = max(self.last_restart, ended)
            sidecar = container.get("name") in sidecars
            if sidecar:
                restarts += container.get("restartCount", 0)
                last = max(last, ended)
            terminated, waiting = _state(container, "terminated"), _state(container, "waiting")
            if terminated is not None and not terminated.get("exitCode"):
                continue
            if sidecar and container.get("started"):
                self.ready += bool(container.get("ready"))
                continue
            if terminated is not None:
                self.reason = "Init:" + (terminated.get("reason") or _exit(terminated))
            elif waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
                self.reason = "Init:" + waiting["reason"]
            else:
                self.reason = f"Init:{i}/{len(init)}"
            initializing = True
            break
        if not initializing or conditions.is_true(status_of(obj).get("conditions"), "Initialized"):
            self.restarts, self.last_restart = restarts, last
        return initializing

    def _containers(self, statuses: Any, listed: Any) -> None:
        running = False
        for container in reversed(statuses):
            self.restarts += container.get("restartCount", 0)
            self.last_restart = max(self.last_restart, _last_end(container))
            waiting, terminated = _state(container, "waiting"), _state(container, "terminated")
            if waiting and waiting.get("reason"):
                self.reason = waiting["reason"]
            elif terminated is not None:
                self.reason = terminated.get("reason") or _exit(terminated)
            elif container.get("ready") and _state(container, "running") is not None:
                running = True
                self.ready += 1
        if self.reason == "Completed" and running:
            self.reason = "Running" if conditions.is_true(listed, "Ready") else "NotReady"


def _state(container: Object, name: str) -> Object | None:
    return (container.get("state") or {}).get(name)


def _last_end(container: Object) -> str:
    """RFC 3339 in UTC, so that the text order is the order of time."""
    finished = ((container.get("lastState") or {}).get("terminated") or {}).get("finishedAt") or ""
    return times.normalize(finished) if finished else ""


def _exit(terminated: Object) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _readiness_gates(spec: Object, status: Object) -> str:
    gates = spec.get("readinessGates")
    if not gates:
        return NONE
    met = sum(conditions.is_true(status.get("conditions"), gate.get("conditionType", "")) for gate in gates)
    return f"{met}/{len(gates)}"


_ENDED = {
    "Succeeded": [
        {"type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."}
    ],
    "Failed": [{"type": "Completed", "status": "True", "reason": "Failed", "message": "The pod failed."}],
}


def pod_row_conditions(obj: Object) -> list[dict[str, Any]]:
    return _ENDED.get(status_of(obj).get("phase", ""), [])
