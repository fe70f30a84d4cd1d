"""Cluster names to records, pure: what CoreDNS' `kubernetes` plug-in answers for one question.

Source: the Kubernetes DNS-Based Service Discovery specification (version 1.1.0). The zone is `cluster.local`:
services (A, AAAA, SRV), headless services and their endpoints, ExternalName (CNAME), pods by dashed address, PTR.
Exclusions: wire format and forwarding are in `server`; what the cluster holds comes through the `Zone` Protocol.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

SPEC_VERSION = "1.1.0"

RecordType = Literal["A", "AAAA", "SRV", "PTR", "CNAME", "TXT", "NS", "SOA"]


@dataclass(frozen=True, slots=True)
class Record:
    """`data` is an address, a name (with final dot), a text, or for SRV `(priority, weight, port, target)`."""

    name: str
    type: RecordType
    data: str | tuple[int, int, int, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """`exists` False = NXDOMAIN; True without records = NODATA. `cname` names a target outside the zone still to be resolved."""

    exists: bool
    records: tuple[Record, ...] = ()
    extra: tuple[Record, ...] = ()
    cname: str = ""


NOTHING = Answer(exists=False)


@dataclass(frozen=True, slots=True)
class PortInfo:
    name: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """One endpoint address of a headless service; `hostname` may be empty."""

    ip: str
    hostname: str
    ports: tuple[PortInfo, ...]

    @property
    def label(self) -> str:
        return self.hostname or self.ip.replace(".", "-").replace(":", "-")


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    name: str
    namespace: str
    cluster_ips: tuple[str, ...] = ()
    headless: bool = False
    external_name: str = ""
    ports: tuple[PortInfo, ...] = ()
    endpoints: tuple[EndpointInfo, ...] = field(default=())


class Zone(Protocol):
    """What the cluster holds now."""

    def service(self, namespace: str, name: str) -> ServiceInfo | None: ...

    def namespace_exists(self, namespace: str) -> bool: ...

    def services_by_cluster_ip(self, ip: str) -> Iterable[ServiceInfo]: ...

    def services_by_endpoint_ip(self, ip: str) -> Iterable[ServiceInfo]: ...


def answer(name: str, qtype: str, zone: Zone, *, domain: str = "cluster.local") -> Answer | None:
    """The answer for a question, None when the name is not of this cluster. `name` is without the final dot, any case."""
    name = name.lower()
    if name.endswith(".arpa"):
        return _reverse(name, qtype, zone, domain)
    if name != domain and not name.endswith("." + domain):
        return None
    labels = name[: -len(domain) - 1].split(".") if name != domain else []
    match labels[::-1]:
        case []:
            return _apex(name, qtype)
        case ["dns-version"]:
            return Answer(True, (Record(name, "TXT", SPEC_VERSION),) if qtype in ("TXT", "ANY") else ())
        case ["svc" | "pod"]:
            return Answer(exists=True)
        case ["svc", namespace]:
            return Answer(exists=zone.namespace_exists(namespace))
        case ["pod", namespace]:
            return Answer(exists=zone.namespace_exists(namespace))
        case ["pod", namespace, dashed]:
            return _pod(name, qtype, namespace, dashed, zone)
        case ["svc", namespace, service, *rest]:
            found = zone.service(namespace, service)
            return _service(name, qtype, found, rest[::-1], domain) if found else NOTHING
    return NOTHING


def _apex(name: str, qtype: str) -> Answer:
    if qtype == "NS":
        return Answer(True, (Record(name, "NS", f"ns.dns.{name}."),))
    if qtype == "SOA":
        return Answer(True, (soa(name),))
    return Answer(exists=True)


def soa(domain: str) -> Record:
    return Record(domain, "SOA", f"ns.dns.{domain}.")


def _addresses(name: str, qtype: str, ips: Iterable[str]) -> tuple[Record, ...]:
    records = []
    for ip in ips:
        kind: RecordType = "AAAA" if ":" in ip else "A"
        if qtype in (kind, "ANY"):
            records.append(Record(name, kind, ip))
    return tuple(records)


def _pod(name: str, qtype: str, namespace: str, dashed: str, zone: Zone) -> Answer:
    """`1-2-3-4.NS.pod`: any address of an existing namespace is answered, as CoreDNS does with `pods insecure`."""
    if not zone.namespace_exists(namespace):
        return NOTHING
    for text in (dashed.replace("-", "."), dashed.replace("-", ":")):
        try:
            ip = str(ipaddress.ip_address(text))
        except ValueError:
            continue
        return Answer(True, _addresses(name, qtype, [ip]))
    return NOTHING


def _service(name: str, qtype: str, service: ServiceInfo, rest: list[str], domain: str) -> Answer:
    base = f"{service.name}.{service.namespace}.svc.{domain}"
    if service.external_name:
        if rest:
            return NOTHING
        target = service.external_name.rstrip(".").lower()
        return Answer(True, (Record(name, "CNAME", target + "."),), cname=target)
    match rest:
        case []:
            ips = [e.ip for e in service.endpoints] if service.headless else list(service.cluster_ips)
            if not ips:
                return NOTHING
            if qtype == "SRV":
                return _srv(name, base, service, service.ports)
            return Answer(True, _addresses(name, qtype, dict.fromkeys(ips)))
        case [port, protocol] if port.startswith("_") and protocol.startswith("_"):
            wanted = [p for p in _all_ports(service) if p.name == port[1:] and p.protocol.lower() == protocol[1:]]
            if not wanted:
                return NOTHING
            return _srv(name, base, service, wanted) if qtype in ("SRV", "ANY") else Answer(exists=True)
        case [host] if service.headless:
            ips = [e.ip for e in service.endpoints if e.label == host]
            if not ips:
                return NOTHING
            return Answer(True, _addresses(name, qtype, dict.fromkeys(ips)))
    return NOTHING


def _all_ports(service: ServiceInfo) -> list[PortInfo]:
    if not service.headless:
        return list(service.ports)
    return list(dict.fromkeys(p for e in service.endpoints for p in e.ports))


def _srv(name: str, base: str, service: ServiceInfo, ports: Iterable[PortInfo]) -> Answer:
    """One SRV per port and target, with the targets' addresses as additional records."""
    wanted = {(p.name, p.protocol) for p in ports}
    pairs: list[tuple[PortInfo, str, tuple[str, ...]]] = []
    if service.headless:
        for endpoint in service.endpoints:
            target = f"{endpoint.label}.{base}"
            pairs += [(p, target, (endpoint.ip,)) for p in endpoint.ports if (p.name, p.protocol) in wanted]
    else:
        pairs = [(p, base, service.cluster_ips) for p in service.ports if (p.name, p.protocol) in wanted]
    if not pairs:
        return Answer(exists=True)
    weight = max(1, 100 // len(pairs))
    records = tuple(Record(name, "SRV", (0, weight, p.port, target + ".")) for p, target, _ in pairs)
    extra = {target: ips for _, target, ips in pairs}
    return Answer(True, records, tuple(r for target, ips in extra.items() for r in _addresses(target, "ANY", ips)))


def _reverse(name: str, qtype: str, zone: Zone, domain: str) -> Answer | None:
    ip = reverse_address(name)
    if ip is None:
        return None
    names = [f"{s.name}.{s.namespace}.svc.{domain}." for s in zone.services_by_cluster_ip(ip)]
    if not names:
        names = [
            f"{e.label}.{s.name}.{s.namespace}.svc.{domain}."
            for s in zone.services_by_endpoint_ip(ip)
            for e in s.endpoints
            if e.ip == ip
        ]
    if not names:
        return None
    return Answer(True, tuple(Record(name, "PTR", n) for n in dict.fromkeys(names)) if qtype in ("PTR", "ANY") else ())


def reverse_address(name: str) -> str | None:
    """The address that a full `in-addr.arpa` or `ip6.arpa` name stands for, else None."""
    for suffix, parts, join in ((".in-addr.arpa", 4, "."), (".ip6.arpa", 32, "")):
        if name.endswith(suffix):
            labels = name[: -len(suffix)].split(".")
            if len(labels) != parts:
                return None
            text = join.join(reversed(labels))
            if not join:
                text = ":".join(text[i : i + 4] for i in range(0, 32, 4))
            try:
                return str(ipaddress.ip_address(text))
            except ValueError:
                return None
    return None
