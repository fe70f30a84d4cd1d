"""The pods' way out of the cluster. In mode host the machine forwards and masquerades (nft); in a private network a userspace stack is attached to
the cluster's namespace: pasta or slirp4netns, when installed. Where neither is to be had, pods reach the cluster only, and `reason` says so.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from dataclasses import dataclass

from minikube_agents.shim import identity

FORWARD = "/proc/sys/net/ipv4/ip_forward"
TOOLS = ("slirp4netns", "pasta")
_TAP = "tap0"


@dataclass(frozen=True, slots=True)
class Egress:
    """`way`: nft, pasta, slirp4netns, or "" with the reason why there is none."""

    way: str
    reason: str = ""


def table_name(cluster: str) -> str:
    return "minikube_" + cluster.replace("-", "_")


def masquerade(cluster: str, cidrs: list[str], out: str) -> str:
    """nft script: what comes from the cluster's ranges and leaves them is sent in the machine's name. `out`: a match of the way out."""
    table, inside = table_name(cluster), ", ".join(cidrs)
    return (
        f"table ip {table} {{}}\ndelete table ip {table}\n"
        f"table ip {table} {{\n  chain postrouting {{\n    type nat hook postrouting priority 100; policy accept;\n"
        f"    ip saddr {{ {inside} }} ip daddr != {{ {inside} }} {out} masquerade\n  }}\n}}\n"
    )


def find_tool() -> str:
    """slirp4netns first: pasta, started by root, becomes nobody and may not enter the namespace."""
    return next((tool for tool in TOOLS if shutil.which(tool)), "")


def _command(tool: str, pid: int) -> list[str]:
    if tool == "slirp4netns":
        return ["slirp4netns", "--configure", "--disable-host-loopback", "--mtu=1500", str(pid), _TAP]
    command = [
        "pasta",
        "--foreground",
        "--config-net",
        "--ns-ifname",
        _TAP,
        "-t",
        "none",
        "-u",
        "none",
        "-T",
        "none",
        "-U",
        "none",
    ]
    return [*command, "--userns", f"/proc/{pid}/ns/user", "--netns", f"/proc/{pid}/ns/net"]


def attach(tool: str, pid: int, log_path: str) -> list[int | str]:
    """Start `tool` on the network namespace of process `pid`; its identity, for the clean-up journal. OSError with its own words when it fails.

    Blocks until its link is there, for some tens of milliseconds.
    """
    with open(log_path, "w+b") as log:
        process = subprocess.Popen(
            _command(tool, pid), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
        deadline = time.monotonic() + 5
        while not _has_link(pid):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                log.seek(0)
                words = log.read().decode(errors="replace").strip().splitlines()
                raise OSError(0, f"{tool}: {'; '.join(words[-2:]) or 'its link did not come up'}")
            time.sleep(0.005)
    known = identity.of(process.pid)
    process.returncode = 0  # it lives as long as the cluster's network; the journal ends it
    return known


def _has_link(pid: int) -> bool:
    with open(f"/proc/{pid}/net/dev", encoding="ascii") as file:
        return f"{_TAP}:" in file.read()


OUT_TAP = f'oifname "{_TAP}"'
