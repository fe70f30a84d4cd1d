"""Kinds other than pods: their defaults, generations and refusals."""

from __future__ import annotations

import copy

import pytest
from resource_factories import deployment, texts

from minikube_api.meta.errors import BadRequest, Invalid
from minikube_api.resources import scale


def test_a_deployment_gets_its_defaults(kind):
    made, errors = kind("deployments", "apps").create(deployment())
    assert errors == []
    assert made["status"] == {}
    spec = {k: v for k, v in made["spec"].items() if k not in ("template", "selector")}
    assert spec == {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }


def test_spec_and_annotations_raise_a_deployments_generation_labels_and_status_do_not(kind):
    deployments = kind("deployments", "apps")
    made, _ = deployments.create(deployment())

    def generation_after(change, subresource=""):
        new = copy.deepcopy(made)
        change(new)
        return deployments.update(new, made, subresource)[0]["metadata"]["generation"]

    assert generation_after(lambda d: d["metadata"].update(labels={"a": "b"})) == 1
    assert generation_after(lambda d: d["metadata"].update(annotations={"a": "b"})) == 2
    assert generation_after(lambda d: d["spec"].update(replicas=4)) == 2
    assert generation_after(lambda d: d["spec"].update(replicas=4), "status") == 1


@pytest.mark.parametrize(
    ("plural", "group", "body", "expected"),
    [
        pytest.param(
            "deployments", "apps", deployment(selector={}), ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
            id="deployment-empty-selector",
        ),
        pytest.param(
            "deployments", "apps", deployment(strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
            ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"], id="deployment-recreate",
        ),
        pytest.param(
            "statefulsets", "apps", deployment(updateStrategy={"type": "Fast"}),
            ['spec.updateStrategy: Invalid value: {"Type":"Fast","RollingUpdate":null}: must be \'RollingUpdate\' or \'OnDelete\''],
            id="statefulset-strategy",
        ),
        pytest.param(
            "configmaps", "", {"metadata": {"name": "c"}, "data": {"a": "x"}, "binaryData": {"a": "AA=="}},
            ['data[a]: Invalid value: "a": duplicate of key present in binaryData'], id="configmap-key-twice",
        ),
        pytest.param("secrets", "", {"metadata": {"name": "s"}, "type": "kubernetes.io/tls"},
                     ["data[tls.crt]: Required value", "data[tls.key]: Required value"], id="secret-tls"),
        pytest.param("services", "", {"metadata": {"name": "s"}, "spec": {"type": "ExternalName"}},
                     ["spec.externalName: Required value"], id="service-external-name"),
        pytest.param("services", "", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "nodePort": 30000}]}},
                     ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"], id="service-node-port"),
        pytest.param("namespaces", "", {"metadata": {"name": "n.x"}},
                     ['metadata.name: Invalid value: "n.x": must not contain dots'], id="namespace-name"),
        pytest.param("roles", "rbac.authorization.k8s.io", {"metadata": {"name": "r"}, "rules": [{"resources": ["pods"], "apiGroups": [""]}]},
                     ["rules[0].verbs: Required value: verbs must contain at least one value"], id="role-without-verbs"),
        pytest.param("networkpolicies", "networking.k8s.io",
                     {"metadata": {"name": "n"}, "spec": {"egress": [{"ports": [{"endPort": 5, "port": 80}]}]}},
                     ["spec.egress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"], id="policy-end-port"),
        pytest.param("cronjobs", "batch", {"metadata": {"name": "c"}, "spec": {"schedule": "61 * * * *", "jobTemplate": {"spec": {"template": {
                     "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}}}}},
                     ['spec.schedule: Invalid value: "61 * * * *": end of range (61) above maximum (59): 61'], id="cron-minute"),
        pytest.param("leases", "coordination.k8s.io", {"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}},
                     ["spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"], id="lease-duration"),
    ],
)  # fmt: skip
def test_a_bad_object_is_refused_with_kubernetes_words(kind, plural, group, body, expected):
    assert texts(kind(plural, group).create(body)[1]) == expected


def test_a_job_selects_by_its_own_uid(kind):
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}
    made, errors = kind("jobs", "batch").create({"metadata": {"name": "j", "uid": "u"}, "spec": {"template": template}})
    assert errors == []
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    labels = {
        "batch.kubernetes.io/controller-uid": "u",
        "batch.kubernetes.io/job-name": "j",
        "controller-uid": "u",
        "job-name": "j",
    }
    assert made["metadata"]["labels"] == made["spec"]["template"]["metadata"]["labels"] == labels


def test_string_data_becomes_data(kind):
    made, errors = kind("secrets").create({"metadata": {"name": "s"}, "data": {"b": "Yg=="}, "stringData": {"b": "bee"}})
    assert errors == []
    assert made["data"] == {"b": "YmVl"}
    assert "stringData" not in made


def test_an_immutable_config_map_stays_so(kind):
    old, _ = kind("configmaps").create({"metadata": {"name": "c"}, "data": {"a": "x"}, "immutable": True})
    new = {**copy.deepcopy(old), "data": {"a": "y"}, "immutable": False}
    assert texts(kind("configmaps").update(new, old)[1]) == [
        "data: Forbidden: field is immutable when `immutable` is set",
        "immutable: Forbidden: field is immutable when `immutable` is set",
    ]


def test_an_external_name_gives_up_its_address(kind):
    old = {"metadata": {"name": "s", "namespace": "ns"}, "spec": {
        "type": "ClusterIP", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}]}}  # fmt: skip
    new = copy.deepcopy(old)
    new["spec"] |= {"type": "ExternalName", "externalName": "db.example.com"}
    made, errors = kind("services").update(new, old)
    assert errors == []
    assert set(made["spec"]) == {"type", "externalName", "sessionAffinity", "ports"}


def test_a_service_keeps_its_address_when_the_request_leaves_it_out(kind):
    old = {"metadata": {"name": "s", "namespace": "ns"}, "spec": {
        "type": "ClusterIP", "clusterIP": "10.96.0.5", "clusterIPs": ["10.96.0.5"], "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        "internalTrafficPolicy": "Cluster", "sessionAffinity": "None"}}  # fmt: skip
    new = copy.deepcopy(old)
    del new["spec"]["clusterIP"], new["spec"]["clusterIPs"]
    assert kind("services").update(new, old)[0]["spec"]["clusterIPs"] == ["10.96.0.5"]
    new["spec"] |= {"clusterIP": "10.96.0.6", "clusterIPs": ["10.96.0.6"]}
    assert texts(kind("services").update(new, old)[1]) == [
        'spec.clusterIPs[0]: Invalid value: ["10.96.0.6"]: may not change once set'
    ]


def test_a_scale_shows_and_sets_replicas(kind):
    made, _ = kind("deployments", "apps").create(deployment(replicas=2))
    shown = scale.scale_of(made)
    assert (shown["spec"], shown["status"]) == ({"replicas": 2}, {"replicas": 0, "selector": "app=web"})
    shown["spec"]["replicas"] = 5
    assert scale.scaled(made, shown)["spec"]["replicas"] == 5
    with pytest.raises(Invalid, match="must be greater than or equal to 0"):
        scale.scaled(made, {**shown, "spec": {"replicas": -1}})
    with pytest.raises(BadRequest):
        scale.scaled(made, {**shown, "metadata": {"name": "other"}})
