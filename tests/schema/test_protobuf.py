"""Protobuf bodies, built here byte by byte from the published field numbers, become the trees that JSON would give."""

from __future__ import annotations

import struct

import pytest

from minikube_api.meta.errors import BadRequest
from minikube_api.schema import builtin, decoding, protobuf


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def text(number: int, value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def pair(number: int, key: str, value: str | bytes) -> bytes:
    return text(number, text(1, key) + text(2, value))


def envelope(api_version: str, kind: str, raw: bytes, content_type: str = "") -> bytes:
    about = text(1, api_version) + text(2, kind)
    return b"k8s\0" + text(1, about) + text(2, raw) + text(3, "") + text(4, content_type)


def test_a_pod_is_read():
    metadata = text(1, "web") + text(3, "default") + pair(11, "app", "web") + text(8, integer(1, 1767323045) + integer(2, 0))
    port = text(1, "http") + integer(3, 8080) + text(4, "TCP")
    http_get = text(1, "/healthz") + text(2, integer(1, 1) + integer(2, 0) + text(3, "http"))
    probe = text(1, text(2, http_get)) + integer(2, 5)
    limits = pair(1, "cpu", text(1, "500m"))
    container = (
        text(1, "c") + text(2, "nginx") + text(4, "-a") + text(4, "-b") + text(6, port) + text(8, limits) + text(10, probe)
    )
    volume = text(1, "v") + text(2, text(2, text(1, "Memory")))
    spec = text(1, volume) + text(2, container) + text(3, "Always") + integer(4, 30) + integer(11, 1)
    body = envelope("v1", "Pod", text(1, metadata) + text(2, spec) + text(3, b""))
    assert protobuf.decode(body) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web",
            "namespace": "default",
            "labels": {"app": "web"},
            "creationTimestamp": "2026-01-02T03:04:05Z",
        },
        "spec": {
            "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
            "containers": [
                {
                    "name": "c",
                    "image": "nginx",
                    "args": ["-a", "-b"],
                    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                    "resources": {"limits": {"cpu": "500m"}},
                    "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "initialDelaySeconds": 5},
                }
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "hostNetwork": True,
        },
        "status": {},
    }


def test_negative_numbers_bytes_and_zero_times_are_read():
    secret = text(1, text(1, "s") + text(8, b"")) + pair(2, "k", b"\x00\xff") + text(3, "Opaque")
    tree = protobuf.decode(envelope("v1", "Secret", secret))
    assert tree["data"] == {"k": "AP8="}
    assert tree["metadata"] == {"name": "s", "creationTimestamp": None}
    scale = protobuf.decode(envelope("autoscaling/v1", "Scale", text(2, integer(1, -1))))
    assert scale["spec"] == {"replicas": -1}


def test_options_of_any_group_are_read():
    body = envelope("apps/v1", "DeleteOptions", integer(1, 0) + text(4, "Foreground") + text(5, "All"))
    assert protobuf.decode(body) == {
        "apiVersion": "apps/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 0,
        "propagationPolicy": "Foreground",
        "dryRun": ["All"],
    }


def test_lists_of_strings_inside_maps_are_unwrapped():
    spec = pair(5, "scopes", text(1, "a") + text(1, "b"))
    tree = protobuf.decode(envelope("authorization.k8s.io/v1", "SubjectAccessReview", text(2, spec)))
    assert tree["spec"]["extra"] == {"scopes": ["a", "b"]}


