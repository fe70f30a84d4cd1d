"""Rules as nftables text, pure: one table a node, changed service by service.

Layout (as kube-proxy's nftables mode, KEP-3866): three verdict maps send a packet's (address,) protocol and port to the chain of its service
port; that chain picks an endpoint at random (or the one remembered for the client), whose chain marks hairpin traffic for
masquerading and does DNAT. What has no endpoints is rejected in the filter hooks, since a NAT chain can't reject.
`meta l4proto` stands before `dnat to addr:port`: nft refuses it otherwise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from minikube_agents.proxy.rules import PortRules, Target

MASQUERADE_MARK = "0x4000"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one service port has in the table. Map elements are `{map: {key: verdict}}`, sets `{name: definition}`."""

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sets: Mapping[str, str] = field(default_factory=dict)
    elements: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


NOTHING = Rendered()


def base(table: str, *, pod_cidr: str, node_ports: bool = True) -> str:
    """The table with its hooks and empty maps; replaces whatever stood there. `pod_cidr`: traffic from elsewhere to a ClusterIP is masqueraded."""
    node_port_rule = "fib daddr type local meta l4proto . th dport vmap @service-nodeports" if node_ports else ""
    node_port_reject = "fib daddr type local meta l4proto . th dport vmap @no-endpoint-nodeports" if node_ports else ""
    return f"""add table ip {table}
delete table ip {table}
table ip {table} {{
  map service-ips {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map service-nodeports {{ type inet_proto . inet_service : verdict; }}
  map no-endpoint-services {{ type ipv4_addr . inet_proto . inet_service : verdict; }}
  map no-endpoint-nodeports {{ type inet_proto . inet_service : verdict; }}
  chain mark-for-masquerade {{ meta mark set meta mark or {MASQUERADE_MARK}; }}
  chain reject-chain {{ reject; }}
  chain services {{
    ip daddr . meta l4proto . th dport vmap @service-ips
    {node_port_rule}
  }}
  chain endpoints-check {{
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
    {node_port_reject}
  }}
  chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
  chain nat-output {{ type nat hook output priority -100; jump services; }}
  chain nat-postrouting {{
    type nat hook postrouting priority srcnat;
    meta mark & {MASQUERADE_MARK} != {MASQUERADE_MARK} return
    meta mark set meta mark xor {MASQUERADE_MARK}
    masquerade fully-random
  }}
  chain filter-prerouting {{ type filter hook prerouting priority -110; ct state new jump endpoints-check; }}
  chain filter-output {{ type filter hook output priority -110; ct state new jump endpoints-check; }}
  chain from-outside {{ ip saddr != {pod_cidr} jump mark-for-masquerade; }}
}}
"""


def render(rules: PortRules) -> Rendered:
    """The chains, sets and map elements of one service port."""
    chains: dict[str, tuple[str, ...]] = {}
    sets: dict[str, str] = {}
    elements: dict[str, dict[str, str]] = {}
    digest = hashlib.sha256(rules.key.encode()).hexdigest()[:10]
    for ip in rules.cluster_ips:
        _lead(elements, "services", f"{ip} . {rules.protocol} . {rules.port}", rules.internal, f"int-{digest}")
    for ip in rules.external_ips:
        _lead(elements, "services", f"{ip} . {rules.protocol} . {rules.port}", rules.external, f"ext-{digest}")
    if rules.node_port:
        _lead(elements, "nodeports", f"{rules.protocol} . {rules.node_port}", rules.external, f"ext-{digest}")
    uses_external = bool(rules.node_port or rules.external_ips)
    if rules.internal:
        chains[f"int-{digest}"] = ("jump from-outside", *_balance(rules, rules.internal, digest))
    if rules.external and uses_external:
        mark = () if rules.keep_source else ("jump mark-for-masquerade",)
        filters: tuple[str, ...] = ()
        if rules.source_ranges and rules.external_ips:
            addresses = ", ".join(rules.external_ips)
            filters = (f"ip daddr {{ {addresses} }} ip saddr != {{ {', '.join(rules.source_ranges)} }} drop",)
        chains[f"ext-{digest}"] = (*filters, *mark, *_balance(rules, rules.external, digest))
    for target in {*(rules.internal or ()), *((rules.external or ()) if uses_external else ())}:
        chain, remember = _names(target, digest)
        body = [f"ip saddr {target.ip} jump mark-for-masquerade"]
        if rules.affinity_seconds:
            sets[remember] = f"{{ type ipv4_addr; size 65535; flags dynamic,timeout; timeout {rules.affinity_seconds}s; }}"
            body.append(f"update @{remember} {{ ip saddr }}")
        body.append(f"meta l4proto {rules.protocol} dnat to {target.ip}:{target.port}")
        chains[chain] = tuple(body)
    return Rendered(chains, sets, elements)


