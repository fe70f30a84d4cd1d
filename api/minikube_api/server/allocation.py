"""ClusterIPs and node ports of Services, taken inside the write and given back when it fails or the Service goes.

The Services themselves are the only record: the taken sets are rebuilt from them at start, so a crash can leak nothing. Sources:
the service registry's allocators and KEP-3070 (a low band of the range is left for addresses that people ask for).
"""

from __future__ import annotations

import ipaddress
import logging
import random
import weakref
from dataclasses import dataclass, field
from typing import Any

from minikube_api.cache.requests import ListRequest
from minikube_api.meta import field_errors, times
from minikube_api.meta.errors import FieldError, InternalError, Invalid
from minikube_api.resources.core import services
from minikube_api.resources.resource import Registry, Resource
from minikube_api.server.context import Object
from minikube_api.server.storage import Storage

log = logging.getLogger(__name__)

#: seconds; kube-apiserver's service repair interval
REPAIR_EVERY = 180.0
_NEEDS_IP = frozenset({"ClusterIP", "NodePort", "LoadBalancer"})
_TRIES = 32


@dataclass(slots=True, eq=False, weakref_slot=True)
class Reservation:
    """Addresses and ports taken by one write, and those it gives up; either happens when the write's fate is known."""

    allocator: ServiceAllocator
    owner: str
    taken_ips: set[str] = field(default_factory=set)
    taken_ports: set[int] = field(default_factory=set)
    freed_ips: set[str] = field(default_factory=set)
    freed_ports: set[int] = field(default_factory=set)

    def keep(self) -> None:
        self.allocator.free(self.owner, self.freed_ips, self.freed_ports)
        self.allocator.settled(self)

    def release(self) -> None:
        self.allocator.free(self.owner, self.taken_ips, self.taken_ports)
        self.allocator.settled(self)


