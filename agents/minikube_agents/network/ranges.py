"""Which addresses a cluster uses. In a private network any do; in the machine's own, a cluster takes the first set that collides with nothing.

Set n: nodes 192.168.(49+n).0/24, pods 10.(244-n).0.0/16, Services 10.(96+n).0.0/16. A set is held by a lock on a file, which the
cluster's shim inherits: it is
free again when that process is gone, however it ended. Light imports: runs before everything else at start.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from dataclasses import dataclass

from minikube_agents.shim import addresses

SETS = 40


class NoFreeRange(Exception):
    """No set of addresses is left, or those asked for collide; worded for the user."""


@dataclass(frozen=True, slots=True)
class Ranges:
    number: int
    nodes: str
    pods: str
    services: str


def candidate(number: int, pods: str = "", services: str = "") -> Ranges:
    return Ranges(
        number,
        f"192.168.{49 + number}.0/24",
        pods or f"10.{244 - number}.0.0/16",
        services or f"10.{96 + number}.0.0/16",
    )


def collision(ranges: Ranges, routes: Iterable[str]) -> str:
    """The first of `routes` (CIDRs; a default route counts for nothing) that a range overlaps, else ""."""
    for route in routes:
        if not route.endswith("/0"):
            for mine in (ranges.pods, ranges.services, ranges.nodes):
                if addresses.overlap(mine, route):
                    return f"{mine} overlaps the route to {route}"
    return ""


def lock_directory() -> str:
    """The same for all of this machine's clusters in its own network; those are root's."""
    return "/run/lock" if os.access("/run/lock", os.W_OK) else "/tmp"


def _lock(number: int, directory: str) -> int | None:
    fd = os.open(os.path.join(directory, f"minikube-py-range-{number}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def take(routes: list[str], *, pods: str = "", services: str = "", directory: str = "") -> tuple[Ranges, int]:
    """The first free set and the descriptor that holds its lock. `pods` and `services` as asked for by the user, "" = ours to choose."""
    reason = ""
    for number in range(SETS):
        ranges = candidate(number, pods, services)
        problem = collision(ranges, routes)
        if problem:
            # every set collides with what was asked for: that is what the user must hear, not that the first set is taken
            if any(asked and problem.startswith(asked) for asked in (pods, services)):
                raise NoFreeRange(f"{problem}, which this machine has already")
            reason = reason or problem
            continue
        fd = _lock(number, directory or lock_directory())
        if fd is not None:
            return ranges, fd
    raise NoFreeRange(f"no free address ranges for the cluster's network: {reason or 'other clusters have them all'}")
