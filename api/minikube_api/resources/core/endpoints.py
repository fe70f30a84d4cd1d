"""Endpoints and EndpointSlice. Source: ValidateEndpoints, pkg/apis/discovery/validation."""

from __future__ import annotations

import re
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.addresses import ip_warnings
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.core.services import special_ip
from minikube_api.resources.objectmeta import label_problems, label_value_problems
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, same

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_leading_zero_re = re.compile(r"(^|\.)0[0-9]")


class EndpointsStrategy(KindStrategy):
    whole_checks = 1

    def defaults(self, obj: Object) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                if not port.get("protocol"):
                    port["protocol"] = "TCP"

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        for i, subset in enumerate(obj.get("subsets") or ()):
            at = f"subsets[{i}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                errors.append(err.required(at, "must specify `addresses` or `notReadyAddresses`"))
            for field in ("addresses", "notReadyAddresses"):
                for j, address in enumerate(subset.get(field) or ()):
                    errors += _address(address, f"{at}.{field}[{j}]")
            ports = subset.get("ports") or ()
            for j, port in enumerate(ports):
                errors += _port(port, len(ports) > 1, f"{at}.ports[{j}]")
        return errors


def _address(address: Object, path: str) -> Errors:
    ip = address.get("ip") or ""
    errors = checks.ip(ip, f"{path}.ip")
    if address.get("hostname"):
        errors += checks.named(address["hostname"], f"{path}.hostname", names.dns1123_label)
    if address.get("nodeName") is not None:
        errors += checks.named(address["nodeName"], f"{path}.nodeName", names.dns1123_subdomain)
    return errors + special_ip(ip, f"{path}.ip")


def _port(port: Object, name_required: bool, path: str) -> Errors:
    errors: Errors = []
    if port.get("name"):
        errors += checks.named(port["name"], f"{path}.name", names.dns1123_label)
    elif name_required:
        errors.append(err.required(f"{path}.name"))
    errors += checks.port(port.get("port") or 0, f"{path}.port")
    protocol = port.get("protocol")
    errors += one_of(protocol, f"{path}.protocol", _PROTOCOLS) if protocol else [err.required(f"{path}.protocol")]
    if port.get("appProtocol") is not None:
        errors += checks.label_name(port["appProtocol"], f"{path}.appProtocol")
    return errors


_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
MAX_ENDPOINTS, MAX_ADDRESSES, MAX_PORTS, MAX_TOPOLOGY_LABELS, MAX_HINTS = 1000, 100, 20000, 16, 8


class EndpointSliceStrategy(KindStrategy):
    tracks_generation = True

    def defaults(self, obj: Object) -> None:
        for port in obj.get("ports") or ():
            if port.get("name") is None:
                port["name"] = ""
            if port.get("protocol") is None:
                port["protocol"] = "TCP"
        for endpoint in obj.get("endpoints") or ():
            if endpoint.get("conditions") is None:
                endpoint["conditions"] = {}
        obj.setdefault("ports", None)
        obj.setdefault("endpoints", None)

    def desired_state_changed(self, obj: Object, old: Object) -> bool:
        if not all(same(obj.get(f), old.get(f)) for f in ("addressType", "endpoints", "ports")):
            return True
        return obj["metadata"].get("labels") != old["metadata"].get("labels")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        kind = obj.get("addressType")
        errors = one_of(kind, "addressType", _ADDRESS_TYPES) if kind else [err.required("addressType")]
        endpoints = obj.get("endpoints") or ()
        if len(endpoints) > MAX_ENDPOINTS:
            return [*errors, err.too_many("endpoints", len(endpoints), MAX_ENDPOINTS)]
        for i, endpoint in enumerate(endpoints):
            errors += _endpoint(endpoint, kind, f"endpoints[{i}]")
        return errors + _slice_ports(obj.get("ports") or ())

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return checks.unchanged(obj, old, "addressType")

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors = super().validate_update(ctx, obj, old)
        if obj.get("addressType") != old.get("addressType"):
            # the change of the type itself is the finding, not that the addresses are of another
            return [e for e in errors if not e.path.startswith("endpoints")]
        return errors

    def warnings(self, ctx: WriteContext, obj: Object, old: Object | None) -> list[str]:
        if obj.get("addressType") == "FQDN" and old is None:
            return ["spec.addressType: FQDN endpoints are deprecated"]
        if obj.get("addressType") == "FQDN":
            return []
        return [
            text
            for i, endpoint in enumerate(obj.get("endpoints") or ())
            for j, address in enumerate(endpoint.get("addresses") or ())
            for text in ip_warnings(address, f"endpoints[{i}].addresses[{j}]")
        ]


