"""What a starting cluster tells `minictl`: JSON lines on a descriptor, and the state file that `status` reads."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

#: when the user's command began (seconds since the epoch), handed over by `launch`; else when this process did
STARTED_AT = float(os.environ.get("MINIKUBE_PY_STARTED") or time.time())


class Reporter:
    """Reports go to the launcher while it listens; later ones are dropped with it."""

    def __init__(self, fd: int | None, *, human: bool = False) -> None:
        self._fd, self._human = fd, human
        self.warnings: list[str] = []
        #: whether the cluster has been ready once
        self.was_ready = False

    def warn(self, text: str) -> None:
        """Something that this machine can't give; shown at `up` and by `status`."""
        self.warnings.append(text)

    def send(self, report: dict[str, Any]) -> None:
        self.was_ready = self.was_ready or bool(report.get("ready"))
        if self._fd is None:
            return
        line = self._sentence(report) if self._human else json.dumps(report)
        if not line:
            return
        try:
            os.write(self._fd, line.encode() + b"\n")
        except BrokenPipeError:
            self._fd = None

    @staticmethod
    def _sentence(report: dict[str, Any]) -> str:
        if "error" in report:
            return f"Error: {report['error']}"
        if report.get("ready"):
            warnings = "".join(f"warning: {w}\n" for w in report["warnings"])
            return f"{warnings}cluster is up after {report['seconds']:.2f} s: {report['url']}\nexport KUBECONFIG={report['kubeconfig']}"
        return ""


class StateFile:
    """What `minictl status` reads: written when the cluster is ready, and whenever it changes afterwards."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._state: dict[str, Any] | None = None
        self._restarts: dict[str, dict[str, Any]] = {}

    def publish(self, state: dict[str, Any]) -> None:
        self._state = state
        self._write()

    def change(self, **fields: Any) -> None:
        """New values of fields; what changes before the first `publish` is in what that is given."""
        if self._state is not None:
            self._state |= fields
            self._write()

    def restarted(self, component: str, times: int, why: str) -> None:
        """A component had to be started anew: how often by now, and what ended it the last time."""
        self._restarts[component] = {"times": times, "last": why}
        self._write()

    def _write(self) -> None:
        if self._state is not None:
            write_state(self._path, {**self._state, "restarts": self._restarts})


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps(state, indent=1) + "\n")
    partial.rename(path)
