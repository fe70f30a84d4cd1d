"""Pods, field by field: what is refused, and which words warn of what is odd."""

from __future__ import annotations

import copy

import pytest
from resource_factories import pod, texts


def container(**fields):
    return pod(containers=[{"name": "a", "image": "x", **fields}])


def volume(**source):
    return pod(volumes=[{"name": "v", **source}])


def mounted(**mount):
    body = volume(emptyDir={})
    body["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v", **mount}]
    return body


RULES = [
    pytest.param(
        volume(hostPath={"path": "/x"}, emptyDir={}),
        ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        id="the-first-source-in-gos-order-counts",
    ),
    pytest.param(volume(gitRepo={}), ["spec.volumes[0].gitRepo.repository: Required value"], id="git-repository"),
    pytest.param(
        volume(iscsi={"targetPortal": "1.2.3.4", "iqn": "iqn.bad", "lun": 300}),
        [
            'spec.volumes[0].iscsi.iqn: Invalid value: "iqn.bad": must be valid format',
            "spec.volumes[0].iscsi.lun: Invalid value: 300: must be between 0 and 255, inclusive",
        ],
        id="iscsi",
    ),
    pytest.param(
        volume(fc={"targetWWNs": ["a"]}),
        ["spec.volumes[0].fc.lun: Required value: lun is required if targetWWNs is specified"],
        id="fibre-channel",
    ),
    pytest.param(
        volume(nfs={"server": "s", "path": "x"}),
        ['spec.volumes[0].nfs.path: Invalid value: "x": must be an absolute path'],
        id="nfs",
    ),
    pytest.param(
        volume(
            projected={
                "sources": [
                    {"secret": {"name": "s", "items": [{"key": "a", "path": "p"}]}},
                    {"configMap": {"name": "c", "items": [{"key": "a", "path": "p"}]}, "downwardAPI": {}},
                ]
            }
        ),
        [
            'spec.volumes[0].projected: Invalid value: "c": conflicting duplicate paths',
            "spec.volumes[0].projected.sources[1]: Forbidden: may not specify more than 1 volume type",
        ],
        id="projections-that-collide",
    ),
    pytest.param(
        volume(projected={"sources": [{"serviceAccountToken": {"path": "t"}}]}),
        [
            "spec.volumes[0].projected.sources[0].serviceAccountToken: Forbidden: must not be specified when serviceAccountName "
            "is not set"
        ],
        id="a-token-of-nobody",
    ),
    pytest.param(
        mounted(subPath="/abs", mountPropagation="Bidirectional"),
        [
            "spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available only to "
            "privileged containers",
            'spec.containers[0].volumeMounts.subPath: Invalid value: "/abs": must be a relative path',
        ],
        id="mounts-are-told-at-the-list",
    ),
    pytest.param(
        pod(os={"name": "mac"}), ['spec.os: Unsupported value: "mac": supported values: "linux", "windows"'], id="unknown-os"
    ),
    pytest.param(
        pod(os={"name": "windows"}, hostPID=True, securityContext={"runAsUser": 1}),
        [
            "spec.hostPID: Forbidden: cannot be set for a windows pod",
            "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod",
        ],
        id="windows",
    ),
    pytest.param(
        pod(os={"name": "linux"}, securityContext={"windowsOptions": {"runAsUserName": "x"}}),
        ["spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"],
        id="linux",
    ),
    pytest.param(
        pod(hostUsers=False, hostPID=True, hostIPC=True),
        ["spec.HostIPC: Forbidden: when `hostUsers` is false", "spec.HostPID: Forbidden: when `hostUsers` is false"],
        id="user-namespaces-with-host-namespaces",
    ),
    pytest.param(
        container(securityContext={"procMount": "Unmasked"}),
        ['spec.containers[0].securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'],
        id="unmasked-proc",
    ),
    pytest.param(
        pod(hostNetwork=True, securityContext={"sysctls": [{"name": "net.ipv4.ip_forward", "value": "1"}]}),
        [
            'spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.ip_forward": may not be specified when '
            "'hostNetwork' is true"
        ],
        id="sysctl-of-the-host",
    ),
    pytest.param(
        container(securityContext={"appArmorProfile": {"type": "X", "localhostProfile": "y"}}),
        [
            'spec.containers[0].securityContext.appArmorProfile.type: Unsupported value: "X": supported values: "Localhost", '
            '"RuntimeDefault", "Unconfined"'
        ],
        id="app-armor",
    ),
    pytest.param(
        pod(dnsPolicy="None"),
        ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        id="dns-of-nobody",
    ),
    pytest.param(
        pod(dnsConfig={"searches": ["_a.b_c.example", "A"], "options": [{}]}),
        [
            "spec.dnsConfig.options[0]: Required value: must not be empty",
            'spec.dnsConfig.searches[1]: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
            r"regex used for validation is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')",
        ],
        id="search-domains",
    ),
    pytest.param(
        pod(resourceClaims=[{"name": "c"}]),
        [
            'spec.resourceClaims[0]: Invalid value: {"Name":"c","ResourceClaimName":null,"ResourceClaimTemplateName":null}: '
            "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
        ],
        id="claim-of-nothing",
    ),
    pytest.param(
        container(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "X"}, {"resourceName": "cpu"}]),
        [
            'spec.containers[0].resizePolicy: Unsupported value: "X": supported values: "NotRequired", "RestartContainer"',
            "spec.containers[0].resizePolicy: Required value",
            'spec.containers[0].resizePolicy[1]: Duplicate value: "cpu"',
        ],
        id="resize-policies",
    ),
    pytest.param(
        {
            "metadata": {"name": "p", "annotations": {"container.apparmor.security.beta.kubernetes.io/b": "odd"}},
            "spec": container()["spec"],
        },
        [
            'metadata.annotations[container.apparmor.security.beta.kubernetes.io/b]: Invalid value: "b": container not found',
            'metadata.annotations[container.apparmor.security.beta.kubernetes.io/b]: Invalid value: "odd": invalid AppArmor '
            'profile name: "odd"',
        ],
        id="app-armor-annotation",
    ),
    pytest.param(
        pod(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": "2"}}}], resources={"limits": {"cpu": "1"}}),
        [
            'spec.containers[0].resources.limits[cpu]: Invalid value: "2": must be less than or equal to pod limits of 1',
            'spec.resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ],
        id="a-container-over-its-pod",
    ),
]


@pytest.mark.parametrize(("body", "expected"), RULES)
def test_what_kubernetes_refuses_is_refused_in_its_words(kind, body, expected):
    assert texts(kind("pods").create(body)[1]) == sorted(expected)


def _warnings(kind, body):
    pods = kind("pods")
    made, _ = pods.create(body)
    return pods.strategy.warnings(pods.context(), made, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(pod(), [], id="nothing"),
        pytest.param(
            pod("a.b"),
            [
                "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
                "recommended: [must not contain dots]"
            ],
            id="a-name-with-dots",
        ),
        pytest.param(
            container(env=[{"name": "A", "value": "1"}, {"name": "A", "value": "2"}, {"name": "A", "value": "$(A)3"}]),
            ['spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply'],
            id="hidden-variables",
        ),
        pytest.param(
            container(ports=[{"containerPort": 80}, {"containerPort": 80, "hostPort": 80}, {"containerPort": 80}]),
            [
                "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]",
                "spec.containers[0].ports[2]: duplicate port definition with spec.containers[0].ports[0]",
                "spec.containers[0].ports[2]: overlapping port definition with spec.containers[0].ports[1]",
            ],
            id="ports",
        ),
        pytest.param(
            container(ports=[{"containerPort": 80, "hostIP": "10.0.0.1"}]),
            [
                "spec.containers[0].ports[0]: hostIP set without hostPort: "
                "{Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}"
            ],
            id="host-ip-alone",
        ),
        pytest.param(
            pod(
                containers=[
                    {"name": n, "image": "x", "ports": [{"name": "http", "containerPort": p}]} for n, p in (("a", 80), ("b", 81))
                ]
            ),
            [
                'spec.containers[1].ports[0].name: duplicate port name "http" with spec.containers[0].ports[0].name, services and '
                "probes that select ports by name will use spec.containers[0].ports[0].name"
            ],
            id="port-names",
        ),
        pytest.param(
            pod(imagePullSecrets=[{"name": "s"}, {"name": "s"}, {}]),
            [
                'spec.imagePullSecrets[1].name: duplicate name "s"',
                'spec.imagePullSecrets[2].name: invalid empty name ""',
            ],
            id="pull-secrets",
        ),
        pytest.param(
            pod(nodeSelector={"beta.kubernetes.io/os": "linux"}),
            ['spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead'],
            id="old-node-label",
        ),
        pytest.param(
            volume(
                projected={
                    "sources": [{}, {"secret": {"name": "s", "items": [{"key": "k", "path": "a/b"}, {"key": "l", "path": "a"}]}}]
                }
            ),
            [
                'volume "v" (Projected) has no sources provided',
                'volume "v" (Projected): overlapping paths: "a" (Secret "s") with "a/b" (Secret "s")',
            ],
            id="overlapping-paths",
        ),
        pytest.param(
            container(resources={"limits": {"memory": "1500m"}}),
            [
                'spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is invalid, must be an integer',
                'spec.containers[0].resources.requests[memory]: fractional byte value "1500m" is invalid, must be an integer',
            ],
            id="parts-of-bytes",
        ),
    ],
)
def test_odd_pods_are_warned_of(kind, body, expected):
    assert _warnings(kind, body) == expected


