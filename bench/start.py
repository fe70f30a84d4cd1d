"""How long a cluster takes to start, and what it costs at rest: `python -m bench.start [--runs 10] [--rest 60] [-- up options]`.

Measures, each on this machine and over real processes: `minictl up` from process spawn to its return (API ready, nodes Ready), with new
data and with kept data; then, `--rest` seconds after Ready and after one `minictl get`, the PSS of all processes of the cluster
and their CPU time over ten seconds. `--objects 10000` measures the start on data that holds so many ConfigMaps, too. Prints a table, and JSON
with `--json`. PYTHONDONTWRITEBYTECODE is taken out of the environment: with it every start would compile every module.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench import measuring

TARGETS = {"up, new data (s)": 1.0, "up, kept data (s)": 1.0, "PSS (MB)": 100.0, "idle CPU (% of a core)": 1.0}


def minictl(*arguments: str, home: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"MINIKUBE_PY_HOME": home}
    command = [str(Path(sys.executable).with_name("minictl")), *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def members(pid: int) -> list[psutil.Process]:
    """The daemon and everything below it, and the shims (children of init) that name its data directory."""
    daemon = psutil.Process(pid)
    found = {p.pid: p for p in [daemon, *daemon.children(recursive=True)]}
    directory = next((a for a, b in zip(daemon.cmdline()[1:], daemon.cmdline(), strict=False) if b == "--data-dir"), "")
    for process in psutil.process_iter(["cmdline"]):
        if directory and any(directory in part for part in process.info["cmdline"] or ()):
            found |= {p.pid: p for p in [process, *process.children(recursive=True)]}
    return list(found.values())


def pss(processes: list[psutil.Process]) -> float:
    """Megabytes."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def cpu(processes: list[psutil.Process]) -> float:
    """Seconds of CPU so far."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def up_seconds(home: str, options: list[str]) -> float:
    began = time.monotonic()
    minictl("up", "--listen", "127.0.0.1:0", *options, home=home)
    return time.monotonic() - began


def rest(home: str, seconds: float) -> dict[str, float]:
    """Memory and CPU of the running cluster after a rest."""
    pid = json.loads(minictl("status", "-o", "json", home=home))[0]["pid"]
    time.sleep(seconds)
    minictl("get", "nodes", home=home)
    processes = members(pid)
    before = cpu(processes)
    time.sleep(10)
    used = cpu(members(pid)) - before
    return {"PSS (MB)": pss(members(pid)), "idle CPU (% of a core)": used * 10, "processes": len(processes)}


def restart_with(home: str, objects: int, options: list[str]) -> dict[str, float]:
    """Start on data that holds so many ConfigMaps."""

    async def fill(kubeconfig: Path) -> None:
        options = argparse.Namespace(kubeconfig=kubeconfig, pid=None)
        async with measuring.bench(options) as bench:
            path, data = "/api/v1/namespaces/default/configmaps", {"key": "v" * 500}
            await measuring.spread(
                objects, 32, lambda i: bench.call("POST", path, {"metadata": {"name": f"c-{i}"}, "data": data})
            )

    up_seconds(home, options)
    measuring.run(fill(Path(json.loads(minictl("status", "-o", "json", home=home))[0]["kubeconfig"])))
    took = []
    for _ in range(3):
        minictl("down", home=home)
        took.append(up_seconds(home, options))
    minictl("down", "--purge", home=home)
    return {f"up, {objects} objects (s)": statistics.median(took)}


def measure(runs: int, wait: float, objects: int, options: list[str]) -> dict[str, float]:
    fresh, kept = [], []
    home = tempfile.mkdtemp(prefix="bench-start-")
    try:
        for _ in range(runs):
            fresh.append(up_seconds(home, options))
            minictl("down", home=home)
            kept.append(up_seconds(home, options))
            minictl("down", "--purge", home=home)
        figures = {"up, new data (s)": statistics.median(fresh), "up, kept data (s)": statistics.median(kept)}
        figures |= {"up, new data, worst (s)": max(fresh), "up, kept data, worst (s)": max(kept)}
        up_seconds(home, options)
        figures |= rest(home, wait)
        minictl("down", "--purge", home=home)
        if objects:
            figures |= restart_with(home, objects, options)
        return figures
    finally:
        shutil.rmtree(home, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.start", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rest", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--objects", type=int, default=0, metavar="N", help="measure a start on data with N objects, too")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("options", nargs="*", help="options of `minictl up`, after --")
    arguments = parser.parse_args()
    figures = measure(arguments.runs, arguments.rest, arguments.objects, arguments.options)
    for name, value in figures.items():
        target = f"target < {TARGETS[name]:g}" if name in TARGETS else ""
        print(f"{name:<28} {value:>8.2f}  {target}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
