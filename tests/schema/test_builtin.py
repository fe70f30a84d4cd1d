"""The table of built-in kinds against facts read off a kube-apiserver 1.36 (`data/resources.tsv`), and against Go's types."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from minikube_api.schema import builtin

LINES = [line.split("\t") for line in (Path(__file__).parent / "data/resources.tsv").read_text().splitlines()[1:]]


def test_every_resource_of_the_real_server_is_there_with_its_facts():
    ours = []
    for kind in builtin.kinds():
        ours.append([
            kind.group, kind.version, kind.kind, kind.plural, kind.singular, ",".join(kind.short_names),
            ",".join(kind.categories), "Namespaced" if kind.namespaced else "Cluster", ",".join(kind.verbs),
        ])  # fmt: skip
    assert ours == [line for line in LINES if "/" not in line[3]]


def test_every_subresource_of_the_real_server_is_there_with_its_body_and_verbs():
    ours = []
    for kind in builtin.kinds():
        for sub in kind.subresources:
            own = (sub.group, sub.version) == (kind.group, kind.version)
            body = sub.kind if own else f"{sub.group}/{sub.version}/{sub.kind}"
            ours.append((kind.group, kind.version, f"{kind.plural}/{sub.name}", body, ",".join(sub.verbs)))
    theirs = [(line[0], line[1], line[3], line[2], line[8]) for line in LINES if "/" in line[3]]
    assert sorted(ours) == sorted(theirs)


@pytest.mark.parametrize("kind", builtin.kinds(), ids=lambda kind: f"{kind.group}/{kind.version}/{kind.kind}")
def test_every_kind_has_a_schema_whose_parts_are_complete(kind):
    schema = builtin.load(kind.group, kind.version, kind.kind)
    assert schema.fields["metadata"].name == "ObjectMeta"
    seen, queue = set(), [schema]
    while queue:
        node = queue.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        assert node.required <= node.fields.keys()
        assert node.omit_zero <= node.fields.keys()
        assert node.always.keys() <= node.fields.keys()
        assert not node.omit_zero & node.always.keys()
        if node.list_type == "map":
            assert node.items is not None
            assert set(node.list_map_keys) <= node.items.fields.keys()
        queue.extend([*node.fields.values(), *filter(None, (node.items, node.values))])


def test_unknown_kinds_are_key_errors():
    with pytest.raises(KeyError):
        builtin.load("", "v1", "Nothing")


def test_definitions_are_shared_between_kinds():
    pod = builtin.load("", "v1", "Pod")
    deployment = builtin.load("apps", "v1", "Deployment")
    assert deployment.fields["spec"].fields["template"].fields["spec"] is pod.fields["spec"]


def test_recursive_definitions_close():
    props = builtin.definition("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    assert props.fields["properties"].values is props
    assert props.fields["not"].fields is props.fields


def field(group: str, version: str, kind: str, path: str) -> builtin.Schema:
    node = builtin.load(group, version, kind)
    for part in path.split("."):
        node = node.fields[part]
        node = node.items if node.items is not None and node.items.fields and part != path.rsplit(".", 1)[-1] else node
    return node


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        pytest.param("spec.containers", {"patch_merge_key": "name", "list_map_keys": ("name",)}, id="merge key"),
        pytest.param("spec.containers.ports", {"list_map_keys": ("containerPort", "protocol")}, id="two map keys"),
        pytest.param("spec.volumes", {"patch_strategy": frozenset({"merge", "retainKeys"})}, id="retainKeys"),
        pytest.param("spec.containers.command", {"list_type": "atomic"}, id="atomic list"),
        pytest.param("spec.nodeSelector", {"type": "map", "map_type": "atomic"}, id="atomic map"),
        pytest.param("spec.containers.ports.protocol", {"default": "TCP"}, id="default in a map key"),
        pytest.param("spec.containers.livenessProbe.httpGet.port", {"type": "int-or-string"}, id="int or string"),
        pytest.param("spec.overhead", {"type": "map", "go_type": "v1.ResourceList"}, id="named map"),
        pytest.param("metadata.creationTimestamp", {"type": "time"}, id="time"),
        pytest.param("metadata.managedFields.fieldsV1", {"type": "any"}, id="raw JSON"),
    ],
)
def test_pod_fields_have_their_published_facts(path, facts):
    node = field("", "v1", "Pod", path)
    assert {name: getattr(node, name) for name in facts} == facts


@pytest.mark.parametrize(
    ("name", "field", "expected"),
    [
        pytest.param("api.core.v1.PodSpec", "hostNetwork", "omitted", id="bool"),
        pytest.param("api.core.v1.PodSpec", "nodeName", "omitted", id="string"),
        pytest.param("api.core.v1.PodSpec", "tolerations", "omitted", id="list"),
        pytest.param("api.core.v1.PodSpec", "enableServiceLinks", "pointer", id="pointer to bool"),
        pytest.param("api.core.v1.PodSpec", "terminationGracePeriodSeconds", "pointer", id="pointer to int"),
        pytest.param("api.core.v1.PodSpec", "securityContext", "pointer", id="pointer to struct"),
        pytest.param("api.apps.v1.DeploymentSpec", "replicas", "pointer", id="replicas"),
        pytest.param("api.core.v1.PodSpec", "containers", None, id="list without omitempty"),
        pytest.param("api.core.v1.Container", "resources", {}, id="struct with omitempty"),
        pytest.param("api.core.v1.Container", "name", "", id="required string"),
        pytest.param("api.rbac.v1.Role", "rules", None, id="rules"),
        pytest.param("api.core.v1.Event", "lastTimestamp", None, id="time with omitempty"),
        pytest.param("apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp", "omitted", id="omitzero"),
        pytest.param("api.core.v1.ServicePort", "targetPort", 0, id="int or string by value"),
        pytest.param("api.core.v1.NodeStatus", "daemonEndpoints", {"kubeletEndpoint": {"Port": 0}}, id="nested zero"),
        pytest.param("kube-aggregator.pkg.apis.apiregistration.v1.APIServiceSpec", "versionPriority", 0, id="hand-written"),
    ],
)
def test_go_drops_keeps_or_writes_an_absent_field(name, field, expected):
    node = builtin.definition(f"io.k8s.{name}")
    if expected == "omitted":
        assert field in node.omit_zero
    elif expected == "pointer":
        assert field in node.fields
        assert field not in node.omit_zero | node.always.keys()
    else:
        assert node.always[field] == expected


def test_descriptions_are_the_published_texts():
    assert builtin.descriptions("io.k8s.api.core.v1.Pod")["spec"].startswith("Specification of the desired behavior")


def test_facts_of_a_kind_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        builtin.kinds()[0].kind = "Other"