def test_updates_of_pods_are_never_warned_of(kind):
    pods = kind("pods")
    old, _ = pods.create(container(env=[{"name": "A"}, {"name": "A"}]))
    assert pods.strategy.warnings(pods.context(), {**old, "spec": {**old["spec"], "activeDeadlineSeconds": 3}}, old) == []


def test_an_annotated_app_armor_profile_becomes_the_field(kind):
    key = "container.apparmor.security.beta.kubernetes.io/a"
    pods = kind("pods")
    body = container()
    body["metadata"]["annotations"] = {key: "localhost/mine"}
    context = pods.context()
    obj = copy.deepcopy(body)
    pods.strategy.default(obj)
    pods.strategy.prepare_create(context, obj)
    assert obj["spec"]["containers"][0]["securityContext"]["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "mine"}
    assert context.warnings == [f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead']


def test_a_forbidden_change_shows_the_lines_of_gos_types_that_differ(kind):
    pods = kind("pods")
    old, _ = pods.create(pod())
    new = copy.deepcopy(old)
    new["spec"]["hostname"] = "other"
    message = pods.update(new, old)[1][0].message
    assert '\n-  "Hostname": "",\n+  "Hostname": "other",\n' in message


def test_a_resize_names_containers_whatever_their_order_and_takes_nothing_else(kind):
    pods = kind("pods")
    asked = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    old, _ = pods.create(pod(containers=[{"name": n, "image": "x", "resources": copy.deepcopy(asked)} for n in "ab"]))
    new = copy.deepcopy(old)
    new["spec"]["containers"].reverse()
    new["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "2"}
    made, errors = pods.update(new, old, "resize")
    assert errors == []
    assert [c["resources"]["requests"]["cpu"] for c in made["spec"]["containers"]] == ["1", "2"]
    del new["spec"]["containers"][0]["resources"]["limits"]
    assert texts(pods.update(new, old, "resize")[1]) == [
        "spec.containers[1].resources.limits: Forbidden: resource limits cannot be removed"
    ]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        pytest.param("nginx:latest@sha256:" + "0" * 64, "Always", id="latest-with-digest"),
        pytest.param("Nginx", "IfNotPresent", id="no-reference"),
        pytest.param("[fd00::1]:5000/a/b", "Always", id="address"),
    ],
)
def test_the_pull_policy_reads_references_as_docker_does(kind, image, policy):
    made, _ = kind("pods").create(pod(containers=[{"name": "a", "image": image}]))
    assert made["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_the_first_of_a_nodes_addresses_is_the_old_one(kind):
    pods = kind("pods")
    old, _ = pods.create(pod())
    new = {**old, "status": {"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.2"}]}}
    assert texts(pods.update(new, old, "status")[1]) == [
        'status.hostIPs[0].ip: Invalid value: "10.0.0.2": must be equal to `hostIP`'
    ]


