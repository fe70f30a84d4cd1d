"""Whole clusters for the tests, started and taken down with `minictl` as a user does; and kubectl and Helm pointed at them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e import tools

#: seconds a single command may take before it is killed and its test fails
COMMAND_LIMIT = 45.0


@dataclass(frozen=True)
class Result:
    """What a command answered."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def rows(self) -> list[list[str]]:
        """The words of each line: the way to read a table."""
        return [line.split() for line in self.lines]


class CommandFailed(AssertionError):
    def __init__(self, argv: Sequence[str], result: Result) -> None:
        super().__init__(f"{' '.join(argv)}: exit code {result.code}\n{result.out}{result.err}")
        self.result = result


@dataclass(frozen=True)
class Program:
    """A command-line client of one cluster, called with its arguments: `kubectl("get", "pods")`."""

    path: Path
    environment: dict[str, str]
    flags: tuple[str, ...] = ()

    def argv(self, *arguments: str) -> list[str]:
        return [str(self.path), *self.flags, *arguments]

    def __call__(
        self,
        *arguments: str,
        stdin: str | None = None,
        check: bool = True,
        env: dict[str, str] | None = None,
        limit: float = COMMAND_LIMIT,
    ) -> Result:
        argv = self.argv(*arguments)
        done = subprocess.run(
            argv,
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
            env=self.environment | (env or {}),
        )
        result = Result(done.stdout, done.stderr, done.returncode)
        if check and done.returncode:
            raise CommandFailed(argv[:1] + list(arguments), result)
        return result

    @contextlib.contextmanager
    def running(self, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
        """The command in the background; killed at the end of the block."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | options
        process = subprocess.Popen(self.argv(*arguments), text=True, env=self.environment, **options)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)
            for stream in (process.stdin, process.stdout):
                if stream:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()

    def within(self, namespace: str) -> Program:
        return Program(self.path, self.environment | {"HELM_NAMESPACE": namespace}, ("--namespace", namespace))

    def apply(self, *documents: dict[str, Any], **options: Any) -> Result:
        listing = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
        return self("apply", "-f", "-", stdin=json.dumps(listing), **options)


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    name: str
    home: Path
    kubeconfig: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def kubectl(self) -> Program:
        return Program(tools.binary("kubectl"), self.environment)

    @property
    def helm(self) -> Program:
        return Program(tools.binary("helm"), self.environment)

    @property
    def nodes(self) -> tuple[str, str]:
        return (f"{self.name}-node-1", f"{self.name}-node-2")


def minictl(home: Path, *arguments: str, limit: float = 90.0) -> Result:
    argv = [str(Path(sys.executable).with_name("minictl")), *arguments]
    environment = os.environ | {"MINIKUBE_PY_HOME": str(home)}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=limit, check=False, env=environment)
    result = Result(done.stdout, done.stderr, done.returncode)
    if done.returncode:
        raise CommandFailed(["minictl", *arguments], result)
    return result


@contextlib.contextmanager
def started(name: str, *options: str) -> Iterator[Cluster]:
    """A cluster with two nodes for the length of the block; whatever happens in it, `down --purge` follows.

    Should `down` fail, the directory stays: the journal in it is what a later `down` needs to take everything away.
    """
    name = f"{name}-{os.getpid()}"
    home = Path(tempfile.mkdtemp(prefix="mkpy-e2e-"))
    home.chmod(0o755)  # containers of other users read their volumes below it
    kubeconfig = home / "kubeconfig"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KUBECONFIG": str(kubeconfig),
        "KUBECACHEDIR": str(home / "kube-cache"),
    }
    try:
        _up(home, name, "--kubeconfig", str(kubeconfig), *options)
        yield Cluster(name, home, kubeconfig, environment)
    finally:
        minictl(home, "down", "--name", name, "--purge", limit=180.0)
        shutil.rmtree(home)


def _up(home: Path, name: str, *options: str) -> None:
    try:
        minictl(home, "up", "--name", name, "--listen", "127.0.0.1:0", *options)
    except CommandFailed as error:
        for log in sorted((home / name / "logs").glob("*.log")):
            error.add_note(f"{log.name}:\n{log.read_text()[-4000:]}")
        raise


def eventually(claim: Callable[[], Any], limit: float = 20.0, interval: float = 0.05) -> Any:
    """What the claim gives once it is true. For what nothing can be watched; the last AssertionError tells why it never was."""
    end = time.monotonic() + limit
    while True:
        try:
            value = claim()
            if value:
                return value
            problem: AssertionError | None = None
        except AssertionError as error:
            problem = error
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {problem or value}")
        time.sleep(interval)
