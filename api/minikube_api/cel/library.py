"""Kubernetes' own CEL types: URLs, quantities, IP addresses, CIDRs, named formats, semantic versions.

Source: k8s.io/apiserver/pkg/cel/library (urls.go, quantity.go, ip.go, cidr.go, format.go, semverlib.go).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from minikube_api.cel import values
from minikube_api.cel.functions import global_, method
from minikube_api.cel.types import BOOL, DOUBLE, INT, STRING, Type, list_of, map_of, opaque, optional_of
from minikube_api.cel.values import NONE, EvaluationError, Optional
from minikube_api.meta import names, quantities

URL, QUANTITY, IP, CIDR = (opaque(name) for name in ("kubernetes.URL", "kubernetes.Quantity", "net.IP", "net.CIDR"))
FORMAT, SEMVER = opaque("kubernetes.NamedFormat"), opaque("kubernetes.Semver")


class Opaque:
    """A value of a Kubernetes type, compared by its content."""

    cel_type = ""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and other.cel_type == self.cel_type and self.value == other.value

    def __hash__(self) -> int:
        return hash((self.cel_type, self.value))


class Url(Opaque):
    cel_type = "kubernetes.URL"


class QuantityValue(Opaque):
    cel_type = "kubernetes.Quantity"


class Ip(Opaque):
    cel_type = "net.IP"

    def __str__(self) -> str:
        return str(self.value)


class Cidr(Opaque):
    cel_type = "net.CIDR"

    def __str__(self) -> str:
        return f"{self.value.ip}/{self.value.network.prefixlen}"


class Format(Opaque):
    cel_type = "kubernetes.NamedFormat"


class Semver(Opaque):
    cel_type = "kubernetes.Semver"


def _tested(parse: Any) -> Any:
    def test(*args: Any) -> bool:
        try:
            parse(*args)
        except EvaluationError:
            return False
        return True

    return test


# ---- URLs


def _url(text: str) -> Url:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  reading it checks it
    except ValueError as error:
        raise EvaluationError(f'URL parse error during conversion from string: parse "{text}": {error}') from None
    absolute = bool(parts.scheme) and bool(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", parts.scheme))
    if not (absolute or text.startswith("/")) or " " in parts.netloc:
        raise EvaluationError(f'URL parse error during conversion from string: parse "{text}": invalid URI for request')
    return Url(parts)


def _host(url: Url) -> str:
    return str(url.value.netloc.rpartition("@")[2])


def _hostname(url: Url) -> str:
    return _host(url).rpartition(":")[0].strip("[]") if _port(url) else _host(url).strip("[]")


def _port(url: Url) -> str:
    return "" if url.value.port is None else str(url.value.port)


global_("url", (STRING,), URL, _url)
global_("isURL", (STRING,), BOOL, _tested(_url))
method("getScheme", (URL,), STRING, lambda url: url.value.scheme)
method("getHost", (URL,), STRING, _host)
method("getHostname", (URL,), STRING, _hostname)
method("getPort", (URL,), STRING, _port)
method("getEscapedPath", (URL,), STRING, lambda url: url.value.path)
method("getQuery", (URL,), map_of(STRING, list_of(STRING)), lambda url: parse_qs(url.value.query, keep_blank_values=True))

# ---- quantities


def _quantity(text: str) -> QuantityValue:
    try:
        return QuantityValue(quantities.parse(text))
    except quantities.QuantityError as error:
        raise EvaluationError(str(error)) from None


def _compare(a: Any, b: Any) -> int:
    return (a > b) - (a < b)


def _is_integer(value: QuantityValue) -> bool:
    whole, rest = divmod(value.value.nanos, values.NANO)
    return rest == 0 and values.INT_MIN <= whole <= values.INT_MAX


def _as_integer(value: QuantityValue) -> int:
    if not _is_integer(value):
        raise EvaluationError("cannot convert value to integer")
    return int(value.value.nanos // values.NANO)


def _added(a: QuantityValue, b: QuantityValue) -> QuantityValue:
    return QuantityValue(a.value + b.value)


def _taken(a: QuantityValue, b: QuantityValue) -> QuantityValue:
    return QuantityValue(a.value - b.value)


def _whole(value: int) -> QuantityValue:
    return QuantityValue(quantities.Quantity.of(value))


global_("quantity", (STRING,), QUANTITY, _quantity)
global_("isQuantity", (STRING,), BOOL, _tested(_quantity))
method("sign", (QUANTITY,), INT, lambda q: q.value.sign())
method("isInteger", (QUANTITY,), BOOL, _is_integer)
method("asInteger", (QUANTITY,), INT, _as_integer)
method("asApproximateFloat", (QUANTITY,), DOUBLE, lambda q: float(q.value))
method("isGreaterThan", (QUANTITY, QUANTITY), BOOL, lambda a, b: a.value > b.value)
method("isLessThan", (QUANTITY, QUANTITY), BOOL, lambda a, b: a.value < b.value)
method("compareTo", (QUANTITY, QUANTITY), INT, lambda a, b: _compare(a.value, b.value))
method("add", (QUANTITY, QUANTITY), QUANTITY, _added)
method("add", (QUANTITY, INT), QUANTITY, lambda a, b: _added(a, _whole(b)))
method("sub", (QUANTITY, QUANTITY), QUANTITY, _taken)
method("sub", (QUANTITY, INT), QUANTITY, lambda a, b: _taken(a, _whole(b)))

# ---- addresses


def _ip(text: str) -> Ip:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise EvaluationError(
            f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): unable to parse IP'
        ) from None
    if "%" in text:
        raise EvaluationError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Ip(address)


def _cidr(text: str) -> Cidr:
    try:
        if "/" not in text:
            raise ValueError
        found = ipaddress.ip_interface(text)
    except ValueError:
        raise EvaluationError(
            f"network address parse error during conversion from string: netip.ParsePrefix(\"{text}\"): no '/'"
        ) from None
    if isinstance(found, ipaddress.IPv6Interface) and found.ip.ipv4_mapped is not None:
        raise EvaluationError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return Cidr(found)


def _contains_ip(cidr: Cidr, address: Ip | str) -> bool:
    ip = _ip(address) if isinstance(address, str) else address
    return ip.value in cidr.value.network


def _contains_cidr(cidr: Cidr, other: Cidr | str) -> bool:
    inner = _cidr(other) if isinstance(other, str) else other
    if inner.value.version != cidr.value.version:
        return False
    return bool(inner.value.network.subnet_of(cidr.value.network))


def _masked(cidr: Cidr) -> Cidr:
    return Cidr(ipaddress.ip_interface(str(cidr.value.network)))


global_("ip", (STRING,), IP, _ip)
global_("isIP", (STRING,), BOOL, _tested(_ip))
global_("ip.isCanonical", (STRING,), BOOL, lambda text: str(_ip(text)) == text)
global_("string", (IP,), STRING, str)
method("family", (IP,), INT, lambda ip: ip.value.version)
method("isUnspecified", (IP,), BOOL, lambda ip: ip.value.is_unspecified)
method("isLoopback", (IP,), BOOL, lambda ip: ip.value.is_loopback)
method("isLinkLocalUnicast", (IP,), BOOL, lambda ip: ip.value.is_link_local)
method("isLinkLocalMulticast", (IP,), BOOL, lambda ip: ip.value in _LINK_LOCAL_MULTICAST[ip.value.version])
method(
    "isGlobalUnicast",
    (IP,),
    BOOL,
    lambda ip: (
        not (
            ip.value.is_unspecified
            or ip.value.is_loopback
            or ip.value.is_link_local
            or ip.value.is_multicast
            or str(ip.value) == "255.255.255.255"
        )
    ),
)
_LINK_LOCAL_MULTICAST: dict[int, Any] = {4: ipaddress.ip_network("224.0.0.0/24"), 6: ipaddress.ip_network("ff02::/16")}

global_("cidr", (STRING,), CIDR, _cidr)
global_("isCIDR", (STRING,), BOOL, _tested(_cidr))
global_("string", (CIDR,), STRING, str)
for _of in (IP, STRING):
    method("containsIP", (CIDR, _of), BOOL, _contains_ip)
for _of in (CIDR, STRING):
    method("containsCIDR", (CIDR, _of), BOOL, _contains_cidr)
method("ip", (CIDR,), IP, lambda cidr: Ip(cidr.value.ip))
method("masked", (CIDR,), CIDR, _masked)
method("prefixLength", (CIDR,), INT, lambda cidr: cidr.value.network.prefixlen)

# ---- named formats


def _from_schema(form: str) -> Any:
    def check(value: str) -> list[str]:
        from minikube_api.meta import formats

        return [] if formats.holds(form, value) else [f"invalid {form}"]

    return check


_FORMATS: dict[str, Any] = {
    "dns1123Label": names.dns1123_label,
    "dns1123Subdomain": names.dns1123_subdomain,
    "dns1035Label": names.dns1035_label,
    "qualifiedName": names.qualified_name,
    "dns1123LabelPrefix": lambda v: names.is_dns_label(v, True),
    "dns1123SubdomainPrefix": lambda v: names.is_dns_subdomain(v, True),
    "dns1035LabelPrefix": lambda v: names.is_dns1035_label(v, True),
    "labelValue": names.label_value,
    "uri": lambda v: [] if _tested(_url)(v) else ["invalid URI"],
    "uuid": _from_schema("uuid"),
    "byte": _from_schema("byte"),
    "date": _from_schema("date"),
    "datetime": _from_schema("datetime"),
}


def _named(name: str) -> Optional:
    return Optional(True, Format(name)) if name in _FORMATS else NONE


def _validate(form: Format, value: str) -> Optional:
    problems = _FORMATS[form.value](value)
    return Optional(True, list(problems)) if problems else NONE


global_("format.named", (STRING,), optional_of(FORMAT), _named)
method("validate", (FORMAT, STRING), optional_of(list_of(STRING)), _validate)
for _name in _FORMATS:
    global_(f"format.{_name}", (), FORMAT, lambda name=_name: Format(name))

# ---- semantic versions

_semver = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-((?:[0-9A-Za-z-]+)(?:\.[0-9A-Za-z-]+)*))?(?:\+([0-9A-Za-z.-]+))?"
)


def _version(text: str, normalize: bool = False) -> Semver:
    given = _normalized(text) if normalize else text
    match = _semver.fullmatch(given)
    if match is None:
        why = "No Major.Minor.Patch elements found" if given.count(".") < 2 else f"Invalid character(s) found in version {given}"
        raise EvaluationError(why)
    pre = tuple(_identifier(part) for part in match[4].split(".")) if match[4] else ()
    return Semver((int(match[1]), int(match[2]), int(match[3]), pre))


def _normalized(text: str) -> str:
    text = text.removeprefix("v")
    core, mark, rest = re.fullmatch(r"([^-+]*)([-+]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]
    parts = [part.lstrip("0") or "0" if part.isdigit() else part for part in core.split(".")]
    return ".".join([*parts, "0", "0"][: max(3, len(parts))]) + mark + rest


def _identifier(part: str) -> tuple[int, int, str]:
    return (0, int(part), "") if part.isdigit() else (1, 0, part)


def _order(version: Semver) -> tuple[Any, ...]:
    major, minor, patch, pre = version.value
    return (major, minor, patch, 0 if pre else 1, pre)


for _args in ((STRING,), (STRING, BOOL)):
    global_("semver", _args, SEMVER, _version)
    global_("isSemver", _args, BOOL, _tested(_version))
method("major", (SEMVER,), INT, lambda v: v.value[0])
method("minor", (SEMVER,), INT, lambda v: v.value[1])
method("patch", (SEMVER,), INT, lambda v: v.value[2])
method("isLessThan", (SEMVER, SEMVER), BOOL, lambda a, b: _order(a) < _order(b))
method("isGreaterThan", (SEMVER, SEMVER), BOOL, lambda a, b: _order(a) > _order(b))
method("compareTo", (SEMVER, SEMVER), INT, lambda a, b: _compare(_order(a), _order(b)))

#: types that declarations may name
OPAQUE: dict[str, Type] = {t.name: t for t in (URL, QUANTITY, IP, CIDR, FORMAT, SEMVER)}
