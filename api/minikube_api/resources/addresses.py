"""IP addresses and ranges: their strict form (new kinds), and warnings where old fields take more than that.

Source: apimachinery's pkg/util/validation/ip.go (KEP-4858).
"""

from __future__ import annotations

import ipaddress
import re

from minikube_api.meta import field_errors as err
from minikube_api.meta import names

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_leading_zero_re = re.compile(r"(^|\.)0[0-9]")


_INVALID_ONE_DAY = "will be considered invalid in a future Kubernetes release"


def _leading_zeros(address: str) -> bool:
    return ":" not in address and _leading_zero_re.search(address) is not None


def _mapped(address: str) -> bool:
    """An IPv4 address in IPv6 clothes."""
    return ":" in address and isinstance(names.parse_ip(address), ipaddress.IPv4Address)


def strict_ip(value: str) -> list[str]:
    parsed = names.parse_ip(value)
    if parsed is None:
        return names.ip(value)
    if _leading_zeros(value):
        return ["must not have leading 0s"]
    if _mapped(value):
        return ["must not be an IPv4-mapped IPv6 address"]
    return [] if str(parsed) == value else [f"must be in canonical form ({err.quote(str(parsed))})"]


def network(value: str) -> Network | None:
    """The range of a CIDR, as Go's lenient parser takes it (leading zeros, bits beyond the prefix); None when it is none."""
    if names.cidr(value):
        return None
    address, _, length = value.partition("/")
    parsed = names.parse_ip(address)
    bits = int(length)
    if _mapped(address):
        bits -= 96
    return ipaddress.ip_network(f"{parsed}/{bits}", strict=False) if bits >= 0 else None


def strict_cidr(value: str) -> list[str]:
    parsed = network(value)
    if parsed is None:
        return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]
    address, _, length = value.partition("/")
    if _leading_zeros(address) or (length != "0" and length.startswith("0")):
        return ["must not have leading 0s in IP or prefix length"]
    if _mapped(address):
        return ["must not have an IPv4-mapped IPv6 address"]
    if names.parse_ip(address) != parsed.network_address:
        return ["must not have bits set beyond the prefix length"]
    return [] if str(parsed) == value else [f"must be in canonical form ({err.quote(str(parsed))})"]


def ip_warnings(value: str, path: str) -> list[str]:
    """What is said of an address that a lenient field takes."""
    parsed = names.parse_ip(value)
    if parsed is None:
        return []
    if _leading_zeros(value) or _mapped(value):
        return [f"{path}: non-standard IP address {err.quote(value)} {_INVALID_ONE_DAY}: use {err.quote(str(parsed))}"]
    if parsed.version == 6 and str(parsed) != value:
        return [f"{path}: IPv6 address {err.quote(value)} should be in RFC 5952 canonical format ({err.quote(str(parsed))})"]
    return []


def cidr_warnings(value: str, path: str) -> list[str]:
    """What is said of a range that a lenient field takes."""
    parsed = network(value)
    if parsed is None:
        return []
    address, _, length = value.partition("/")
    own = names.parse_ip(address)
    found = []
    quoted, standard = err.quote(value), err.quote(str(parsed))
    if own != parsed.network_address:
        single = err.quote(f"{own}/{parsed.max_prefixlen}")
        found.append(f"{path}: CIDR value {quoted} is ambiguous in this context (should be {standard} or {single}?)")
    if _leading_zeros(address) or _mapped(address) or (length != "0" and length.startswith("0")):
        found.append(f"{path}: non-standard CIDR value {quoted} {_INVALID_ONE_DAY}: use {standard}")
    elif not found and parsed.version == 6 and str(own) != address:
        found.append(f"{path}: IPv6 CIDR value {quoted} should be in RFC 5952 canonical format ({standard})")
    return found
