"""Nobody grants what they do not hold: the checks on writes of roles and bindings (documentation, "Privilege escalation prevention").

kube-apiserver does this in the storage of the kinds, before validation; here it is the first admission plug-in that sees them.
"""

from __future__ import annotations

from collections.abc import Iterable

from minikube_api.meta.errors import Forbidden, NotFound, StatusError, qualified
from minikube_api.server.access.rbac import GROUP, RBAC, rules_of
from minikube_api.server.access.rules import Rule, compacted, missing, quoted
from minikube_api.server.authorization import MASTERS
from minikube_api.server.context import Object
from minikube_api.server.contract import AdmissionAttributes, Attributes, Authorizer, Operation

_ROLES = frozenset({"roles", "clusterroles"})
_BINDINGS = frozenset({"rolebindings", "clusterrolebindings"})


class EscalationCheck:
    name = "RBACEscalation"

    def __init__(self, rbac: RBAC, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    def handles(self, operation: Operation) -> bool:
        return operation in ("CREATE", "UPDATE")

    async def validate(self, attributes: AdmissionAttributes) -> None:
        return

    async def admit(self, attributes: AdmissionAttributes) -> None:
        resource, obj, old = attributes.resource, attributes.obj, attributes.old
        if resource.group != GROUP or obj is None or MASTERS in attributes.user.groups:
            return
        if resource.plural in _ROLES:
            if old is not None and _only_for_garbage_collection(obj, old):
                return
            if await self._may(attributes, "escalate", resource.plural, name_of(attributes)):
                return
            if obj.get("aggregationRule") or (old is not None and old.get("aggregationRule")):
                # it may gather anything
                held, _ = await self._rbac.rules_for(attributes.user, attributes.namespace)
                if missing(held, [Rule(("*",), ("*",), ("*",)), Rule(("*",), urls=("*",))]):
                    raise _forbidden(attributes, "must have cluster-admin privileges to use the aggregationRule")
            await self._confirm(attributes, rules_of(obj))
        elif resource.plural in _BINDINGS:
            if old is not None and _only_for_garbage_collection(obj, old):
                return
            ref = obj.get("roleRef") or {}
            kind, name = ref.get("kind", ""), ref.get("name", "")
            plural = {"ClusterRole": "clusterroles", "Role": "roles"}.get(kind, "")
            if not plural:
                # validation, which comes later, has a better word; kube-apiserver does not get there either
                raise StatusError(f'unsupported role reference kind: "{kind}"', reason="")
            if await self._may(attributes, "bind", plural, name):
                return
            rules = await self._rbac.role(kind, name, attributes.namespace)
            if rules is None:
                raise NotFound.object(plural, name, GROUP)
            await self._confirm(attributes, rules)

    async def _may(self, attributes: AdmissionAttributes, verb: str, plural: str, name: str) -> bool:
        """Whether the user has the verb that lifts the check."""
        asked = Attributes(
            attributes.user, verb, namespace=attributes.namespace, group=GROUP, version="v1", resource=plural, name=name
        )
        return (await self._authorizer.authorize(asked)).allowed

    async def _confirm(self, attributes: AdmissionAttributes, asked: Iterable[Rule]) -> None:
        user = attributes.user
        held, lost = await self._rbac.rules_for(user, attributes.namespace)
        lacking = missing(held, asked)
        if not lacking:
            return
        listed = "\n".join(sorted({str(rule) for rule in compacted(lacking)}))
        why = (
            f'user "{user.name}" (groups={quoted(user.groups)}) is attempting to grant RBAC permissions not currently held:'
            f"\n{listed}"
        )
        if lost:
            why += f"; resolution errors: [{' '.join(lost)}]"
        raise _forbidden(attributes, why)


def _forbidden(attributes: AdmissionAttributes, why: str) -> Forbidden:
    resource, name = attributes.resource, name_of(attributes)
    return Forbidden(
        f'{qualified(resource.plural, resource.group)} "{name}" is forbidden: {why}',
        details={"name": name, "group": resource.group, "kind": resource.plural},
    )


def _only_for_garbage_collection(obj: Object, old: Object) -> bool:
    """The update touches nothing but owner references and finalizers."""

    def rest(tree: Object) -> Object:
        left_out = ("ownerReferences", "finalizers", "managedFields", "resourceVersion")
        metadata = {key: value for key, value in tree["metadata"].items() if key not in left_out}
        return {**tree, "metadata": metadata}

    return rest(obj) == rest(old)


def name_of(attributes: AdmissionAttributes) -> str:
    """On create the name stands only in the object."""
    return attributes.name or (attributes.obj or {}).get("metadata", {}).get("name", "")
