"""Probe state machines: results in, verdicts out. Pure.

Source: "Configure Liveness, Readiness and Startup Probes". A probe's first result waits for initialDelaySeconds; success needs
successThreshold in a row, failure failureThreshold in a row; thresholds count runs of equal results.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minikube_api.schema.typed import core_v1 as v1

ProbeKind = Literal["startup", "readiness", "liveness"]
Verdict = Literal["success", "failure", "none"]


@dataclass(frozen=True, slots=True)
class Settings:
    """A probe's numbers with Kubernetes' defaults; seconds."""

    initial_delay: float
    period: float
    timeout: float
    success_threshold: int
    failure_threshold: int

    @staticmethod
    def of(probe: v1.Probe) -> Settings:
        return Settings(
            initial_delay=float(probe.initialDelaySeconds or 0),
            period=float(probe.periodSeconds or 10),
            timeout=float(probe.timeoutSeconds or 1),
            success_threshold=probe.successThreshold or 1,
            failure_threshold=probe.failureThreshold or 3,
        )


@dataclass(slots=True)
class Machine:
    """One probe of one container. `observe(ok)` gives the verdict when this result decides something, else "none"."""

    settings: Settings
    last: bool | None = None
    run: int = 0

    def observe(self, ok: bool) -> Verdict:
        if ok == self.last:
            self.run += 1
        else:
            self.last, self.run = ok, 1
        threshold = self.settings.success_threshold if ok else self.settings.failure_threshold
        if self.run < threshold:
            return "none"
        return "success" if ok else "failure"

    def reset(self) -> None:
        """After a liveness failure: the next container starts from nothing."""
        self.last, self.run = None, 0
