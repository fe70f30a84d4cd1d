"""String formats of custom resource schemas.

Only the formats that the apiextensions server supports are checked; unknown ones hold always. Source: kube-openapi's strfmt.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from minikube_api.meta import durations, names, times


def holds(form: str, value: str) -> bool:
    check = _FORMATS.get(form.replace("-", ""))
    return check is None or check(value)


def _parses(function: Callable[[str], object]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            function(value)
        except ValueError:
            return False
        return True

    return check


def _byte(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _date(value: str) -> bool:
    return re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) is not None and _parses(times.parse)(value + "T00:00:00Z")


def _uri(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(value) and (bool(parts.scheme) or value.startswith("/"))


def _matches(pattern: str, flags: int = 0) -> Callable[[str], bool]:
    expression = re.compile(pattern, flags)
    return lambda value: expression.fullmatch(value) is not None


def _uuid(version: str) -> Callable[[str], bool]:
    return _matches(rf"[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}[0-9a-f]{{3}}-?[0-9a-f]{{4}}-?[0-9a-f]{{12}}", re.IGNORECASE)


_duration_text = re.compile(r"\s*([0-9]+)\s*([a-zµ]+)\s*", re.IGNORECASE)


def _duration(value: str) -> bool:
    try:
        durations.parse(value)
    except ValueError:
        return _duration_text.fullmatch(value) is not None
    return True


_FORMATS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches("[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _matches(r"[^@\s]+@[^@\s]+"),
    "hostname": lambda v: len(v) <= 253 and not names.dns1123_subdomain(v.lower()),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": lambda v: "/" in v and _parses(lambda t: ipaddress.ip_interface(t))(v),
    "mac": _matches(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}"),
    "uuid": _uuid("[0-9a-f]"),
    "uuid3": _uuid("3"),
    "uuid4": _uuid("4"),
    "uuid5": _uuid("5"),
    "isbn": lambda v: len(v.replace("-", "")) in (10, 13),
    "isbn10": lambda v: len(v.replace("-", "")) == 10,
    "isbn13": lambda v: len(v.replace("-", "")) == 13,
    "creditcard": _matches(r"[0-9 -]{13,19}"),
    "ssn": _matches(r"[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}"),
    "hexcolor": _matches(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _matches(r"rgb\(\s*[0-9]{1,3}\s*,\s*[0-9]{1,3}\s*,\s*[0-9]{1,3}\s*\)"),
    "byte": _byte,
    "date": _date,
    "datetime": _parses(times.parse),
    "duration": _duration,
    "k8sshortname": lambda v: not names.dns1123_label(v),
    "k8slongname": lambda v: not names.dns1123_subdomain(v),
}
