"""Name formats and the messages of what breaks them."""

from collections.abc import Callable

import pytest

from minikube_api.meta import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        pytest.param(names.dns1123_label, "a-1", id="label"),
        pytest.param(names.dns1123_label, "a" * 63, id="label-63"),
        pytest.param(names.dns1123_subdomain, "a.b-c.9", id="subdomain"),
        pytest.param(names.dns1035_label, "a9", id="dns1035"),
        pytest.param(names.qualified_name, "example.com/My_Name.x", id="qualified"),
        pytest.param(names.label_value, "", id="empty-label-value"),
        pytest.param(names.label_value, "A_b.c-1", id="label-value"),
        pytest.param(names.config_map_key, ".a..b", id="config-key-with-dots"),
        pytest.param(names.env_var_name, "a b!", id="relaxed-env"),
        pytest.param(names.port_name, "http-2x", id="port-name"),
        pytest.param(names.path_segment, "a:b", id="path-segment"),
        pytest.param(names.wildcard_dns1123_subdomain, "*.a.b", id="wildcard"),
        pytest.param(names.percent, "150%", id="percent"),
        pytest.param(names.ip, "10.0.0.1", id="ipv4"),
        pytest.param(names.ip, "::1", id="ipv6"),
        pytest.param(names.cidr, "10.0.0.0/8", id="cidr"),
    ],
)
def test_good_values_give_no_message(check: Callable[[str], list[str]], value: str) -> None:
    assert check(value) == []


@pytest.mark.parametrize(
    ("check", "value", "messages"),
    [
        pytest.param(names.dns1123_label, "Bad_", [LABEL], id="label"),
        pytest.param(names.dns1123_label, "a.b", ["must not contain dots"], id="label-with-dots"),
        pytest.param(names.dns1123_label, "a" * 64, ["must be no more than 63 characters"], id="long-label"),
        pytest.param(names.dns1123_subdomain, "a" * 254, ["must be no more than 253 characters"], id="long-subdomain"),
        pytest.param(names.qualified_name, "bad key!", [NAME_PART], id="qualified"),
        pytest.param(names.qualified_name, "", ["name part must be non-empty", NAME_PART], id="empty-qualified"),
        pytest.param(names.qualified_name, "/a", ["prefix part must be non-empty"], id="empty-prefix"),
        pytest.param(names.config_map_key, "..", ["must not be '..'"], id="two-dots"),
        pytest.param(names.config_map_key, "..a", ["must not start with '..'"], id="leading-dots"),
        pytest.param(
            names.env_var_name,
            "a=b",
            ["a valid environment variable name must consist only of printable ASCII characters other than '='"],
            id="env",
        ),
        pytest.param(names.port_name, "this-name-is-too-long", ["must be no more than 15 characters"], id="long-port"),
        pytest.param(names.port_name, "9-9", ["must contain at least one letter (a-z)"], id="port-without-letter"),
        pytest.param(names.port_name, "a--b", ["must not contain consecutive hyphens"], id="port-hyphens"),
        pytest.param(names.path_segment, "x/y", ["may not contain '/'"], id="slash"),
        pytest.param(names.path_segment, "..", ["may not be '..'"], id="dots-segment"),
        pytest.param(names.ip, "nope", ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"], id="ip"),
        pytest.param(
            names.percent,
            "half",
            [
                "a valid percent string must be a numeric string followed by an ending '%' "
                "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
            ],
            id="percent",
        ),
    ],
)
def test_bad_values_are_told_as_apimachinery_does(check: Callable[[str], list[str]], value: str, messages: list[str]) -> None:
    assert check(value) == messages


def test_trailing_newline_is_no_label() -> None:
    assert names.dns1123_label("a\n")


def test_prefix_of_a_generated_name_may_end_in_a_hyphen() -> None:
    assert names.is_dns_label("web-", True) == []
    assert names.is_dns_label("web-", False) == [LABEL]
