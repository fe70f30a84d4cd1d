from __future__ import annotations

from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_api.schema.typed.rbac_v1 import ClusterRole, PolicyRule

TO_VIEW = {"rbac.authorization.k8s.io/aggregate-to-view": "true"}


def rule(resource: str) -> PolicyRule:
    return PolicyRule(apiGroups=("x.example.com",), resources=(resource,), verbs=("get",))


async def resources_of(w, name: str) -> set[str]:
    role = await w.client.get(ClusterRole, name)
    return {resource for rule in role.rules or () for resource in rule.resources}


async def test_default_roles_get_their_rules_and_follow_labelled_roles(world) -> None:
    async with world("clusterrole-aggregation-controller") as w:

        async def admin_has_pods() -> bool:
            return "pods" in await resources_of(w, "admin")

        await w.until(admin_has_pods)
        assert {"configmaps", "pods/log"} <= await resources_of(w, "view")
        assert "secrets" not in await resources_of(w, "view")
        await w.client.create(ClusterRole(metadata=ObjectMeta(name="widgets", labels=TO_VIEW), rules=(rule("widgets"),)))

        async def admin_sees_widgets() -> bool:
            return "widgets" in await resources_of(w, "admin")  # through view and edit

        await w.until(admin_sees_widgets)
        await w.client.delete(ClusterRole, "widgets")

        async def gone_again() -> bool:
            return "widgets" not in await resources_of(w, "admin")

        await w.until(gone_again)


async def test_rules_that_are_right_are_not_written_again(world) -> None:
    async with world("clusterrole-aggregation-controller") as w:

        async def done() -> bool:
            return "pods" in await resources_of(w, "admin")

        await w.until(done)
        await w.quiet()
        before = (await w.client.get(ClusterRole, "admin")).metadata.resourceVersion
        await w.client.create(ClusterRole(metadata=ObjectMeta(name="other"), rules=(rule("others"),)))
        await w.quiet()
        assert (await w.client.get(ClusterRole, "admin")).metadata.resourceVersion == before
