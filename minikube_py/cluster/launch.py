"""Start and stop a cluster from outside: spawn the daemon, follow its reports until it is ready, end it again.

Standard library only: `minictl up` runs this before anything heavy is imported anywhere.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from minikube_py.cluster.layout import Layout, lock_holder
from minikube_py.cluster.spec import ClusterSpec


class LaunchError(Exception):
    """The cluster did not come up or go down; the message says why and where the log is."""


def launch(spec: ClusterSpec, *, timeout: float, on_report: Callable[[dict], None] = lambda report: None) -> dict:
    """Start the daemon in the background and wait for its ready report, which is returned.

    The report has `url`, `kubeconfig`, `seconds`, `pid`, `warnings`. Raises LaunchError; the daemon is ended then.
    """
    layout = Layout(spec.data_dir)
    read, write = os.pipe()
    log = os.open(layout.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "minikube_py.cluster", "--data-dir", str(layout.data), "--report-fd", str(write)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write,),
            start_new_session=True,
            cwd="/",
            env={**os.environ, "MINIKUBE_PY_STARTED": repr(time.time())},
        )
    finally:
        os.close(write)
        os.close(log)
    try:
        return _follow(read, process, layout, timeout, on_report)
    except BaseException:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        raise
    finally:
        os.close(read)


def _follow(read: int, process: subprocess.Popen, layout: Layout, timeout: float, on_report: Callable[[dict], None]) -> dict:
    deadline = time.monotonic() + timeout
    pending = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise LaunchError(f"the cluster was not ready after {timeout:.0f} s; see {layout.log}")
        if not select.select([read], [], [], left)[0]:
            continue
        data = os.read(read, 65536)
        if not data:
            code = process.wait(10)
            raise LaunchError(f"the cluster process ended with exit code {code}; see {layout.log}{_last_line(layout.log)}")
        pending += data
        *lines, pending = pending.split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "error" in report:
                process.wait(30)
                raise LaunchError(report["error"])
            on_report(report)
            if report.get("ready"):
                return report


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-1:]
    return f": {lines[0]}" if lines else ""


def stop(layout: Layout, *, timeout: float = 30.0) -> bool:
    """End the running daemon (SIGTERM, then SIGKILL); False when none ran. What it left is removed by `clean`."""
    pid = lock_holder(layout)
    if pid is None:
        return False
    if pid <= 0:
        raise LaunchError(f"{layout.lock} is held by an unknown process")
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    deadline = time.monotonic() + timeout
    while lock_holder(layout) is not None:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + 5
        time.sleep(0.02)
    return True
