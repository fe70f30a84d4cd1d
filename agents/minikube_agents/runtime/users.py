"""Who a container runs as: Kubernetes' securityContext over the image's USER, names looked up in the image's /etc/passwd and /etc/group. Pure but for
reading those two files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from minikube_agents.runtime.contract import RuntimeError_, SecurityContext
from minikube_agents.shim import rootfs


@dataclass(frozen=True, slots=True)
class Identity:
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def _table(root: str, path: str) -> list[list[str]]:
    try:
        with open(root + rootfs.resolve(root, path), encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n").split(":") for line in file if line.count(":") >= 3]
    except FileNotFoundError:
        return []


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def resolve(root: str, image_user: str, security: SecurityContext) -> Identity:
    """`root`: the image's tree ("" = the machine's own). RuntimeError_ when a name is unknown (containerd's words)."""
    root = root if os.path.isdir(root) else "/"
    passwd, groups = _table(root.rstrip("/"), "/etc/passwd"), _table(root.rstrip("/"), "/etc/group")
    user, _, group = image_user.partition(":")
    if security.run_as_user is not None:
        user, group = str(security.run_as_user), ""
    entry = next((row for row in passwd if user in (row[0], row[2])), None)
    uid = _number(user) if user else 0
    if uid is None:
        if entry is None:
            raise RuntimeError_(f"unable to find user {user}: no matching entries in passwd file")
        uid = int(entry[2])
    gid = security.run_as_group
    if gid is None:
        gid = _group_id(group, groups) if group else int(entry[3]) if entry else 0
    name = entry[0] if entry else "root" if uid == 0 else ""
    own = [int(row[2]) for row in groups if name and name in row[3].split(",")]
    extra = dict.fromkeys((gid, *own, *security.supplemental_groups))
    home = entry[5] if entry and len(entry) > 5 else "/"
    return Identity(uid, gid, tuple(extra), home)


def _group_id(group: str, groups: list[list[str]]) -> int:
    number = _number(group)
    if number is not None:
        return number
    for row in groups:
        if row[0] == group:
            return int(row[2])
    raise RuntimeError_(f"unable to find group {group}: no matching entries in group file")
