"""Writes a volume's files so that readers see all of the old or all of the new: `..data` is a symlink that is swapped.

Source: the layout that Kubernetes documents for configMap, secret, downwardAPI and projected volumes:
`..2026_11_22_21_02_03.123456789/` holds the files, `..data` points to it, the visible names point through `..data`.
"""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minikube_agents.network import owning

DATA = "..data"
NEW_DATA = "..data_tmp"


@dataclass(frozen=True, slots=True)
class File:
    """`mode` are permission bits; `uid`/`gid` None = as the kubelet runs."""

    data: bytes
    mode: int = 0o644
    uid: int | None = None
    gid: int | None = None


Payload = Mapping[str, File]


def validate(path: str) -> None:
    """A relative path without `..`; raises ValueError as the kubelet words it."""
    parts = PurePosixPath(path).parts
    if not path:
        raise ValueError("invalid path: must not be empty: ")
    if path.startswith("/"):
        raise ValueError(f'invalid path: must be relative path: "{path}"')
    if ".." in parts:
        raise ValueError(f"invalid path: must not contain '..': \"{path}\"")
    if parts and parts[0].startswith(".."):
        raise ValueError(f'invalid path: must not start with "..": "{path}"')


def write(target: Path, payload: Payload, *, now: float) -> bool:
    """Makes the volume hold exactly `payload`. False when it did already. Raises ValueError (paths) and OSError."""
    for path in payload:
        validate(path)
    target.mkdir(parents=True, exist_ok=True)
    current = _current(target)
    if current is not None and _holds(current, payload):
        return False
    nanoseconds = int(now * 1e9)
    while (fresh := target / _stamp(nanoseconds)).exists():
        nanoseconds += 1
    fresh.mkdir(mode=0o755)
    fresh.chmod(0o755)
    for path, file in payload.items():
        _write_file(fresh, path, file)
    link = target / NEW_DATA
    link.unlink(missing_ok=True)
    link.symlink_to(fresh.name)
    names = {PurePosixPath(path).parts[0] for path in payload}
    # The first write has to be in place before its names point through it; a later swap is the one visible step.
    link.replace(target / DATA)
    for name in names:
        visible = target / name
        if not visible.is_symlink():
            visible.symlink_to(f"{DATA}/{name}")
    for entry in target.iterdir():
        if entry.is_symlink() and entry.name not in (DATA, NEW_DATA) and entry.name not in names:
            entry.unlink()
        elif entry.name.startswith("..2") and entry != fresh:
            shutil.rmtree(entry)
    return True


def _stamp(nanoseconds: int) -> str:
    whole, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"..{time.strftime('%Y_%m_%d_%H_%M_%S', time.gmtime(whole))}.{fraction:09d}"


def _current(target: Path) -> Path | None:
    link = target / DATA
    return target / os.readlink(link) if link.is_symlink() else None


def _holds(directory: Path, payload: Payload) -> bool:
    if not directory.is_dir():
        return False
    present = {os.path.relpath(os.path.join(root, name), directory) for root, _, names in os.walk(directory) for name in names}
    if present != {str(PurePosixPath(path)) for path in payload}:
        return False
    for path, file in payload.items():
        on_disk = directory / path
        found = on_disk.stat()
        if stat.S_IMODE(found.st_mode) != file.mode or found.st_size != len(file.data):
            return False
        if (file.uid is not None and found.st_uid != file.uid) or (file.gid is not None and found.st_gid != file.gid):
            return False
        if on_disk.read_bytes() != file.data:
            return False
    return True


def _write_file(root: Path, path: str, file: File) -> None:
    destination = root / path
    parent = destination.parent
    if parent != root:
        parent.mkdir(parents=True, exist_ok=True)
        for directory in (parent, *parent.parents):
            if directory == root:
                break
            directory.chmod(0o755)
    destination.write_bytes(file.data)
    destination.chmod(file.mode)
    if file.uid is not None or file.gid is not None:
        owning.chown(destination, -1 if file.uid is None else file.uid, -1 if file.gid is None else file.gid)
