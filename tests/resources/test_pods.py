"""Pods: defaults, what is refused and with which words, what an update may change."""

from __future__ import annotations

import copy

import pytest
from resource_factories import NOW, pod, texts

from minikube_api.meta.errors import Conflict, StatusError, TooManyRequests
from minikube_api.resources.pods import defaults, resources, subresources


def container(**fields):
    return pod(containers=[{"name": "a", "image": "x", **fields}])


def test_a_minimal_pod_gets_its_defaults(kind):
    made, errors = kind("pods").create(pod())
    assert errors == []
    assert made["spec"] == {
        "containers": [{
            "name": "app", "image": "registry.example/app:1", "imagePullPolicy": "IfNotPresent", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        }],
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": True, "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30,
    }  # fmt: skip
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["metadata"]["generation"] == 1


def test_defaulting_twice_changes_nothing(kind):
    body = container(
        livenessProbe={"httpGet": {"port": 80}}, env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    )
    body["spec"]["volumes"] = [
        {"name": "v"},
        {"name": "s", "secret": {"secretName": "x"}},
        {"name": "h", "hostPath": {"path": "/x"}},
    ]
    kind("pods").strategy.default(body)
    once = copy.deepcopy(body)
    kind("pods").strategy.default(body)
    assert body == once
    assert once["spec"]["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}},
        {"name": "h", "hostPath": {"path": "/x", "type": ""}},
    ]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        pytest.param("nginx", "Always", id="no-tag"),
        pytest.param("nginx:latest", "Always", id="latest"),
        pytest.param("nginx:1", "IfNotPresent", id="tag"),
        pytest.param("host:5000/nginx", "Always", id="port-is-no-tag"),
        pytest.param("nginx@sha256:" + "0" * 64, "IfNotPresent", id="digest"),
    ],
)
def test_the_pull_policy_follows_the_tag(image, policy):
    assert defaults.pull_policy(image) == policy


@pytest.mark.parametrize(
    ("listed", "qos"),
    [
        pytest.param([{}], "BestEffort", id="nothing"),
        pytest.param(
            [{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}],
            "Guaranteed",
            id="equal",
        ),
        pytest.param([{"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}], "Burstable", id="cpu-only"),
        pytest.param(
            [{"limits": {"cpu": "1", "memory": "1"}, "requests": {"cpu": "1", "memory": "1"}}, {}], "Burstable", id="one-without"
        ),
    ],
)
def test_the_qos_class(listed, qos):
    assert resources.qos_class({"containers": [{"resources": r} for r in listed]}) == qos


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"metadata": {"name": "p"}, "spec": {}}, ["spec.containers: Required value"], id="no-containers"),
        pytest.param(
            pod(containers=[{}]),
            ["spec.containers[0].image: Required value", "spec.containers[0].name: Required value"],
            id="empty-container",
        ),
        pytest.param(
            container(ports=[{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}]),
            ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//80"'],
            id="host-port-twice",
        ),
        pytest.param(
            pod(
                containers=[{"name": "c", "image": "i"}],
                securityContext={"sysctls": [{"name": n} for n in ("foo-", "a.b-c/d", "x..")]},
            ),
            [
                f'spec.securityContext.sysctls[{i}].name: Invalid value: "{name}": must have at most 253 characters and match regex '
                r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
                for i, name in ((0, "foo-"), (2, "x.."))
            ],
            id="sysctl-names",
        ),
        pytest.param(
            container(livenessProbe={"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}),
            ["spec.containers[0].livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type"],
            id="two-handlers",
        ),
        pytest.param(
            container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: '
                "field label not supported: spec.nope"
            ],
            id="unknown-field-path",
        ),
        pytest.param(
            container(volumeMounts=[{"name": "gone", "mountPath": "/x"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "gone"'],
            id="mount-without-volume",
        ),
        pytest.param(
            container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}),
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1'],
            id="request-over-limit",
        ),
        pytest.param(
            container(securityContext={"privileged": True, "allowPrivilegeEscalation": False}),
            [
                'spec.containers[0].securityContext: Invalid value: {"Capabilities":null,"Privileged":true,"SELinuxOptions":null,'
                '"WindowsOptions":null,"RunAsUser":null,"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,'
                '"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,"AppArmorProfile":null}: cannot set '
                "`allowPrivilegeEscalation` to false and `privileged` to true"
            ],
            id="privileged-without-escalation",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}}]),
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
            id="two-sources",
        ),
        pytest.param(
            pod(nodeName="n", schedulingGates=[{"name": "a"}]),
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
            id="gated-with-node",
        ),
        pytest.param(
            pod(topologySpreadConstraints=[{"maxSkew": 0, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}]),
            ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero"],
            id="no-skew",
        ),
        pytest.param(
            pod(tolerations=[{}]),
            [
                'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means '
                '"match all values and all keys"'
            ],
            id="toleration-of-nothing",
        ),
        pytest.param(
            pod(ephemeralContainers=[{"name": "debug", "image": "b"}]),
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
            id="ephemeral-on-create",
        ),
    ],
)
def test_a_bad_pod_is_refused_with_kubernetes_words(kind, body, expected):
    assert texts(kind("pods").create(body)[1]) == expected