def _endpoint(endpoint: Object, kind: str | None, path: str) -> Errors:
    errors: Errors = []
    addresses = endpoint.get("addresses") or ()
    if not addresses:
        errors.append(err.required(f"{path}.addresses", "must contain at least 1 address"))
    elif len(addresses) > MAX_ADDRESSES:
        errors.append(err.too_many(f"{path}.addresses", len(addresses), MAX_ADDRESSES))
    for i, address in enumerate(addresses):
        errors += _slice_address(address, kind, f"{path}.addresses", i)
    if endpoint.get("nodeName") is not None:
        errors += checks.named(endpoint["nodeName"], f"{path}.nodeName", names.dns1123_subdomain)
    topology = endpoint.get("deprecatedTopology") or {}
    errors += label_problems(topology, f"{path}.deprecatedTopology")
    if len(topology) > MAX_TOPOLOGY_LABELS:
        errors.append(err.too_many(f"{path}.deprecatedTopology", len(topology), MAX_TOPOLOGY_LABELS))
    if endpoint.get("hostname") is not None:
        errors += checks.named(endpoint["hostname"], f"{path}.hostname", names.dns1123_label)
    return errors + _hints(endpoint.get("hints") or {}, f"{path}.hints")


def _hints(hints: Object, path: str) -> Errors:
    listed = {field: [one.get("name") or "" for one in hints.get(field) or ()] for field in ("forZones", "forNodes")}
    for field, found in listed.items():
        if len(found) > MAX_HINTS:
            return [err.too_many(f"{path}.{field}", len(found), MAX_HINTS)]
    errors: Errors = []
    for field, problems in (("forZones", label_value_problems), ("forNodes", names.dns1123_subdomain)):
        for i, name in enumerate(listed[field]):
            at = f"{path}.{field}[{i}].name"
            if name in listed[field][:i]:
                errors.append(err.duplicate(at, name))
            errors += checks.named(name, at, problems)
    return errors


def _slice_address(address: str, kind: str | None, path: str, i: int) -> Errors:
    at = f"{path}[{i}]"
    if kind == "FQDN":
        return _fqdn(address, at)
    if kind not in ("IPv4", "IPv6"):
        return []
    version = int(kind[-1])
    if version == 4 and ":" not in address and _leading_zero_re.search(address):
        return [err.invalid(at, address, "must not have leading 0s")]
    parsed = names.parse_ip(address)
    if parsed is None:
        return checks.ip(address, at)
    errors: Errors = []
    if parsed.version != version:
        errors.append(err.invalid(path, address, f"must be an {kind} address"))
    return errors + special_ip(address, at)


def _fqdn(name: str, path: str) -> Errors:
    """IsFullyQualifiedDomainName; one dot may end it."""
    if not name:
        return [err.required(path)]
    name = name.removesuffix(".")
    if problems := names.dns1123_subdomain(name):
        return [err.invalid(path, name, ",".join(problems))]
    labels = name.split(".")
    if len(labels) < 2:
        return [err.invalid(path, name, "should be a domain with at least two segments separated by dots")]
    for label in labels:
        if problems := names.dns1123_label(label):
            return [err.invalid(path, label, ",".join(problems))]
    return []


def _slice_ports(ports: Any) -> Errors:
    errors: Errors = []
    if len(ports) > MAX_PORTS:
        return [err.too_many("ports", len(ports), MAX_PORTS)]
    seen: set[str] = set()
    for i, port in enumerate(ports):
        at, name = f"ports[{i}]", port.get("name") or ""
        if name:
            errors += checks.named(name, f"{at}.name", names.dns1123_label)
        if name in seen:
            errors.append(err.duplicate(f"{at}.name", name))
        seen.add(name)
        protocol = port.get("protocol")
        errors += one_of(protocol, f"{at}.protocol", _PROTOCOLS) if protocol else [err.required(f"{at}.protocol")]
        if port.get("appProtocol") is not None:
            errors += checks.label_name(port["appProtocol"], f"{at}.appProtocol")
    return errors
