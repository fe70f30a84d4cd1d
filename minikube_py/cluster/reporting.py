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


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".new")
    partial.write_text(json.dumps(state, indent=1) + "\n")
    partial.rename(path)
