"""Pod Security Standards by version, and what a namespace's labels make of them."""

from __future__ import annotations

from typing import Any

import pytest
from access_world import ADMIN, World

from minikube_api.server.admission.pod_security import PREFIX, is_significant
from minikube_api.server.admission.pod_security_checks import findings


def pod(spec: dict[str, Any] | None = None, *, context: dict[str, Any] | None = None, **container: Any) -> dict[str, Any]:
    made = {"name": "c", "image": "i", **container, **({"securityContext": context} if context else {})}
    return {"metadata": {"name": "p"}, "spec": {"containers": [made], **(spec or {})}}


def sysctl(name: str) -> dict[str, Any]:
    return pod({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}})


PROBED = pod(livenessProbe={"httpGet": {"port": 80, "host": "8.8.8.8"}})
ENGINE = pod(context={"seLinuxOptions": {"type": "container_engine_t"}})
UNCONFINED = {"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "unconfined"}}, "spec": {}}


@pytest.mark.parametrize(
    ("level", "version", "tested", "reasons"),
    [
        pytest.param("baseline", "v1.26", sysctl("net.ipv4.ip_local_reserved_ports"), ["forbidden sysctls"], id="sysctl-too-new"),
        pytest.param("baseline", "v1.27", sysctl("net.ipv4.ip_local_reserved_ports"), [], id="sysctl-known"),
        pytest.param("baseline", "v1.30", ENGINE, ["seLinuxOptions"], id="selinux-type-too-new"),
        pytest.param("baseline", "v1.31", ENGINE, [], id="selinux-type-known"),
        pytest.param("baseline", "v1.33", PROBED, [], id="probe-hosts-not-looked-at"),
        pytest.param("baseline", "v1.34", PROBED, ["probe or lifecycle host"], id="probe-hosts"),
        pytest.param("restricted", "latest", PROBED, 5, id="probe-hosts-restricted"),
        pytest.param("restricted", "v1.7", pod(), ["runAsNonRoot != true"], id="the-first-restricted"),
        pytest.param("restricted", "v1.21", pod(), 3, id="before-capabilities"),
        pytest.param("restricted", "v1.24", pod({"os": {"name": "windows"}}), 4, id="windows-not-let-off-yet"),
        pytest.param("restricted", "v1.25", pod({"os": {"name": "windows"}}), ["runAsNonRoot != true"], id="windows"),
        pytest.param("restricted", "v1.22", pod(context={"runAsUser": 0}), 4, id="user-zero-let-off"),
        pytest.param("restricted", "v1.23", pod(context={"runAsUser": 0}), 5, id="user-zero"),
        pytest.param("baseline", "latest", UNCONFINED, ["forbidden AppArmor profile"], id="annotation"),
        pytest.param("privileged", "latest", pod({"hostNetwork": True}), [], id="privileged"),
    ],
)
def test_a_version_of_the_policy_knows_what_was_known_then(
    level: str, version: str, tested: dict[str, Any], reasons: list[str] | int
) -> None:
    found = [reason for reason, _ in findings(level, version, tested)]
    assert (len(found) if isinstance(reasons, int) else found) == reasons


def test_hosts_of_probes_and_hooks_are_told_each_once() -> None:
    spec = pod(
        livenessProbe={"httpGet": {"port": 80, "host": "b"}}, lifecycle={"preStop": {"tcpSocket": {"port": 1, "host": "a"}}}
    )
    assert findings("baseline", "latest", spec) == [
        ("probe or lifecycle host", 'container "c" uses probe or lifecycle hosts "a", "b"')
    ]


@pytest.mark.parametrize(
    ("new", "significant"),
    [
        pytest.param({"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}, False, id="labels"),
        pytest.param(pod(image="j"), True, id="image"),
        pytest.param(pod({"ephemeralContainers": [{"name": "e", "image": "i"}]}), True, id="ephemeral-container"),
        pytest.param({"metadata": {"annotations": {"seccomp.security.alpha.kubernetes.io/pod": "x"}}, **pod()}, False, id="same"),
        pytest.param({**pod(), "metadata": UNCONFINED["metadata"]}, True, id="profile"),
    ],
)
def test_updates_are_judged_when_they_matter(new: dict[str, Any], significant: bool) -> None:
    assert is_significant(new, pod()) is significant


async def namespace(w: World, name: str, **labels: str) -> str:
    named = {PREFIX + key.replace("_", "-"): value for key, value in labels.items()}
    await w.ok("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": named}})
    await w.ok("POST", f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
    return f"/api/v1/namespaces/{name}/pods"


async def test_a_stricter_level_keeps_a_pod_from_a_new_image(w: World) -> None:
    pods = await namespace(w, "strict")
    await w.ok("POST", pods, pod())
    await w.ok("PATCH", "/api/v1/namespaces/strict", {"metadata": {"labels": {f"{PREFIX}enforce": "restricted"}}}, **MERGE)
    await w.ok("PATCH", f"{pods}/p", {"metadata": {"labels": {"a": "b"}}}, **MERGE)
    status, tree = await w(
        ADMIN, "PATCH", f"{pods}/p", {"spec": {"containers": [{"name": "c", "image": "j"}]}},
        Content_Type="application/strategic-merge-patch+json",
    )  # fmt: skip
    assert status == 403
    assert tree["message"].startswith('pods "p" is forbidden: violates PodSecurity "restricted:latest"')


async def test_another_version_of_a_lower_level_is_checked_against_existing_pods(w: World) -> None:
    pods = await namespace(w, "older", enforce="privileged")
    await w.ok("POST", pods, pod({"hostPID": True}))
    await w.ok("PATCH", "/api/v1/namespaces/older", {"metadata": {"labels": {f"{PREFIX}enforce": "restricted"}}}, **MERGE)
    labels = {f"{PREFIX}enforce": "baseline"}
    await w.ok("PATCH", "/api/v1/namespaces/older?dryRun=All", {"metadata": {"labels": labels}}, **MERGE)
    assert not w.warning
    labels[f"{PREFIX}enforce-version"] = "v1.20"
    await w.ok("PATCH", "/api/v1/namespaces/older?dryRun=All", {"metadata": {"labels": labels}}, **MERGE)
    assert "p: host namespaces" in w.warning


MERGE = {"Content_Type": "application/merge-patch+json"}
