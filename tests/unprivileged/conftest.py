"""An account without rights: a copy of the tree that it owns, an empty home, an environment with nothing of ours.

The account is a number that nobody has (no line in /etc/passwd, no subordinate ids): the least a user can be. A run of the tests as a
normal user is that account itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from clusters import processes_in

ROOT = Path(__file__).parents[2]
UID = 54_321
#: how pip reaches its index is the machine's business
KEPT = ("PIP_", "SSL_CERT", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
NOT_COPIED = (
    ".git",
    ".venv*",
    "__pycache__",
    ".cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    "*.egg-info",
    ".import_linter_cache",
)


@dataclass(frozen=True)
class Account:
    tree: Path
    home: Path
    uid: int

    @property
    def data(self) -> Path:
        return self.home / ".local/share/minikube-py"

    def command(self, *arguments: str, namespaces: bool = True) -> list[str]:
        environment = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        environment |= {"HOME": str(self.home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
        clean = ["env", "-i", *(f"{k}={v}" for k, v in environment.items()), *arguments]
        if not namespaces:
            return [sys.executable, str(Path(__file__).parent / "no_user_namespaces.py"), str(self.uid), *clean]
        if os.geteuid():
            return clean
        return ["setpriv", "--reuid", str(self.uid), "--regid", str(self.uid), "--clear-groups", *clean]

    def run(
        self, *arguments: str, check: bool = True, namespaces: bool = True, seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*arguments, namespaces=namespaces),
            cwd=self.tree,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done

    def minictl(self, *arguments: str, **options: bool) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.tree / ".venv/bin/minictl"), *arguments, **options)


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    base = Path(tempfile.mkdtemp(prefix="mku"))
    base.chmod(0o755)
    made = Account(base / "tree", base / "home", UID if os.geteuid() == 0 else os.geteuid())
    try:
        shutil.copytree(ROOT, made.tree, ignore=shutil.ignore_patterns(*NOT_COPIED), symlinks=True)
        made.home.mkdir(mode=0o700)
        if os.geteuid() == 0:
            for path, directories, files in os.walk(base):
                for name in (*directories, *files):
                    os.chown(os.path.join(path, name), UID, UID, follow_symlinks=False)
        yield made
        if made.data.exists():
            made.minictl("down", "--all", "--purge", check=False)
    finally:
        for pid in processes_in(base):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(base, ignore_errors=True)


@pytest.fixture(scope="session")
def demo(account: Account) -> str:
    """What `make demo` printed, the first time; the cluster runs on."""
    return account.run("make", "demo", f"PYTHON={python()}", seconds=180).stdout


def python() -> str:
    """The machine's own interpreter: ours may lie where that account can't go."""
    found = next(
        (p for v in ("3.13", "3.12", "3.11", "3") if (p := shutil.which(f"python{v}", path="/usr/local/bin:/usr/bin"))), None
    )
    version = subprocess.run(
        [found or "false", "-c", "import sys; print(sys.version_info >= (3, 11))"], capture_output=True, text=True
    )
    if version.stdout.strip() != "True":
        pytest.skip("no Python 3.11 or newer for every account in /usr")
    return str(found)
