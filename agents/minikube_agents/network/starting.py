"""The first thing `up` does: choose addresses and start the cluster's shim, which comes up while the rest is imported. Light imports only.

started = starting.start(Spec(name="c", data_directory=..., mode="host"))     # milliseconds, nothing awaited
...heavy imports...
network = await cluster.ClusterNetwork.connect(started.data_directory)
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import Literal

from minikube_agents.network import ranges
from minikube_agents.shim import addresses, launch, netlink

Mode = Literal["host", "private"]


class NetworkError(Exception):
    """This machine, or this account, can't have that network; says why and what would help."""


@dataclass(frozen=True, kw_only=True)
class Spec:
    """`pod_cidr` and `service_cidr` empty: the defaults, or in mode host the first free ones. `mtu` of all links."""

    name: str
    data_directory: str
    mode: Mode
    pod_cidr: str = ""
    service_cidr: str = ""
    mtu: int = 1500
    python: str = sys.executable


@dataclass(frozen=True, kw_only=True)
class Started:
    """The network as it was laid out. `gateway`: the control plane's address in it; `dns`: the cluster DNS Service's. `link`:
    the host's end ("" when private)."""

    name: str
    data_directory: str
    mode: Mode
    node_cidr: str
    pod_cidr: str
    service_cidr: str
    gateway: str
    dns: str
    link: str
    mtu: int

    @property
    def directory(self) -> str:
        return network_directory(self.data_directory)

    @property
    def socket_path(self) -> str:
        return os.path.join(self.directory, "shim.sock")


def network_directory(data_directory: str) -> str:
    return os.path.join(data_directory, "network")


def journal_path(data_directory: str) -> str:
    return os.path.join(data_directory, "cleanup.jsonl")


def default_mode() -> Mode:
    return "host" if os.geteuid() == 0 else "private"


def start(spec: Spec) -> Started:
    """Start the cluster's shim. What it can't do shows on the first call, with its log in `DIRECTORY/shim.log`."""
    is_root = os.geteuid() == 0
    if spec.mode == "host" and not is_root:
        raise NetworkError(
            "--network host needs root: a normal user can't add links to the machine's network. Use --network private"
        )
    data = os.path.abspath(spec.data_directory)
    lock = -1
    if spec.mode == "host":
        with netlink.Socket() as route:
            routes = route.routes()
        try:
            chosen, lock = ranges.take(routes, pods=spec.pod_cidr, services=spec.service_cidr)
        except ranges.NoFreeRange as error:
            raise NetworkError(str(error)) from error
    else:
        chosen = ranges.candidate(0, spec.pod_cidr, spec.service_cidr)
    started = Started(
        name=spec.name,
        data_directory=data,
        mode=spec.mode,
        node_cidr=chosen.nodes,
        pod_cidr=chosen.pods,
        service_cidr=chosen.services,
        gateway=addresses.nth(chosen.nodes, 1),
        dns=addresses.nth(chosen.services, 10),
        link=f"mkpy{chosen.number}" if spec.mode == "host" else "",
        mtu=spec.mtu,
    )
    os.makedirs(started.directory, mode=0o700, exist_ok=True)
    config = {**asdict(started), "directory": started.directory, "journal": journal_path(data), "userns": not is_root}
    try:
        launch.spawn(config, python=spec.python, keep=[lock] if lock >= 0 else [])
    finally:
        if lock >= 0:
            os.close(lock)
    with open(os.path.join(started.directory, "network.json"), "w", encoding="utf-8") as file:
        json.dump(asdict(started), file, indent=1)
    return started


def find(data_directory: str) -> Started | None:
    """The network of that data directory when its shim lives (left by a cluster that was killed: adopt it), else None."""
    data = os.path.abspath(data_directory)
    try:
        with open(os.path.join(network_directory(data), "network.json"), encoding="utf-8") as file:
            started = Started(**json.load(file))
    except (FileNotFoundError, ValueError, TypeError):
        return None  # unreadable is as good as none: the journal knows what has to go
    with contextlib.suppress(OSError):
        launch.connect(started.socket_path).close()
        return started
    return None
