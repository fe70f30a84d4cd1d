"""Formats of names and keys. Each function gives a list of messages, empty when the value is good.

Source: k8s.io/apimachinery/pkg/util/validation and pkg/api/validation; the messages are theirs, word for word, because clients show
and tests compare them.
"""

from __future__ import annotations

import ipaddress
import re

Messages = list[str]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_C_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_ENV_VAR = r"[-._a-zA-Z][-._a-zA-Z0-9]*"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_PERCENT = r"[0-9]+%"
_HTTP_HEADER = r"[-A-Za-z0-9]+"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_PORT_CHARSET = r"[-a-z0-9]+"

_UNDERSCORED_LABEL = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED = rf"{_UNDERSCORED_LABEL}(\.{_UNDERSCORED_LABEL})*"

_underscored_re = re.compile(_UNDERSCORED)
_label_re = re.compile(_LABEL)
_subdomain_re = re.compile(_SUBDOMAIN)
_dns1035_re = re.compile(_DNS1035)
_qualified_re = re.compile(_QUALIFIED)
_label_value_re = re.compile(_LABEL_VALUE)
_config_key_re = re.compile(_CONFIG_KEY)
_c_identifier_re = re.compile(_C_IDENTIFIER)
_env_var_re = re.compile(_ENV_VAR)
_wildcard_re = re.compile(_WILDCARD)
_percent_re = re.compile(_PERCENT)
_http_header_re = re.compile(_HTTP_HEADER)
_http_path_re = re.compile(_HTTP_PATH)
_port_charset_re = re.compile(_PORT_CHARSET)

LABEL_MAX = 63
SUBDOMAIN_MAX = 253

_LABEL_MESSAGE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_DNS1035_MESSAGE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
    "start with an alphabetic character, and end with an alphanumeric character"
)
_QUALIFIED_MESSAGE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE_MESSAGE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)


def regex_message(message: str, pattern: str, *examples: str) -> str:
    """apimachinery's `RegexError`: the two blanks before `or` are its own."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {shown}regex used for validation is '{pattern}')"


def max_length_message(length: int) -> str:
    return f"must be no more than {length} characters"


def inclusive_range_message(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _length(value: str, maximum: int) -> Messages:
    return [max_length_message(maximum)] if len(value.encode()) > maximum else []


def dns1123_label(value: str) -> Messages:
    if _label_re.fullmatch(value) and len(value) <= LABEL_MAX:
        return []
    messages = _length(value, LABEL_MAX)
    if not _label_re.fullmatch(value):
        if _subdomain_re.fullmatch(value):
            # a value that would do as a subdomain is told what is wrong with it: the dots
            messages.append("must not contain dots")
        else:
            messages.append(regex_message(_LABEL_MESSAGE, _LABEL, "my-name", "123-abc"))
    return messages


def dns1123_subdomain(value: str) -> Messages:
    messages = _length(value, SUBDOMAIN_MAX)
    if not _subdomain_re.fullmatch(value):
        messages.append(regex_message(_SUBDOMAIN_MESSAGE, _SUBDOMAIN, "example.com"))
    return messages


def dns1123_subdomain_with_underscores(value: str) -> Messages:
    """Search domains of resolvers, that may have `_` as SRV records do."""
    messages = _length(value, SUBDOMAIN_MAX)
    if not _underscored_re.fullmatch(value):
        text = _SUBDOMAIN_MESSAGE.replace("'-' or '.'", "'-', '_' or '.'")
        messages.append(regex_message(text, _UNDERSCORED, "example.com"))
    return messages


def dns1035_label(value: str) -> Messages:
    messages = _length(value, LABEL_MAX)
    if not _dns1035_re.fullmatch(value):
        messages.append(regex_message(_DNS1035_MESSAGE, _DNS1035, "my-name", "abc-123"))
    return messages


def wildcard_dns1123_subdomain(value: str) -> Messages:
    messages = _length(value, SUBDOMAIN_MAX)
    if not _wildcard_re.fullmatch(value):
        messages.append(
            regex_message(
                "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower "
                "case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
                _WILDCARD,
                "*.example.com",
            )
        )
    return messages


def qualified_name(value: str) -> Messages:
    """`name` or `prefix/name`: label keys, resource names, taint keys."""
    prefix, slash, name = value.rpartition("/")
    messages: Messages = []
    if "/" in prefix:
        text = "a qualified name " + regex_message(_QUALIFIED_MESSAGE, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [text + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if slash:
        if not prefix:
            messages.append("prefix part must be non-empty")
        else:
            messages += ["prefix part " + m for m in dns1123_subdomain(prefix)]
    if not name:
        messages.append("name part must be non-empty")
    elif len(name.encode()) > LABEL_MAX:
        messages.append("name part " + max_length_message(LABEL_MAX))
    if not _qualified_re.fullmatch(name):
        messages.append(
            "name part " + regex_message(_QUALIFIED_MESSAGE, _QUALIFIED, "MyName", "my.name", "123-abc"),
        )
    return messages


def label_value(value: str) -> Messages:
    messages = _length(value, LABEL_MAX)
    if not _label_value_re.fullmatch(value):
        messages.append(regex_message(_LABEL_VALUE_MESSAGE, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return messages


def domain_prefixed_path(value: str) -> Messages:
    """`domain/path`, as in protocols and finalizer-like names (`IsDomainPrefixedPath`); without the field path."""
    if not value:
        return ["Required value"]
    domain, slash, path = value.partition("/")
    if not slash or not domain or not path:
        return ['must be a domain-prefixed path (such as "acme.io/foo")']
    return dns1123_subdomain(domain) + http_path(path)


def http_path(value: str) -> Messages:
    """The path of a domain-prefixed path."""
    return [] if _http_path_re.fullmatch(value) else [regex_message("Invalid path", _HTTP_PATH)]


_CONDITION_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_condition_reason_re = re.compile(_CONDITION_REASON)


def condition_reason(value: str) -> Messages:
    """The reason of a metav1.Condition."""
    if _condition_reason_re.fullmatch(value):
        return []
    text = (
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters "
        "or '_,:', and must end with an alphanumeric character or '_'"
    )
    return [regex_message(text, _CONDITION_REASON, "my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB")]


def c_identifier(value: str) -> Messages:
    if _c_identifier_re.fullmatch(value):
        return []
    return [
        regex_message(
            "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_'",
            _C_IDENTIFIER,
            "my_name",
            "MY_NAME",
            "MyName",
        )
    ]


def env_var_name(value: str) -> Messages:
    """The relaxed form that is the default since 1.32: printable ASCII without `=`."""
    if value and all(" " <= c <= "~" and c != "=" for c in value):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def strict_env_var_name(value: str) -> Messages:
    messages: Messages = []
    if not _env_var_re.fullmatch(value):
        messages.append(
            regex_message(
                "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit",
                _ENV_VAR,
                "my.env-name",
                "MY_ENV.NAME",
                "MyEnvName1",
            )
        )
    return messages + _no_dots(value)


def config_map_key(value: str) -> Messages:
    messages = _length(value, SUBDOMAIN_MAX)
    if not _config_key_re.fullmatch(value):
        messages.append(
            regex_message(
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
                _CONFIG_KEY,
                "key.name",
                "KEY_NAME",
                "key-name",
            )
        )
    return messages + _no_dots(value)


def _no_dots(value: str) -> Messages:
    if value == ".":
        return ["must not be '.'"]
    if value == "..":
        return ["must not be '..'"]
    if value.startswith(".."):
        return ["must not start with '..'"]
    return []


def port_number(value: int) -> Messages:
    return [] if 1 <= value <= 65535 else [inclusive_range_message(1, 65535)]


def port_name(value: str) -> Messages:
    """An IANA service name: at most 15 of `[-a-z0-9]`, with a letter, no leading, trailing or doubled hyphen."""
    messages: Messages = []
    if len(value.encode()) > 15:
        messages.append(max_length_message(15))
    if not _port_charset_re.fullmatch(value):
        messages.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= c <= "z" for c in value):
        messages.append("must contain at least one letter (a-z)")
    if "--" in value:
        messages.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        messages.append("must not begin or end with a hyphen")
    return messages


def path_segment(value: str) -> Messages:
    """What a name must be to stand in a URL path."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return path_segment_prefix(value)


