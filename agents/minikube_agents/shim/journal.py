"""The clean-up journal: what outlives its process is written down before it is made, so that `down`, and the next `up` after a crash, know what
to remove. Most things need no entry: network namespaces, links and mounts die with the shim that holds them. Left are processes, cgroups,
nftables tables in the host's namespace, sysctls, directories of other users.

A line is a JSON object with `kind` and what that kind needs. Not fsynced: after a power cut none of these things exists any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time

from minikube_agents.shim import cgroups, identity, netlink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Journal:
    def __init__(self, path: str) -> None:
        self.path = path
        self._written: set[bytes] = set()

    def write(self, kind: str, **what: Any) -> None:
        line = json.dumps({"kind": kind, **what}, sort_keys=True).encode() + b"\n"
        if line in self._written:
            return
        self._written.add(line)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, line)
        finally:
            os.close(fd)


def read(path: str) -> list[dict[str, Any]]:
    """The entries that can be read; what follows the last newline was torn by a crash."""
    return _read(path)[0]


def _read(path: str) -> tuple[list[dict[str, Any]], int]:
    """The entries, and how many lines are none."""
    try:
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return [], 0
    entries = [entry for entry in map(_entry, lines) if entry is not None]
    return entries, len(lines) - len(entries)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    needed = _NEEDED.get(entry.get("kind", "")) if isinstance(entry, dict) else None
    return entry if needed is not None and needed <= entry.keys() else None


def cleanup(path: str, *, patience: float = 5.0) -> list[str]:
    """Remove everything the journal names, then the journal. Returns what could not be removed, in words; then the journal stays,
    unless it is only that lines of it can't be read: no later try would do better.

    Blocks for up to `patience` seconds for processes that die slowly. Safe to repeat.
    """
    entries, unreadable = _read(path)
    problems = _end_processes([entry for entry in entries if entry["kind"] == "process"], patience)
    seen: set[str] = set()
    for entry in reversed(entries):
        key = json.dumps(entry, sort_keys=True)
        if key in seen or entry["kind"] == "process":
            continue
        seen.add(key)
        problem = _REMOVERS[entry["kind"]](entry)
        if problem:
            problems.append(problem)
    if not problems:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    if unreadable:
        problems.append(f"what {unreadable} unreadable line{'s' if unreadable > 1 else ''} of {path} named")
    return problems


def _end_processes(entries: list[dict[str, Any]], patience: float) -> list[str]:
    """Shims get SIGTERM first (they end their containers in order), then SIGKILL; their containers die with them."""
    alive = [entry for entry in entries if identity.kill(entry["identity"], signal.SIGTERM)]
    deadline = time.monotonic() + patience
    while alive and time.monotonic() < deadline:
        time.sleep(0.005)
        alive = [entry for entry in alive if identity.is_alive(entry["identity"])]
    for entry in alive:
        identity.kill(entry["identity"], signal.SIGKILL)
    deadline = time.monotonic() + 1
    while alive and time.monotonic() < deadline:
        time.sleep(0.005)
        alive = [entry for entry in alive if identity.is_alive(entry["identity"])]
    return [f"process {entry['identity'][0]} ({entry.get('name', '')}) does not end" for entry in alive]


def _remove_cgroup(entry: dict[str, Any]) -> str:
    if not cgroups.remove_tree(entry["path"]):
        return f"cgroup {entry['path']} is busy"
    with contextlib.suppress(OSError):  # shared with other clusters: the last one takes it away
        os.rmdir(os.path.dirname(entry["path"]))
    return ""


def _remove_link(entry: dict[str, Any]) -> str:
    try:
        netlink.flush([netlink.delete_link(entry["name"])])
    except OSError as error:
        return "" if error.errno in (19, 1) else f"link {entry['name']}: {error}"  # ENODEV: gone with its namespace
    return ""


def _remove_table(entry: dict[str, Any]) -> str:
    import subprocess

    command = ["nft", "delete", "table", entry["family"], entry["name"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0 or "No such file" in done.stderr:
        return ""
    return f"nft table {entry['name']}: {done.stderr.strip()}"


def _restore_sysctl(entry: dict[str, Any]) -> str:
    try:
        with open(entry["path"], "w") as file:
            file.write(entry["was"])
    except OSError as error:
        return f"sysctl {entry['path']}: {error}"
    return ""


#: what an entry of each kind must have
_NEEDED = {
    "process": {"identity"},
    "cgroup": {"path"},
    "link": {"name"},
    "table": {"family", "name"},
    "sysctl": {"path", "was"},
}
_REMOVERS = {
    "cgroup": _remove_cgroup,
    "link": _remove_link,
    "table": _remove_table,
    "sysctl": _restore_sysctl,
}
