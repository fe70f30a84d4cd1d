"""Role, ClusterRole and their bindings. Source: pkg/apis/rbac/v1/defaults.go and validation; escalation is the server's."""

from __future__ import annotations

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks
from minikube_api.resources.checks import Errors
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy

GROUP = "rbac.authorization.k8s.io"


class RoleStrategy(KindStrategy):
    name_problems = staticmethod(names.is_path_segment)

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        errors: Errors = []
        for i, rule in enumerate(obj.get("rules") or ()):
            errors += policy_rule(rule, self.namespaced, f"rules[{i}]")
        for i, selector in enumerate((obj.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()):
            path = f"aggregationRule.clusterRoleSelectors[{i}]"
            problems = checks.label_selector(selector, path)
            errors += problems
            if problems:
                errors.append(err.invalid(path, None, "invalid label selector."))
        if (
            "aggregationRule" in obj
            and obj["aggregationRule"] is not None
            and not obj["aggregationRule"].get("clusterRoleSelectors")
        ):
            path = "aggregationRule.clusterRoleSelectors"
            errors.append(err.required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil"))
        return errors


def policy_rule(rule: Object, namespaced: bool, path: str) -> Errors:
    errors: Errors = []
    if not rule.get("verbs"):
        errors.append(err.required(f"{path}.verbs", "verbs must contain at least one value"))
    urls = rule.get("nonResourceURLs")
    if urls:
        at = f"{path}.nonResourceURLs"
        if namespaced:
            errors.append(err.invalid(at, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            errors.append(err.invalid(at, urls, detail))
        return errors
    if not rule.get("apiGroups"):
        errors.append(err.required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        errors.append(err.required(f"{path}.resources", "resource rules must supply at least one resource"))
    return errors


class BindingStrategy(KindStrategy):
    name_problems = staticmethod(names.is_path_segment)

    def defaults(self, obj: Object) -> None:
        ref = obj.get("roleRef")
        if ref is None:
            ref = obj["roleRef"] = {}
        if not ref.get("apiGroup"):
            ref["apiGroup"] = GROUP
        for subject in obj.get("subjects") or ():
            if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
                subject["apiGroup"] = GROUP

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        ref, errors = obj.get("roleRef") or {}, []
        if ref.get("apiGroup") != GROUP:
            errors.append(err.not_supported("roleRef.apiGroup", ref.get("apiGroup") or "", (GROUP,)))
        kinds = ("Role", "ClusterRole") if self.namespaced else ("ClusterRole",)
        if ref.get("kind") not in kinds:
            errors.append(err.not_supported("roleRef.kind", ref.get("kind") or "", kinds))
        if not ref.get("name"):
            errors.append(err.required("roleRef.name"))
        else:
            errors += checks.named(ref["name"], "roleRef.name", names.path_segment)
        for i, subject in enumerate(obj.get("subjects") or ()):
            errors += self._subject(subject, f"subjects[{i}]")
        return errors

    def _subject(self, subject: Object, path: str) -> Errors:
        errors: Errors = []
        name, kind, group = subject.get("name") or "", subject.get("kind") or "", subject.get("apiGroup") or ""
        if not name:
            errors.append(err.required(f"{path}.name"))
        if kind == "ServiceAccount":
            if name:
                errors += checks.named(name, f"{path}.name", names.dns1123_subdomain)
            if group:
                errors.append(err.not_supported(f"{path}.apiGroup", group, ("",)))
            if not self.namespaced and not subject.get("namespace"):
                errors.append(err.required(f"{path}.namespace"))
        elif kind in ("User", "Group"):
            if group != GROUP:
                errors.append(err.not_supported(f"{path}.apiGroup", group, (GROUP,)))
        else:
            errors.append(err.not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
        return errors

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        ref = obj.get("roleRef") or {}
        if ref == old.get("roleRef"):
            return []
        shown = {"APIGroup": ref.get("apiGroup", ""), "Kind": ref.get("kind", ""), "Name": ref.get("name", "")}
        return [err.invalid("roleRef", shown, "cannot change roleRef")]
