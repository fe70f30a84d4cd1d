"""Whole clusters for tests, driven as a user drives them (`minictl`), ended whatever happens, and looked after for what they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api_processes import Http, is_alive, kill, wait_for

MINICTL = [str(Path(sys.executable).with_name("minictl"))]

PODS = "/api/v1/namespaces/default/pods"
NODES = "/api/v1/nodes"


@dataclass
class Cluster:
    """One cluster under `home`. `up` may be called again after a crash."""

    name: str
    home: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    _http: Http | None = None

    @property
    def data(self) -> Path:
        return self.home / self.name

    def minictl(self, *arguments: str, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "MINIKUBE_PY_HOME": str(self.home), **self.environment}
        done = subprocess.run(
            [*MINICTL, *arguments], env=environment, capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
        if check:
            assert done.returncode == 0, f"minictl {' '.join(arguments)}: {done.stdout}{done.stderr}{self.log_end()}"
        return done

    def up(self, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        self.forget()
        return self.minictl("up", "--name", self.name, "--listen", "127.0.0.1:0", *self.options, *more, check=check)

    def down(self, *more: str) -> subprocess.CompletedProcess[str]:
        self.forget()
        return self.minictl("down", "--name", self.name, *more)

    def state(self) -> dict[str, Any]:
        return json.loads(self.minictl("status", "--name", self.name, "-o", "json").stdout)[0]

    def log_end(self) -> str:
        log = self.data / "logs" / "cluster.log"
        return f"\n--- end of {log}\n{log.read_text(errors='replace')[-3000:]}" if log.exists() else ""

    @property
    def http(self) -> Http:
        if self._http is None:
            self._http = Http.from_kubeconfig(self.data / "kubeconfig")
        return self._http

    def forget(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    # what tests ask again and again

    def pod(self, name: str, namespace: str = "default") -> dict[str, Any]:
        return self.http.get(f"/api/v1/namespaces/{namespace}/pods/{name}")

    def run(self, name: str, *commands: str, **spec: Any) -> dict[str, Any]:
        """A pod of one container (c0) a shell command."""
        containers = [shell(f"c{i}", command) for i, command in enumerate(commands)]
        body = {
            "metadata": {"name": name},
            "spec": {"containers": containers, "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, **spec},
        }
        return self.http.ok("POST", PODS, body)

    def until_ready(self, name: str, *, seconds: float = 20.0) -> dict[str, Any]:
        try:
            return wait_for(
                lambda: (p := self.pod(name)) and condition(p, "Ready") == "True" and p, f"{name} Ready", seconds=seconds
            )
        except AssertionError as error:
            raise AssertionError(f"{error}: {json.dumps(self.pod(name)['status'])[:2000]}{self.log_end()}") from None

    def log(self, name: str, **query: str) -> str:
        text = "&".join(f"{k}={v}" for k, v in query.items())
        status, data = self.http.raw("GET", f"{PODS}/{name}/log?{text}")
        assert status == 200, data
        return data.decode()

    def executed(self, name: str, command: str, container: str = "c0") -> str:
        done = self.minictl(
            "exec", "--kubeconfig", str(self.data / "kubeconfig"), "-c", container, name, "--", "sh", "-c", command
        )
        return done.stdout

    def own_pids(self) -> list[int]:
        """Every process whose command line names the data directory: daemon, components, shims."""
        return sorted(pid for pid, line in command_lines() if str(self.data) in line)

    def kill_all_but_shims(self) -> None:
        shims = set(self.state()["shims"])
        for pid in self.own_pids():
            if pid not in shims:
                kill(pid)
        self.forget()

    def kill_everything(self) -> None:
        """SIGKILL of all, shims too, the supervisors first so that nothing comes back."""
        pids = self.own_pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in pids:
            wait_for(lambda pid=pid: not is_alive(pid), f"the end of {pid}", seconds=5)
        self.forget()


def shell(name: str, command: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "host", "command": ["sh", "-c", command], **more}


def condition(obj: dict[str, Any], kind: str) -> str:
    return next((c["status"] for c in obj.get("status", {}).get("conditions", ()) if c["type"] == kind), "")


def container_status(pod: dict[str, Any], name: str = "c0") -> dict[str, Any]:
    return next(s for s in pod["status"]["containerStatuses"] if s["name"] == name)


def command_lines() -> Iterator[tuple[int, str]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                line = Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if is_alive(int(entry.name)):
                    yield int(entry.name), line


def processes_in(directory: Path) -> set[int]:
    """Processes that name the directory, or see a mount out of it: daemons, shims and containers."""
    found = {pid for pid, line in command_lines() if str(directory) in line}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) not in (os.getpid(), os.getppid()):
            with contextlib.suppress(OSError):
                if str(directory) in Path(entry.path, "mounts").read_text() and is_alive(int(entry.name)):
                    found.add(int(entry.name))
    return found


def links() -> set[str]:
    """The host's links that clusters make."""
    return {name for name in os.listdir("/sys/class/net") if name.startswith("mkpy")}


def tables() -> set[str]:
    if shutil.which("nft") is None or os.geteuid():
        return set()
    listing = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    return set(re.findall(r"table (\S+ \S*minikube\S*)", listing))


def mounts(directory: Path) -> set[str]:
    return {line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line}


def cgroups(needle: str) -> set[str]:
    return {path for path, _, _ in os.walk("/sys/fs/cgroup") if needle in path}


def leftovers(cluster: Cluster) -> dict[str, Any]:
    """What of this cluster is still on the machine, by kind; empty when nothing."""
    journal = cluster.data / "cleanup.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()] if journal.exists() else []
    found: dict[str, Any] = {
        "processes": processes_in(cluster.data),
        "mounts": mounts(cluster.data),
        "tables": {t for t in tables() if cluster.name.replace("-", "_") in t.replace("-", "_")},
        "journal": entries,
    }
    return {kind: what for kind, what in found.items() if what}


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A short directory (Unix sockets live in it) for clusters of one test; all of them are ended at the end."""
    path = Path(tempfile.mkdtemp(prefix="mkt"))
    try:
        yield path
    finally:
        names = [data.name for data in path.iterdir()]
        for data in path.iterdir():
            if (data / "cluster.json").exists():
                Cluster(data.name, path).minictl("down", "--name", data.name, "--purge", check=False)
        for pid in processes_in(path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for table in tables():  # what a `down` that failed did not remove
            if any(table.endswith("_" + name.replace("-", "_")) for name in names):
                subprocess.run(["nft", "delete", "table", *table.split()])
        shutil.rmtree(path, ignore_errors=True)


_count = 0


@contextlib.contextmanager
def running(*options: str, name: str = "") -> Iterator[Cluster]:
    """A cluster of its own that is up; ended with its data at the end."""
    global _count
    _count += 1
    with home() as path:
        cluster = Cluster(name or f"t{os.getpid() % 100000}-{_count}", path, options)
        try:
            cluster.up()
            yield cluster
        finally:
            cluster.forget()
