"""hostPorts as nftables rules of the node: one table, written anew when a pod with a hostPort comes or goes (a node has few of them).

The priority is just before the Services' chains, so that a hostPort wins over a NodePort of the same number, as with the portmap plugin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

TABLE = "minikube_hostports"


def conflict(wanted: Iterable[Mapping[str, Any]], taken: Iterable[Mapping[str, Any]]) -> str:
    """Words for the first port that is taken already, else ""."""
    everywhere = ("", "0.0.0.0")
    others = list(taken)
    for port in wanted:
        for other in others:
            same = (port["protocol"], port["host_port"]) == (other["protocol"], other["host_port"])
            if same and (port["host_ip"] == other["host_ip"] or port["host_ip"] in everywhere or other["host_ip"] in everywhere):
                return f"host port {port['host_port']}/{port['protocol']} is taken by another pod of this node"
    return ""


def script(ports: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """The nft script for (pod address, mapping) pairs: replaces the whole table at once."""
    rules, hairpins = [], []
    for address, port in ports:
        protocol = port["protocol"].lower()
        host_ip = port["host_ip"]
        where = f"ip daddr {host_ip}" if host_ip and host_ip != "0.0.0.0" else "fib daddr type local"
        rules.append(f"{where} meta l4proto {protocol} th dport {port['host_port']} dnat to {address}:{port['container_port']}")
        hairpins.append(f"ct status dnat ip saddr {address} ip daddr {address} masquerade")
    body = "".join(f"    {rule}\n" for rule in rules)
    after = "".join(f"    {rule}\n" for rule in dict.fromkeys(hairpins))
    return (
        f"table ip {TABLE} {{}}\ndelete table ip {TABLE}\n"
        f"table ip {TABLE} {{\n"
        f"  chain prerouting {{\n    type nat hook prerouting priority -110; policy accept;\n{body}  }}\n"
        f"  chain output {{\n    type nat hook output priority -110; policy accept;\n{body}  }}\n"
        f"  chain postrouting {{\n    type nat hook postrouting priority 90; policy accept;\n{after}  }}\n"
        "}\n"
    )