def path_segment_prefix(value: str) -> Messages:
    """As `path_segment`, for a prefix that more characters follow (generateName)."""
    return [f"may not contain '{c}'" for c in ("/", "%") if c in value]


def percent(value: str) -> Messages:
    if _percent_re.fullmatch(value):
        return []
    return [regex_message("a valid percent string must be a numeric string followed by an ending '%'", _PERCENT, "1%", "93%")]


def http_header_name(value: str) -> Messages:
    if _http_header_re.fullmatch(value):
        return []
    return [regex_message("a valid HTTP header must consist of alphanumeric characters or '-'", _HTTP_HEADER, "X-Header-Name")]


def ip(value: str) -> Messages:
    """An address as Go's legacy parser takes it: IPv4 parts may have leading zeros, zones are refused."""
    return [] if parse_ip(value) else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def ipv4(value: str) -> Messages:
    address = parse_ip(value)
    return [] if address is not None and address.version == 4 else ["must be a valid IPv4 address"]


def ipv6(value: str) -> Messages:
    address = parse_ip(value)
    return [] if address is not None and address.version == 6 else ["must be a valid IPv6 address"]


_leading_zero_re = re.compile(r"(?<![0-9A-Fa-f:])0+(?=[0-9])")


def parse_ip(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None when it is no address. `::ffff:1.2.3.4` is an IPv4 address, as for Go's net.IP."""
    if "%" in value:
        return None
    try:
        if ":" not in value:
            return ipaddress.IPv4Address(_leading_zero_re.sub("", value))
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return None
    return address.ipv4_mapped or address


def cidr(value: str) -> Messages:
    address, slash, length = value.partition("/")
    parsed = parse_ip(address) if slash else None
    if parsed is not None and length.isascii() and length.isdigit() and int(length) <= (32 if ":" not in address else 128):
        return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


def _masked(value: str) -> str:
    """A generateName prefix with a letter in place of a trailing hyphen, so that it is checked as the name it will become."""
    return value[:-2] + "a" if len(value) > 1 and value[-1] == "-" else value


def is_dns_label(value: str, prefix: bool) -> Messages:
    """Validator of metadata.name (with `prefix`: of metadata.generateName) of kinds whose names are labels."""
    return dns1123_label(_masked(value) if prefix else value)


def is_dns_subdomain(value: str, prefix: bool) -> Messages:
    return dns1123_subdomain(_masked(value) if prefix else value)


def is_dns1035_label(value: str, prefix: bool) -> Messages:
    return dns1035_label(_masked(value) if prefix else value)


def is_path_segment(value: str, prefix: bool) -> Messages:
    return path_segment_prefix(value) if prefix else path_segment(value)
