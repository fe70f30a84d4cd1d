"""What a kind's strategy and the URL demand of a write, before anything is decided on its content: which kinds a PUT creates, which need a
resourceVersion, whether the body is about the object and namespace of the URL.

Sources: AllowCreateOnUpdate, AllowUnconditionalUpdate and ShouldDeleteDuringUpdate of the strategies, EnsureObjectNamespaceMatchesRequestNamespace.
"""

from __future__ import annotations

from minikube_api.meta.errors import BadRequest, Invalid, StatusError
from minikube_api.resources.resource import Resource
from minikube_api.server.context import Object

#: kinds whose strategy allows a PUT to create (AllowCreateOnUpdate)
CREATE_ON_UPDATE = frozenset(
    {
        ("", "endpoints"),
        ("", "events"),
        ("events.k8s.io", "events"),
        ("", "limitranges"),
        ("", "services"),
        ("coordination.k8s.io", "leases"),
        ("rbac.authorization.k8s.io", "roles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("node.k8s.io", "runtimeclasses"),
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "resourceslices"),
    }
)

#: kinds that refuse a PUT without resourceVersion (AllowUnconditionalUpdate is false)
_CONDITIONAL_ONLY = frozenset(
    {
        ("coordination.k8s.io", "leases"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("apiregistration.k8s.io", "apiservices"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "csistoragecapacities"),
        ("storage.k8s.io", "volumeattachments"),
        ("node.k8s.io", "runtimeclasses"),
        ("policy", "poddisruptionbudgets"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("resource.k8s.io", "resourceslices"),
    }
)


def unconditional_update(resource: Resource) -> bool:
    if resource.custom:
        return False
    return (resource.group, resource.plural) not in _CONDITIONAL_ONLY


def must_be_specified(resource: Resource, name: str) -> Invalid:
    from minikube_api.meta import field_errors

    problem = field_errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
    return Invalid.object(resource.group, resource.plural, name, [problem])


def check_name(obj: Object, name: str) -> None:
    """Raises BadRequest unless the body names the object of the URL."""
    given = obj["metadata"].get("name", "")
    if not given:
        raise BadRequest(f"the name of the object ({name} based on URL) was undeterminable: name must be provided")
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")


def check_namespace(obj: Object, namespace: str) -> None:
    given = obj["metadata"].get("namespace")
    if given and given != namespace:
        raise BadRequest("the namespace of the provided object does not match the namespace sent on the request")


def asked_revision(obj: Object) -> int:
    """The resourceVersion in the body, 0 when none. Raises what Kubernetes answers (a plain 500) when it is no number."""
    text = obj["metadata"].get("resourceVersion") or "0"
    try:
        return int(text)
    except ValueError:
        raise StatusError(f'strconv.ParseUint: parsing "{text}": invalid syntax', reason="") from None


def finished(resource: Resource, obj: Object) -> bool:
    """ShouldDeleteDuringUpdate: the last finalizer of an object under deletion is gone."""
    meta = obj["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if meta.get("deletionGracePeriodSeconds"):
        return False
    return not (resource.group == "" and resource.plural == "namespaces" and (obj.get("spec") or {}).get("finalizers"))