def test_a_gated_pods_terms_are_shown_as_gos_types(kind):
    pods = kind("pods")
    rule = {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]
        }
    }
    old, _ = pods.create(pod(schedulingGates=[{"name": "g"}], affinity={"nodeAffinity": rule}))
    new = copy.deepcopy(old)
    terms = new["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    terms[0]["matchExpressions"][0]["key"] = "b"
    assert texts(pods.update(new, old)[1]) == [
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]: Invalid value: "
        '{"MatchExpressions":[{"Key":"b","Operator":"Exists","Values":null}],"MatchFields":null}: only additions are allowed '
        "(no mutations or deletions)"
    ]


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        pytest.param([], "which is empty", id="none"),
        pytest.param([{"name": n, "resourceClaimName": "x"} for n in "cb"], ": b, c", id="others"),
    ],
)
def test_a_claim_that_the_pod_lacks_is_told_with_those_it_has(kind, claims, words):
    body = pod(resourceClaims=claims)
    body["spec"]["containers"][0]["resources"] = {"claims": [{"name": "a"}]}
    text = 'spec.containers[0].resources.claims[0]: Not found: "a": must be one of the names in pod.spec.resourceClaims'
    assert texts(kind("pods").create(body)[1]) == [text + (words if words[0] == ":" else f" {words}")]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        pytest.param({}, {"kubernetes.io/config.mirror": "x"}, "may not add mirror pod annotation", id="added"),
        pytest.param({"kubernetes.io/config.mirror": "x"}, {}, "may not remove or update mirror pod annotation", id="removed"),
    ],
)
def test_who_made_a_pod_can_not_be_changed(kind, before, after, words):
    pods = kind("pods")
    old, _ = pods.create({"metadata": {"name": "p", "annotations": before}, "spec": pod(nodeName="n")["spec"]})
    new = {**old, "metadata": {**old["metadata"], "annotations": after}}
    assert texts(pods.update(new, old)[1]) == [f"metadata.annotations[kubernetes.io/config.mirror]: Forbidden: {words}"]