def test_an_image_may_change_and_raises_the_generation(kind):
    old, _ = kind("pods").create(pod())
    new = copy.deepcopy(old)
    new["spec"]["containers"][0]["image"] = "registry.example/app:2"
    made, errors = kind("pods").update(new, old)
    assert errors == []
    assert made["metadata"]["generation"] == 2


def test_another_field_of_the_spec_may_not(kind):
    old, _ = kind("pods").create(pod())
    new = copy.deepcopy(old)
    new["spec"]["hostname"] = "other"
    errors = kind("pods").update(new, old)[1]
    assert [e.path for e in errors] == ["spec"]
    assert errors[0].message.startswith("Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")


def test_labels_change_without_a_new_generation_and_status_is_kept(kind):
    old, _ = kind("pods").create(pod())
    new = copy.deepcopy(old)
    new["metadata"]["labels"] = {"a": "b"}
    new["status"] = {"phase": "Running"}
    made, errors = kind("pods").update(new, old)
    assert errors == []
    assert made["metadata"]["generation"] == 1
    assert made["status"] == old["status"]


def test_status_takes_nothing_but_status(kind):
    old, _ = kind("pods").create(pod(restartPolicy="Never"))
    new = copy.deepcopy(old)
    new["spec"]["hostname"] = "x"
    new["status"] = {"phase": "Failed", "containerStatuses": [{"name": "app", "state": {"terminated": {"exitCode": 1}}}]}
    failed, errors = kind("pods").update(new, old, "status")
    assert errors == []
    assert failed["spec"] == old["spec"]
    again = copy.deepcopy(failed)
    again["status"]["containerStatuses"][0]["state"] = {"running": {}}
    assert texts(kind("pods").update(again, failed, "status")[1]) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


def test_resize_changes_resources_only_and_keeps_the_qos_class(kind):
    asked = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m"}}
    old, _ = kind("pods").create(container(resources=asked))
    new = copy.deepcopy(old)
    new["metadata"]["labels"] = {"a": "b"}
    new["spec"]["containers"][0] |= {"image": "y", "resources": {"requests": {"cpu": "150m"}, "limits": {"cpu": "200m"}}}
    made, errors = kind("pods").update(new, old, "resize")
    assert errors == []
    assert made["spec"]["containers"][0]["image"] == "x"
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "150m"}
    assert "labels" not in made["metadata"]


def test_ephemeral_containers_are_added_and_never_removed(kind):
    old, _ = kind("pods").create(pod())
    new = copy.deepcopy(old)
    new["spec"]["ephemeralContainers"] = [{"name": "debug", "image": "busybox", "targetContainerName": "app"}]
    made, errors = kind("pods").update(new, old, "ephemeralcontainers")
    assert errors == []
    assert made["metadata"]["generation"] == 2
    assert texts(kind("pods").update(old, made, "ephemeralcontainers")[1]) == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be removed\n'
    ]


def test_binding_puts_a_pod_on_a_node_once(kind):
    made, _ = kind("pods").create(pod())
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    subresources.check_binding(binding, "p")
    bound = subresources.bind(made, binding, NOW)
    assert bound["spec"]["nodeName"] == "n1"
    assert bound["status"]["conditions"] == [
        {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": NOW}
    ]
    with pytest.raises(Conflict, match='pod p is already assigned to node "n1"'):
        subresources.bind(bound, binding, NOW)


def test_a_binding_to_something_else_is_refused():
    with pytest.raises(StatusError) as caught:
        subresources.check_binding({"metadata": {"name": "p"}, "target": {"kind": "Service", "name": ""}}, "p")
    assert caught.value.message == (
        '[target.kind: Unsupported value: "Service": supported values: "Node", "<empty>", target.name: Required value]'
    )


def test_a_budget_without_room_refuses_and_one_with_room_counts():
    budget = {"metadata": {"name": "b", "generation": 1}, "spec": {}, "status": {"disruptionsAllowed": 0}}
    with pytest.raises(TooManyRequests) as caught:
        subresources.take_disruption(budget, "p", NOW)
    assert caught.value.retry_after_seconds == 10
    budget["status"] = {"observedGeneration": 1, "disruptionsAllowed": 1, "desiredHealthy": 1, "currentHealthy": 2}
    taken = subresources.take_disruption(budget, "p", NOW)["status"]
    assert taken["disruptionsAllowed"] == 0
    assert taken["disruptedPods"] == {"p": NOW}
    assert taken["conditions"][0]["reason"] == "InsufficientPods"