def _lead(elements: dict[str, dict[str, str]], kind: str, key: str, targets: tuple[Target, ...] | None, chain: str) -> None:
    names = {"services": ("service-ips", "no-endpoint-services"), "nodeports": ("service-nodeports", "no-endpoint-nodeports")}
    found, missing = names[kind]
    if targets:
        elements.setdefault(found, {})[key] = f"goto {chain}"
    else:
        elements.setdefault(missing, {})[key] = "drop" if targets is None else "goto reject-chain"


def _names(target: Target, digest: str) -> tuple[str, str]:
    tail = f"{digest}-{target.ip.replace('.', '-')}-{target.port}"
    return f"ep-{tail}", f"aff-{tail}"


def _balance(rules: PortRules, targets: tuple[Target, ...], digest: str) -> tuple[str, ...]:
    lines = []
    if rules.affinity_seconds:
        lines = [f"ip saddr @{remember} goto {chain}" for chain, remember in (_names(t, digest) for t in targets)]
    if len(targets) == 1:
        return (*lines, f"goto {_names(targets[0], digest)[0]}")
    picks = ", ".join(f"{i} : goto {_names(t, digest)[0]}" for i, t in enumerate(targets))
    return (*lines, f"numgen random mod {len(targets)} vmap {{ {picks} }}")


def changes(table: str, pairs: Iterable[tuple[Rendered, Rendered]]) -> str:
    """The commands of one transaction that turn each first into its second; empty when nothing differs.

    New things come before what refers to them, references go before what they refer to.
    """
    pairs = [(old, new) for old, new in pairs if old != new]
    lines: list[str] = []
    for old, new in pairs:
        lines += [f"add set ip {table} {name} {text}" for name, text in new.sets.items() if name not in old.sets]
        lines += [f"add chain ip {table} {name}" for name in new.chains if name not in old.chains]
    for old, new in pairs:
        for name, body in new.chains.items():
            if old.chains.get(name) == body:
                continue
            if name in old.chains:
                lines.append(f"flush chain ip {table} {name}")
            lines += [f"add rule ip {table} {name} {rule}" for rule in body]
    for old, new in pairs:
        for name, elements in old.elements.items():
            kept = new.elements.get(name, {})
            lines += [f"delete element ip {table} {name} {{ {k} }}" for k, v in elements.items() if kept.get(k) != v]
    for old, new in pairs:
        for name, elements in new.elements.items():
            had = old.elements.get(name, {})
            lines += [f"add element ip {table} {name} {{ {k} : {v} }}" for k, v in elements.items() if had.get(k) != v]
    for old, new in pairs:
        gone = [name for name in old.chains if name not in new.chains]
        lines += [f"flush chain ip {table} {name}" for name in gone]
        lines += [f"delete chain ip {table} {name}" for name in gone]
        lines += [f"delete set ip {table} {name}" for name in old.sets if name not in new.sets]
    return "\n".join(lines) + "\n" if lines else ""