def test_schemas_of_custom_resource_definitions_are_read():
    items = text(1, text(5, "string"))
    extra = integer(1, 1)
    minimum = varint(11 << 3 | 1) + struct.pack("<d", 1.5)
    props = text(5, "object") + text(24, items) + text(30, extra) + text(8, text(1, b'{"a":[1]}')) + minimum
    version = text(1, "v1") + integer(2, 1) + text(4, text(1, props))
    spec = text(1, "example.com") + text(7, version)
    tree = protobuf.decode(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", text(2, spec)))
    schema = tree["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["items"] == {"type": "string"}
    assert schema["additionalProperties"] is True
    assert schema["default"] == {"a": [1]}
    assert schema["minimum"] == 1.5


def test_json_inside_an_envelope_is_taken():
    raw = b'{"apiVersion":"v1","kind":"ConfigMap"}'
    assert protobuf.decode(envelope("v1", "ConfigMap", raw, "application/json"))["kind"] == "ConfigMap"


def test_numbers_of_fields_that_came_later_are_skipped():
    config_map = text(1, text(1, "a")) + text(9999, "new") + integer(9998, 1)
    assert protobuf.decode(envelope("v1", "ConfigMap", config_map))["metadata"] == {"name": "a"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b'{"kind":"Pod"}', "provided data does not appear to be a protobuf message", id="no envelope"),
        pytest.param(b"k8s\0\x0a\x7fabc", "unexpected EOF", id="cut"),
        pytest.param(b"k8s\0\x80", "unexpected EOF", id="cut number"),
        pytest.param(b"k8s\0" + integer(2, 5), "wrong wireType", id="a number for the message"),
        pytest.param(envelope("v1", "ConfigMap", integer(1, 5)), "wrong wireType", id="a number for a message"),
        pytest.param(envelope("v1", "ConfigMap", text(1, integer(1, 5))), "wrong wireType", id="a number for a text"),
        pytest.param(envelope("v1", "ConfigMap", text(4, b"\x01")), "wrong wireType", id="bytes for a boolean"),
        pytest.param(envelope("v1", "ConfigMap", text(1, text(1, b"\xff"))), "invalid UTF-8", id="a text that is none"),
        pytest.param(envelope("v1", "ConfigMap", b"{", "application/json"), "invalid JSON", id="cut JSON"),
        pytest.param(envelope("v1", "ConfigMap", b"[]", "application/json"), "no object", id="JSON but no object"),
        pytest.param(envelope("v1", "Nothing", b""), 'no kind "Nothing" is registered', id="unknown kind"),
    ],
)
def test_what_is_no_protobuf_body_is_refused(body, message):
    with pytest.raises(protobuf.WireProblem, match=message):
        protobuf.decode(body)


def test_every_served_kind_has_its_numbers():
    for kind in builtin.kinds():
        assert protobuf.decode(envelope(f"{kind.group}/{kind.version}".lstrip("/"), kind.kind, b""))["kind"] == kind.kind


def test_decoding_takes_protobuf_and_drops_gos_zero_values():
    schema = builtin.load("", "v1", "ConfigMap")
    body = envelope("v1", "ConfigMap", text(1, text(1, "a") + text(2, "") + text(8, b"")) + pair(2, "k", "v"))
    tree, _ = decoding.decode(body, schema, kind="ConfigMap", api_version="v1", media_type=protobuf.MEDIA_TYPE)
    assert tree == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    pods = builtin.load("", "v1", "Pod")
    later = envelope("v1", "Pod", text(3, text(22, text(1, "volumeHealth, of 1.37"))))
    options = {"kind": "Pod", "api_version": "v1", "media_type": protobuf.MEDIA_TYPE, "validation": "Strict"}
    assert decoding.decode(later, pods, **options)[1] == []
    with pytest.raises(BadRequest, match="the object provided is unrecognized"):
        decoding.decode(b"nothing", schema, kind="ConfigMap", api_version="v1", media_type=protobuf.MEDIA_TYPE)


def test_a_message_without_fields_is_read():
    version = text(1, "v1") + text(5, text(1, b""))
    spec = text(1, "example.com") + text(7, version)
    tree = protobuf.decode(envelope("apiextensions.k8s.io/v1", "CustomResourceDefinition", text(2, spec)))
    assert tree["spec"]["versions"] == [{"name": "v1", "subresources": {"status": {}}}]