class ServiceAllocator:
    """`cidr` is the primary service range; `ports` the inclusive node port range."""

    def __init__(self, cidr: str, ports: tuple[int, int], rng: random.Random) -> None:
        self.network = ipaddress.ip_network(cidr)
        self.family = f"IPv{self.network.version}"
        self._ports = ports
        self._rng = rng
        self._ip_owners: dict[str, str] = {}
        self._port_owners: dict[int, str] = {}
        #: reservations of writes under way; those of writes that were cancelled half-way vanish with them
        self._pending: weakref.WeakSet[Reservation] = weakref.WeakSet()
        size = self.network.num_addresses
        #: addresses below this offset are only given to those who ask for them
        self._static = min(max(16, size // 16), 256) if size > 32 else 1

    async def rebuild(self, storage: Storage, registry: Registry) -> None:
        """Read what existing Services hold."""
        resource = registry.get("", "v1", "services")
        if resource is None:
            return
        page = await storage.cacher(resource).list(ListRequest(resource_version="0"))
        for entry in page.items:
            service = entry.tree()
            owner = owner_of(service)
            self._ip_owners.update(dict.fromkeys(cluster_ips(service), owner))
            self._port_owners.update(dict.fromkeys(node_ports(service), owner))

    async def repair(self, storage: Storage, registry: Registry, clock: times.Clock) -> None:
        """Now and then forget what no Service holds (a write cancelled while its fate was open); runs until cancelled."""
        while True:
            await clock.sleep(REPAIR_EVERY)
            await self.forget_leaks(storage, registry)

    async def forget_leaks(self, storage: Storage, registry: Registry) -> None:
        resource = registry.get("", "v1", "services")
        if resource is None:
            return
        page = await storage.cacher(resource).list(ListRequest())
        services = [entry.tree() for entry in page.items]
        ips = set().union(*(cluster_ips(s) for s in services), *(r.taken_ips for r in self._pending))
        ports = set().union(*(node_ports(s) for s in services), *(r.taken_ports for r in self._pending))
        for ip in self._ip_owners.keys() - ips:
            log.warning("cluster IP %s was held by no service", ip)
            del self._ip_owners[ip]
        for port in self._port_owners.keys() - ports:
            log.warning("node port %d was held by no service", port)
            del self._port_owners[port]

    def free(self, owner: str, ips: set[str], ports: set[int]) -> None:
        for ip in ips:
            if self._ip_owners.get(ip) == owner:
                del self._ip_owners[ip]
        for port in ports:
            if self._port_owners.get(port) == owner:
                del self._port_owners[port]

    def settled(self, reservation: Reservation) -> None:
        self._pending.discard(reservation)

    def reserve(self, resource: Resource, obj: Object | None, old: Object | None) -> Reservation | None:
        """For a Service: fill in families, addresses and ports of `obj`; None for other kinds. Raises Invalid."""
        if resource.plural != "services" or resource.group:
            return None
        made = Reservation(self, owner_of(obj or old or {}))
        self._pending.add(made)
        if obj is None:
            made.freed_ips, made.freed_ports = cluster_ips(old), node_ports(old)
            return made
        try:
            errors = self._fill(made, obj, old)
            if errors:
                raise Invalid.object("", "Service", obj["metadata"].get("name", ""), errors)
        except BaseException:
            made.release()
            raise
        made.freed_ips = cluster_ips(old) - cluster_ips(obj)
        made.freed_ports = node_ports(old) - node_ports(obj)
        return made

    def _fill(self, made: Reservation, obj: Object, old: Object | None) -> list[FieldError]:
        spec = obj.setdefault("spec", {})
        if old is not None:
            carry_over(spec, old.get("spec") or {})
        if spec.get("type") not in _NEEDS_IP:
            if old is not None and (old.get("spec") or {}).get("type") in _NEEDS_IP:
                _drop_addresses(spec, old["spec"])
            return []
        _pair_cluster_ips(spec)
        errors = services.address_problems(spec) or self._families(spec)
        if errors:
            return errors
        errors = self._addresses(made, spec)
        return errors or self._node_ports(made, spec, old)

    def _families(self, spec: Object) -> list[FieldError]:
        """initIPFamilyFields: what was asked for must be there, what was not asked for follows from it."""
        families = list(spec.get("ipFamilies") or [])
        if spec.get("clusterIP") == "None" and not spec.get("selector"):
            # endpoints of such a service are somebody's own: they may be of either family
            policy = spec["ipFamilyPolicy"] = spec.get("ipFamilyPolicy") or "RequireDualStack"
            families = families or [self.family]
            if policy != "SingleStack" and len(families) < 2:
                families.append("IPv6" if families[0] == "IPv4" else "IPv4")
            spec["ipFamilies"] = families
            return []
        errors: list[FieldError] = []
        policy = spec.get("ipFamilyPolicy")
        if policy == "RequireDualStack":
            why = "this cluster is not configured for dual-stack services"
            errors.append(field_errors.invalid("spec.ipFamilyPolicy", policy, why))
        for i, family in enumerate(families):
            if family != self.family:
                errors.append(field_errors.invalid(f"spec.ipFamilies[{i}]", family, "not configured on this cluster"))
        for i, ip in enumerate(spec.get("clusterIPs") or ()):
            if ip != "None" and i >= len(families) and (family := services.family(ip)) != self.family:
                why = f"may not use {family} on a cluster which is not configured for it"
                errors.append(field_errors.invalid(f"spec.clusterIPs[{i}]", spec["clusterIPs"], why))
        if policy == "SingleStack":
            for field in ("clusterIPs", "ipFamilies"):
                if len(spec.get(field) or ()) > 1:
                    why = f"must be RequireDualStack or PreferDualStack when multiple '{field}' are specified"
                    errors.append(field_errors.invalid("spec.ipFamilyPolicy", policy, why))
        if errors:
            return errors
        spec["ipFamilyPolicy"] = policy or "SingleStack"
        spec["ipFamilies"] = families or [self.family]
        return []

    def _addresses(self, made: Reservation, spec: Object) -> list[FieldError]:
        ips = spec.get("clusterIPs") or []
        if not ips:
            ip = self._any_ip(made)
            spec["clusterIP"], spec["clusterIPs"] = ip, [ip]
            return []
        if ips[0] == "None" or ips[0] != spec.get("clusterIP"):
            return []
        for ip in ips:
            if self._ip_owners.get(ip) == made.owner:
                continue
            try:
                address = ipaddress.ip_address(ip)
            except ValueError:
                return []  # validation says what is wrong with it
            why = ""
            if address not in self.network or address == self.network.network_address:
                why = "the provided network does not match the current range"
            elif ip in self._ip_owners:
                why = "provided IP is already allocated"
            if why:
                return [field_errors.invalid("spec.clusterIPs", ips, f"failed to allocate IP {ip}: {why}")]
            self._take_ip(made, ip)
        return []

    def _take_ip(self, made: Reservation, ip: str) -> None:
        self._ip_owners[ip] = made.owner
        made.taken_ips.add(ip)

    def _any_ip(self, made: Reservation) -> str:
        """A free address, from the dynamic band while it lasts. Raises InternalError when the range is full."""
        base, last = int(self.network.network_address), self.network.num_addresses - 2
        for low, high in ((self._static, last), (1, self._static - 1)):
            if high < low:
                continue
            for _ in range(_TRIES):
                ip = str(ipaddress.ip_address(base + self._rng.randint(low, high)))
                if ip not in self._ip_owners:
                    self._take_ip(made, ip)
                    return ip
            for offset in range(low, high + 1):
                ip = str(ipaddress.ip_address(base + offset))
                if ip not in self._ip_owners:
                    self._take_ip(made, ip)
                    return ip
        raise InternalError("failed to allocate a serviceIP: range is full")

    def _node_ports(self, made: Reservation, spec: Object, old: Object | None) -> list[FieldError]:
        kind = spec.get("type")
        if kind not in ("NodePort", "LoadBalancer"):
            return []
        automatic = kind == "NodePort" or spec.get("allocateLoadBalancerNodePorts") is not False
        seen: dict[tuple[int, str], int] = {}
        by_port: dict[int, int] = {}
        for i, port in enumerate(spec.get("ports") or []):
            path = f"spec.ports[{i}].nodePort"
            number, protocol = port.get("nodePort") or 0, port.get("protocol", "TCP")
            if not number:
                if not automatic:
                    continue
                shared = by_port.get(port.get("port", 0))
                number = shared if shared and (shared, protocol) not in seen else self._any_port(made)
                port["nodePort"] = number
            elif why := self._why_not(made, number, protocol, seen):
                return [field_errors.invalid(path, number, why)]
            seen[number, protocol] = i
            by_port[port.get("port", 0)] = number
        if kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local":
            number = spec.get("healthCheckNodePort") or 0
            if not number:
                spec["healthCheckNodePort"] = self._any_port(made)
            elif why := self._why_not(made, number, "", seen):
                return [field_errors.invalid("spec.healthCheckNodePort", number, why)]
        return []

    def _why_not(self, made: Reservation, number: int, protocol: str, seen: dict[tuple[int, str], int]) -> str:
        """Take a port that was asked for, or say why it can't be had."""
        low, high = self._ports
        if self._port_owners.get(number) == made.owner:
            return "provided port is already allocated" if (number, protocol) in seen else ""
        if not low <= number <= high:
            return f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
        if number in self._port_owners:
            return "provided port is already allocated"
        self._port_owners[number] = made.owner
        made.taken_ports.add(number)
        return ""

    def _any_port(self, made: Reservation) -> int:
        low, high = self._ports
        for _ in range(_TRIES):
            number = self._rng.randint(low, high)
            if number not in self._port_owners:
                break
        else:
            number = next((n for n in range(low, high + 1) if n not in self._port_owners), 0)
            if not number:
                raise InternalError("failed to allocate a nodePort: range is full")
        self._port_owners[number] = made.owner
        made.taken_ports.add(number)
        return number


def owner_of(service: Object) -> str:
    meta = service.get("metadata") or {}
    return f"{meta.get('namespace', '')}/{meta.get('name', '')}"


def cluster_ips(service: Object | None) -> set[str]:
    spec: dict[str, Any] = (service or {}).get("spec") or {}
    ips = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return {ip for ip in ips if ip != "None"}


def node_ports(service: Object | None) -> set[int]:
    spec: dict[str, Any] = (service or {}).get("spec") or {}
    ports = {port["nodePort"] for port in spec.get("ports") or [] if port.get("nodePort")}
    return ports | ({spec["healthCheckNodePort"]} if spec.get("healthCheckNodePort") else set())


def _pair_cluster_ips(spec: Object) -> None:
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]


def carry_over(spec: Object, old: Object) -> None:
    """What was allocated stays when an update leaves it out (patchAllocatedValues)."""
    if spec.get("type") in _NEEDS_IP and old.get("type") in _NEEDS_IP:
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            for name in ("clusterIP", "clusterIPs"):
                if old.get(name):
                    spec[name] = old[name]
        elif not spec.get("clusterIPs") and spec.get("clusterIP") == old.get("clusterIP"):
            spec["clusterIPs"] = old.get("clusterIPs") or [spec["clusterIP"]]
        elif not spec.get("clusterIP") and spec.get("clusterIPs"):
            spec["clusterIP"] = spec["clusterIPs"][0]
        for name in ("ipFamilies", "ipFamilyPolicy"):
            if not spec.get(name) and old.get(name):
                spec[name] = old[name]
    with_ports = ("NodePort", "LoadBalancer")
    if spec.get("type") in with_ports and old.get("type") in with_ports:
        used = {(p.get("protocol"), p.get("nodePort")) for p in spec.get("ports") or [] if p.get("nodePort")}
        before = {(p.get("protocol"), p.get("port")): p.get("nodePort") for p in old.get("ports") or []}
        for port in spec.get("ports") or []:
            number = before.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and number and (port.get("protocol"), number) not in used:
                port["nodePort"] = number
    if spec.get("externalTrafficPolicy") == "Local" and not spec.get("healthCheckNodePort") and old.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old["healthCheckNodePort"]


def _drop_addresses(spec: Object, old: Object) -> None:
    """An update to ExternalName gives up what the old type had, unless the update set something of its own."""
    for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(name) == old.get(name):
            spec.pop(name, None)
