"""The generated structs: they read what servers write, and write what servers read."""

from __future__ import annotations

import importlib
import json
import pkgutil
import weakref

import msgspec
import pytest

from minikube_api.schema import builtin, typed
from minikube_api.schema.typed import apps_v1, core_v1, discovery_v1, meta_v1, rbac_v1

MODULES = [module.name for module in pkgutil.iter_modules(typed.__path__)]


@pytest.mark.parametrize("module", MODULES)
def test_every_struct_of_a_module_can_be_decoded(module):
    found = vars(importlib.import_module(f"{typed.__name__}.{module}")).values()
    structs = [found for found in found if isinstance(found, type) and issubclass(found, typed.Struct)]
    assert structs
    for struct in structs:
        msgspec.json.Decoder(struct)


@pytest.mark.parametrize("kind", builtin.kinds(), ids=lambda kind: f"{kind.group}/{kind.version}/{kind.kind}")
def test_every_served_kind_is_typed_and_knows_its_api(kind):
    api = typed.of(kind.group, kind.version, kind.kind).API
    assert (api.group, api.version, api.kind, api.plural, api.namespaced) == (
        kind.group, kind.version, kind.kind, kind.plural, kind.namespaced,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("group", "kind"),
    [("policy", "Eviction"), ("autoscaling", "Scale"), ("authentication.k8s.io", "TokenRequest"), ("", "Binding")],
)
def test_bodies_of_subresources_are_typed(group, kind):
    assert typed.of(group, "v1", kind).API.kind == kind


@pytest.mark.parametrize("gvk", [("", "v1", "Nothing"), ("no.such.group", "v1", "Pod")])
def test_unknown_kinds_are_key_errors(gvk):
    with pytest.raises(KeyError):
        typed.of(*gvk)


def test_an_object_is_written_with_its_api_version_and_kind_first():
    deployment = apps_v1.Deployment(
        metadata=meta_v1.ObjectMeta(name="web"),
        spec=apps_v1.DeploymentSpec(
            replicas=0,
            selector=meta_v1.LabelSelector(matchLabels={"app": "web"}),
            template=core_v1.PodTemplateSpec(spec=core_v1.PodSpec(containers=(core_v1.Container(name="c"),))),
        ),
    )
    body = typed.encode(deployment)
    assert body.startswith(b'{"apiVersion":"apps/v1","kind":"Deployment",')
    assert json.loads(body) == typed.tree(deployment)
    assert json.loads(body)["spec"] == {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"spec": {"containers": [{"name": "c"}]}},
    }


def test_an_empty_object_is_valid_json():
    assert json.loads(typed.encode(core_v1.Pod())) == {"apiVersion": "v1", "kind": "Pod"}


def test_what_a_server_writes_round_trips():
    tree = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "managedFields": [{"manager": "kubectl"}]},
        "data": {"k": "dg=="},
        "type": "Opaque",
        "someFutureField": {"a": 1},
    }
    secret = msgspec.convert(tree, core_v1.Secret)
    assert secret.data == {"k": b"v"}
    assert secret.metadata.namespace == ""
    assert typed.tree(secret)["data"] == {"k": "dg=="}


@pytest.mark.parametrize(
    ("struct", "body"),
    [
        pytest.param(rbac_v1.ClusterRole, b'{"metadata":{"name":"a"},"rules":null}', id="null rules"),
        pytest.param(discovery_v1.EndpointSlice, b'{"addressType":"IPv4","endpoints":null,"ports":null}', id="slice"),
        pytest.param(core_v1.Event, b'{"involvedObject":{},"lastTimestamp":null,"eventTime":null}', id="null times"),
    ],
)
def test_nulls_that_go_writes_can_be_read(struct, body):
    msgspec.json.decode(body, type=struct)


def test_fields_that_python_forbids_have_an_underscore():
    policy = typed.of("networking.k8s.io", "v1", "NetworkPolicy")
    block = {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}
    tree = {"spec": {"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]}}
    decoded = msgspec.convert(tree, policy)
    peer = decoded.spec.ingress[0].from_[0]
    assert peer.ipBlock.except_ == ("10.1.0.0/16",)
    assert typed.tree(decoded)["spec"] == tree["spec"]


def test_objects_are_frozen_and_weakly_referable():
    pod = core_v1.Pod()
    assert weakref.ref(pod)() is pod
    with pytest.raises(AttributeError):
        pod.metadata = meta_v1.ObjectMeta(name="b")


def test_status_and_spec_are_never_none():
    pod = core_v1.Pod()
    assert (pod.metadata.name, pod.spec.containers, pod.status.phase) == ("", (), None)
    assert core_v1.Service().status.loadBalancer.ingress == ()


def test_structs_and_table_come_from_the_same_run_of_the_generator():
    for kind in builtin.kinds():
        struct, schema = typed.of(kind.group, kind.version, kind.kind), builtin.load(kind.group, kind.version, kind.kind)
        ours = {field.encode_name for field in msgspec.structs.fields(struct)}
        assert ours == set(schema.fields) - {"apiVersion", "kind"}, kind.kind
