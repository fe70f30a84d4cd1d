"""Pod templates as messages print them: Go's internal types, every field under its Go name."""

from __future__ import annotations

import orjson
import pytest

from minikube_api.resources import go_form
from minikube_api.schema import builtin
from minikube_api.schema.model import Schema


@pytest.fixture(scope="module")
def template_schema() -> Schema:
    return builtin.load("batch", "v1", "Job").fields["spec"].fields["template"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("dnsPolicy", "DNSPolicy", id="dns"),
        pytest.param("seLinuxOptions", "SELinuxOptions", id="selinux"),
        pytest.param("setHostnameAsFQDN", "SetHostnameAsFQDN", id="plain"),
        pytest.param("tty", "TTY", id="tty"),
        pytest.param("cephfs", "CephFS", id="cephfs"),
        pytest.param("httpGet", "HTTPGet", id="http"),
    ],
)
def test_fields_have_gos_names(name, expected):
    assert go_form.go_name(name) == expected


def test_a_containers_fields_stand_in_gos_order_with_zero_values(template_schema):
    container = {"name": "app", "image": "r", "ports": [{"containerPort": 80, "protocol": "TCP"}], "tty": True}
    shown = go_form.pod_template({"spec": {"containers": [container]}}, template_schema)
    assert orjson.dumps(shown["Spec"]["Containers"]).decode() == (
        '[{"Name":"app","Image":"r","Command":null,"Args":null,"WorkingDir":"","Ports":[{"Name":"","HostPort":0,"ContainerPort":80,'
        '"Protocol":"TCP","HostIP":""}],"EnvFrom":null,"Env":null,"Resources":{"Limits":null,"Requests":null,"Claims":null},'
        '"ResizePolicy":null,"RestartPolicy":null,"RestartPolicyRules":null,"VolumeMounts":null,"VolumeDevices":null,'
        '"LivenessProbe":null,"ReadinessProbe":null,"StartupProbe":null,"Lifecycle":null,"TerminationMessagePath":"",'
        '"TerminationMessagePolicy":"","ImagePullPolicy":"","SecurityContext":null,"Stdin":false,"StdinOnce":false,"TTY":true}]'
    )


def test_host_namespaces_are_in_the_internal_security_context(template_schema):
    shown = go_form.pod_template({"spec": {"hostNetwork": True, "securityContext": {"fsGroup": 3}}}, template_schema)
    context = shown["Spec"]["SecurityContext"]
    assert list(context)[:5] == ["HostNetwork", "HostPID", "HostIPC", "ShareProcessNamespace", "HostUsers"]
    assert (context["HostNetwork"], context["HostPID"], context["HostUsers"], context["FSGroup"]) == (True, False, None, 3)


def test_metadata_comes_first_under_its_own_names_and_sorted(template_schema):
    shown = go_form.pod_template({"metadata": {"labels": {"b": "c", "a": "d"}}}, template_schema)
    assert orjson.dumps({**shown, "Spec": None}) == b'{"labels":{"a":"d","b":"c"},"Spec":null}'


def _structs(schema: Schema | None, found: dict[str, Schema]) -> dict[str, Schema]:
    if schema is None or schema.name in found:
        return found
    if schema.name:
        found[schema.name] = schema
    for inner in (*schema.fields.values(), schema.items, schema.values):
        _structs(inner, found)
    return found


def test_the_tables_name_every_field_of_the_versioned_types(template_schema):
    structs = _structs(template_schema, {})
    moved = {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"}
    for name, fields in go_form._FIELDS.items():
        # serviceAccount is the old name of serviceAccountName, which the internal type has alone
        assert set(structs[name].fields) - {"serviceAccount"} - moved == set(fields) - moved, name
