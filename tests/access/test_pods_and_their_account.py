"""What a pod may name: secrets that its account lists, nothing for mirror pods; and the zone of its node as a label."""

from __future__ import annotations

from typing import Any

import pytest
from access_world import NS, World

from minikube_api.server.admission.secret_references import CONTAINERS, EPHEMERAL, not_allowed

PODS = f"{NS}/pods"
MIRROR = {"kubernetes.io/config.mirror": "x"}
ACCOUNT = {"metadata": {"name": "s"}, "secrets": [{"name": "ok"}], "imagePullSecrets": [{"name": "pull"}]}
ENV = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "bad", "key": "k"}}}]}
FROM = {"envFrom": [{"secretRef": {"name": "bad"}}]}
ENDING = "is not allowed because service account s does not reference that secret"


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "annotations": annotations or {}},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


@pytest.mark.parametrize(
    ("spec", "kinds", "says"),
    [
        pytest.param(
            {"volumes": [{"name": "v", "secret": {"secretName": "bad"}}]},
            CONTAINERS,
            f'volume with secret.secretName="bad" {ENDING}',
            id="volume",
        ),
        pytest.param(
            {"initContainers": [{"name": "i", **ENV}]},
            CONTAINERS,
            f'init container i with envVar A referencing secret.secretName="bad" {ENDING}',
            id="variable",
        ),
        pytest.param(
            {"containers": [{"name": "c", **FROM}]},
            CONTAINERS,
            f'container c with envFrom referencing secret.secretName="bad" {ENDING}',
            id="environment",
        ),
        pytest.param(
            {"imagePullSecrets": [{"name": "pull"}, {"name": "bad"}]},
            CONTAINERS,
            'imagePullSecrets[1].name="bad" is not allowed because service account s does not reference that imagePullSecret',
            id="pull-secret",
        ),
        pytest.param(
            {"ephemeralContainers": [{"name": "e", **FROM}], "containers": [{"name": "c", **FROM}]},
            EPHEMERAL,
            f'ephemeral container e with envFrom referencing secret.secretName="bad" {ENDING}',
            id="ephemeral-container",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "secret": {"secretName": "ok"}}, {"name": "w", "emptyDir": {}}]},
            CONTAINERS,
            "",
            id="listed",
        ),
    ],
)
def test_only_listed_secrets_are_allowed(spec: dict[str, Any], kinds: Any, says: str) -> None:
    assert not_allowed(spec, ACCOUNT, kinds) == says


async def test_an_account_that_enforces_it_keeps_other_secrets_out(w: World) -> None:
    annotations = {"kubernetes.io/enforce-mountable-secrets": "true"}
    await w.ok("POST", f"{NS}/serviceaccounts", {"metadata": {"name": "s", "annotations": annotations}})
    bad = pod(serviceAccountName="s", volumes=[{"name": "v", "secret": {"secretName": "bad"}}])
    assert await w.refused("POST", PODS, bad) == f'pods "p" is forbidden: volume with secret.secretName="bad" {ENDING}'
    bad["spec"]["serviceAccountName"] = "default"
    await w.ok("POST", f"{PODS}?dryRun=All", bad)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        pytest.param({"volumes": [{"name": "v", "secret": {"secretName": "x"}}]}, "reference secrets", id="secret"),
        pytest.param({"volumes": [{"name": "v", "configMap": {"name": "x"}}]}, "reference configmaps", id="config-map"),
        pytest.param(
            {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]},
            "reference persistentvolumeclaims",
            id="claim",
        ),
        pytest.param(
            {"resourceClaims": [{"name": "x", "resourceClaimName": "x"}]}, "reference resourceclaims", id="resource-claim"
        ),
        pytest.param({"serviceAccountName": "default"}, "reference service accounts", id="account"),
        pytest.param(
            {"volumes": [{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]},
            "use ServiceAccountToken volume projections",
            id="token",
        ),
    ],
)
async def test_mirror_pods_use_nothing_of_the_api(w: World, spec: dict[str, Any], what: str) -> None:
    made = pod(MIRROR, nodeName="n", **spec)
    assert await w.refused("POST", PODS, made) == f'pods "p" is forbidden: a mirror pod may not {what}'


async def test_a_pod_gets_the_zone_of_its_node_when_it_is_bound(w: World) -> None:
    zone = {"topology.kubernetes.io/zone": "z1", "topology.kubernetes.io/region": "r1"}
    await w.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n1", "labels": {**zone, "other": "x"}}})
    made = pod()
    made["metadata"]["labels"] = {"app": "a"}
    await w.ok("POST", PODS, made)
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    await w.ok("POST", f"{PODS}/p/binding", binding)
    assert (await w.ok("GET", f"{PODS}/p"))["metadata"]["labels"] == {"app": "a", **zone}


async def test_a_pod_made_on_a_node_gets_its_zone_at_once(w: World) -> None:
    await w.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n1", "labels": {"topology.kubernetes.io/zone": "z1"}}})
    made = await w.ok("POST", PODS, pod(nodeName="n1"))
    assert made["metadata"]["labels"] == {"topology.kubernetes.io/zone": "z1"}


async def test_a_terminating_namespace_names_what_is_generated(w: World) -> None:
    await w.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "ending"}})
    await w.ok("POST", "/api/v1/namespaces/ending/configmaps", {"metadata": {"name": "held", "finalizers": ["a.b/c"]}})
    await w.ok("DELETE", "/api/v1/namespaces/ending")
    said = await w.refused("POST", "/api/v1/namespaces/ending/configmaps", {"metadata": {"generateName": "new-"}})
    assert said.startswith('configmaps "new-" is forbidden: unable to create new content in namespace ending')
