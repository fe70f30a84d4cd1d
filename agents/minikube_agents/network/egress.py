"""The pods' way out of the cluster. In mode host the machine forwards and masquerades (nft); in a private network a userspace stack is attached to
the cluster's namespace: pasta or slirp4netns, when installed. Where neither is to be had, pods reach the cluster only, and `reason` says so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

from minikube_agents.shim import identity

FORWARD = "/proc/sys/net/ipv4/ip_forward"
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
    return next((tool for tool in ("pasta", "slirp4netns") if shutil.which(tool)), "")


def attach(tool: str, pid: int) -> list[int | str]:
    """Start `tool` on the network namespace of process `pid`; its identity, for the clean-up journal. OSError when it fails at once."""
    if tool == "pasta":
        command = ["pasta", "--foreground", "--quiet", "--config-net", "--ns-ifname", _TAP]
        command += ["-t", "none", "-u", "none", "-T", "none", "-U", "none"]
        if os.geteuid():
            command += ["--userns", f"/proc/{pid}/ns/user"]
        command += ["--netns", f"/proc/{pid}/ns/net"]
    else:
        command = ["slirp4netns", "--configure", "--disable-host-loopback", "--mtu=1500", str(pid), _TAP]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    known = identity.of(process.pid)
    process.returncode = 0  # it lives as long as the cluster's network; the journal ends it
    return known


OUT_TAP = f'oifname "{_TAP}"'
