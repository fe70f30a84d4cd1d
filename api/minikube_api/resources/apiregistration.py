"""APIService. Source: kube-aggregator's pkg/apis/apiregistration/v1/defaults.go, validation and registry."""

from __future__ import annotations

import base64

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, set_default

_LOCAL = {"type": "Available", "status": "True", "reason": "Local", "message": "Local APIServices are always available"}


class APIServiceStrategy(KindStrategy):
    """A group version that another server serves, or (without a service) this one."""

    name_problems = staticmethod(names.is_path_segment)
    empty_status = {}
    status_metadata = "reset"
    status_reset_fields = {"f:metadata": {}}

    def defaults(self, obj: Object) -> None:
        service = obj.setdefault("spec", {}).get("service")
        if service is not None:
            set_default(service, "port", 443)

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        obj["status"] = {}
        if obj["spec"].get("service") is None:
            obj["status"]["conditions"] = [{**_LOCAL, "lastTransitionTime": ctx.now}]

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        spec, name = obj["spec"], obj["metadata"].get("name") or ""
        group, version = spec.get("group") or "", spec.get("version") or ""
        errors: Errors = []
        expected = f"{version}.{group}"
        if name and name != expected:
            errors.append(err.invalid("metadata.name", name, f'must be `spec.version+"."+spec.group`: {err.quote(expected)}'))
        if group:
            errors += checks.named(group, "spec.group", names.dns1123_subdomain)
        elif version != "v1":
            errors.append(err.required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
        errors += checks.named(version, "spec.version", names.dns1035_label)
        for field, highest in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
            if not 1 <= (value := spec.get(field) or 0) <= highest:
                errors.append(err.invalid(f"spec.{field}", value, f"must be positive and less than {highest}"))
        return errors + (_local(spec) if spec.get("service") is None else _served_elsewhere(spec))


def _local(spec: Object) -> Errors:
    errors: Errors = []
    if bundle := spec.get("caBundle"):
        size = len(base64.b64decode(bundle))
        errors.append(err.invalid("spec.caBundle", f"{size} bytes", "local APIServices may not have a caBundle"))
    if spec.get("insecureSkipTLSVerify"):
        detail = "local APIServices may not have insecureSkipTLSVerify"
        errors.append(err.invalid("spec.insecureSkipTLSVerify", True, detail))
    return errors


def _served_elsewhere(spec: Object) -> Errors:
    service = spec["service"]
    errors: Errors = [err.required(f"spec.service.{field}") for field in ("namespace", "name") if not service.get(field)]
    port = service.get("port") or 0
    if problems := names.port_number(port):
        errors.append(err.invalid("spec.service.port", port, "port is not valid: " + ",".join(problems)))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        errors.append(err.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present"))
    return errors
