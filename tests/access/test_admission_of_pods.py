"""What the default admission plug-ins make of a pod, and what they refuse, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest
from access_world import NS, World, container, pod

PODS = f"{NS}/pods"
MERGE = "application/merge-patch+json"


async def test_a_pod_gets_account_token_priority_and_tolerations(w: World) -> None:
    spec = (await w.ok("POST", PODS, pod("p")))["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"], spec["priority"]) == ("default", "default", 0)
    mount = spec["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert mount["name"] == spec["volumes"][0]["name"]
    assert [t["tolerationSeconds"] for t in spec["tolerations"]] == [300, 300]


@pytest.mark.parametrize(
    ("account", "spec", "mounted"),
    [
        pytest.param({}, {}, True, id="default"),
        pytest.param({"automountServiceAccountToken": False}, {}, False, id="account-says-no"),
        pytest.param({"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}, True, id="pod-wins"),
        pytest.param({}, {"automountServiceAccountToken": False}, False, id="pod-says-no"),
    ],
)
async def test_the_token_is_mounted_unless_somebody_says_no(w: World, account: dict, spec: dict, mounted: bool) -> None:
    secrets = [{"name": "reg"}]
    await w.ok("POST", f"{NS}/serviceaccounts", {"metadata": {"name": "a"}, "imagePullSecrets": secrets, **account})
    made = (await w.ok("POST", PODS, pod("p", serviceAccountName="a", **spec)))["spec"]
    assert bool(made.get("volumes")) is mounted
    assert made["imagePullSecrets"] == secrets


REFUSED: list[Any] = [
    pytest.param(
        {"serviceAccountName": "nobody"},
        'error looking up service account default/nobody: serviceaccount "nobody" not found',
        id="account",
    ),
    pytest.param({"priorityClassName": "none"}, "no PriorityClass with name none was found", id="priority-class"),
    pytest.param(
        {"priority": 7},
        "the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the "
        "given PriorityClass name",
        id="priority",
    ),
    pytest.param({"runtimeClassName": "x"}, 'pod rejected: RuntimeClass "x" not found', id="runtime-class"),
    pytest.param(
        {"overhead": {"cpu": "1m"}},
        "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        id="overhead",
    ),
]


@pytest.mark.parametrize(("spec", "why"), REFUSED)
async def test_a_pod_is_refused(w: World, spec: dict, why: str) -> None:
    assert await w.refused("POST", PODS, pod("p", **spec)) == f'pods "p" is forbidden: {why}'


async def test_a_runtime_class_brings_overhead_and_node_selection(w: World) -> None:
    scheduling = {"nodeSelector": {"k": "v"}, "tolerations": [{"key": "t", "operator": "Exists"}]}
    cls = {"metadata": {"name": "r"}, "handler": "h", "overhead": {"podFixed": {"cpu": "5m"}}, "scheduling": scheduling}
    await w.ok("POST", "/apis/node.k8s.io/v1/runtimeclasses", cls)
    spec = (await w.ok("POST", PODS, pod("p", runtimeClassName="r")))["spec"]
    assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "5m"}, {"k": "v"})
    assert {"key": "t", "operator": "Exists"} in spec["tolerations"]


async def test_nothing_is_made_in_a_namespace_that_goes_or_is_not_there(w: World) -> None:
    status, tree = await w(*_admin(), "POST", "/api/v1/namespaces/nope/configmaps", {"metadata": {"name": "a"}})
    assert (status, tree["message"]) == (404, 'namespaces "nope" not found')
    await w.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "going"}})
    await w.ok("DELETE", "/api/v1/namespaces/going")
    status, tree = await w(*_admin(), "POST", "/api/v1/namespaces/going/configmaps", {"metadata": {"name": "a"}})
    assert status == 403
    assert tree["message"].endswith("unable to create new content in namespace going because it is being terminated")
    assert tree["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert "this namespace may not be deleted" in await w.refused("DELETE", "/api/v1/namespaces/kube-system")


def _admin() -> tuple:
    from access_world import ADMIN

    return (ADMIN,)


LIMITS = [
    {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "250m"}, "max": {"cpu": "1"}, "min": {"cpu": "50m"}},
    {"type": "Pod", "max": {"cpu": "2"}},
]  # fmt: skip


def asking(limit: str, request: str) -> dict:
    return {"resources": {"limits": {"cpu": limit}, "requests": {"cpu": request}}}


async def test_limit_ranges_fill_in_and_bound(w: World) -> None:
    await w.ok("POST", f"{NS}/limitranges", {"metadata": {"name": "l"}, "spec": {"limits": LIMITS}})
    made = await w.ok("POST", PODS, pod("p"))
    assert made["spec"]["containers"][0]["resources"] == {"limits": {"cpu": "500m"}, "requests": {"cpu": "250m"}}
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    )
    assert await w.refused("POST", PODS, pod("q", container("c", **asking("3", "10m")))) == (
        'pods "q" is forbidden: [minimum cpu usage per Container is 50m, but request is 10m, maximum cpu usage per Container is 1, '
        "but limit is 3, maximum cpu usage per Pod is 2, but limit is 3]"
    )


async def quota(w: World, hard: dict[str, str], **spec: Any) -> None:
    await w.ok("POST", f"{NS}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}})
    status = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    await w.ok("PATCH", f"{NS}/resourcequotas/q/status", {"status": status}, Content_Type=MERGE)


async def used(w: World) -> dict[str, str]:
    return (await w.ok("GET", f"{NS}/resourcequotas/q"))["status"]["used"]


async def test_quota_counts_and_refuses_what_exceeds(w: World) -> None:
    await quota(w, {"pods": "2", "requests.cpu": "500m"})
    assert await w.refused("POST", PODS, pod("a")) == ('pods "a" is forbidden: failed quota: q: must specify requests.cpu for: c')
    await w.ok("POST", PODS, pod("a", container("c", **asking("400m", "300m"))))
    assert await used(w) == {"pods": "1", "requests.cpu": "300m"}
    assert await w.refused("POST", PODS, pod("b", container("c", **asking("400m", "300m")))) == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=300m, used: requests.cpu=300m, limited: requests.cpu=500m'
    )
    await w.ok("POST", f"{PODS}?dryRun=All", pod("c", container("c", **asking("200m", "100m"))))
    assert await used(w) == {"pods": "1", "requests.cpu": "300m"}


async def test_quota_holds_under_parallel_writes(w: World) -> None:
    import asyncio

    await quota(w, {"configmaps": "5", "count/secrets": "3"})
    results = await asyncio.gather(
        *(w(*_admin(), "POST", f"{NS}/configmaps", {"metadata": {"name": f"c{n}"}}) for n in range(12)),
        *(w(*_admin(), "POST", f"{NS}/secrets", {"metadata": {"name": f"s{n}"}}) for n in range(6)),
    )
    assert sum(status == 201 for status, _ in results[:12]) == 5
    assert sum(status == 201 for status, _ in results[12:]) == 3
    assert await used(w) == {"configmaps": "5", "count/secrets": "3"}


async def test_a_scoped_quota_takes_its_pods_only(w: World) -> None:
    await quota(w, {"pods": "1"}, scopes=["BestEffort"])
    await w.ok("POST", PODS, pod("a", container("c", **asking("1", "1"))))
    await w.ok("POST", PODS, pod("b"))
    assert "exceeded quota" in await w.refused("POST", PODS, pod("c"))


async def enforce(w: World, level: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": level}
    await w.ok("PATCH", "/api/v1/namespaces/default", {"metadata": {"labels": labels}}, Content_Type=MERGE)


def secured(**fields: Any) -> dict:
    return container("c", securityContext=fields)


BASELINE: list[Any] = [
    pytest.param(pod("p", hostNetwork=True, hostPID=True), "host namespaces (hostNetwork=true, hostPID=true)", id="host"),
    pytest.param(
        pod("p", secured(privileged=True)),
        'privileged (container "c" must not set securityContext.privileged=true)',
        id="privileged",
    ),
    pytest.param(
        pod("p", secured(capabilities={"add": ["NET_RAW"]})),
        'non-default capabilities (container "c" must not include "NET_RAW" in securityContext.capabilities.add)',
        id="capabilities",
    ),
    pytest.param(pod("p", volumes=[{"name": "v", "hostPath": {"path": "/"}}]), 'hostPath volumes (volume "v")', id="host-path"),
    pytest.param(
        pod("p", container("c", ports=[{"containerPort": 1, "hostPort": 81}, {"containerPort": 2, "hostPort": 80}])),
        'hostPort (container "c" uses hostPorts 80, 81)',
        id="host-ports",
    ),
    pytest.param(
        pod("p", securityContext={"seccompProfile": {"type": "Unconfined"}}),
        'seccompProfile (pod must not set securityContext.seccompProfile.type to "Unconfined")',
        id="seccomp",
    ),
    pytest.param(
        pod("p", secured(seLinuxOptions={"type": "x", "user": "u"})),
        'seLinuxOptions (container "c" set forbidden securityContext.seLinuxOptions: type "x"; user may not be set)',
        id="selinux",
    ),
]


@pytest.mark.parametrize(("body", "why"), BASELINE)
async def test_baseline_refuses(w: World, body: dict, why: str) -> None:
    await enforce(w, "baseline")
    assert await w.refused("POST", PODS, body) == f'pods "p" is forbidden: violates PodSecurity "baseline:latest": {why}'


async def test_restricted_refuses_a_plain_pod_and_takes_a_careful_one(w: World) -> None:
    await enforce(w, "restricted")
    assert await w.refused("POST", PODS, pod("p")) == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set '
        'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set '
        'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
        'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")'
    )
    careful = secured(
        allowPrivilegeEscalation=False,
        capabilities={"drop": ["ALL"]},
        runAsNonRoot=True,
        seccompProfile={"type": "RuntimeDefault"},
    )
    await w.ok("POST", PODS, pod("p", careful))


async def test_a_default_storage_class_is_given_to_claims(w: World) -> None:
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"}
    made = {"metadata": {"name": "fast", "annotations": annotations}, "provisioner": "x/y"}
    await w.ok("POST", "/apis/storage.k8s.io/v1/storageclasses", made)
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    got = await w.ok("POST", f"{NS}/persistentvolumeclaims", claim)
    assert got["spec"]["storageClassName"] == "fast"
    assert got["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
