"""Where a pod may run: affinity, tolerations, topology spread, scheduling gates."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import NOT_POSITIVE, Errors, label_name, label_selector, named, one_of, selector_values
from minikube_api.resources.objectmeta import label_value_problems, qualified_problems

Object = dict[str, Any]

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_WEIGHT = "must be in the range 1-100"


def affinity(tree: Object | None, path: str) -> Errors:
    errors: Errors = []
    if not tree:
        return errors
    if tree.get("nodeAffinity"):
        errors += _node_affinity(tree["nodeAffinity"], f"{path}.nodeAffinity")
    for kind in ("podAffinity", "podAntiAffinity"):
        if not tree.get(kind):
            continue
        for i, term in enumerate(tree[kind].get(REQUIRED) or ()):
            errors += _pod_term(term, f"{path}.{kind}.{REQUIRED}[{i}]")
        for i, weighted in enumerate(tree[kind].get(PREFERRED) or ()):
            at = f"{path}.{kind}.{PREFERRED}[{i}]"
            errors += _weight(weighted, at) + _pod_term(weighted.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")
    return errors


def _weight(weighted: Object, path: str) -> Errors:
    weight = weighted.get("weight") or 0
    return [] if 1 <= weight <= 100 else [err.invalid(f"{path}.weight", weight, _WEIGHT)]


def _node_affinity(tree: Object, path: str) -> Errors:
    errors: Errors = []
    if tree.get(REQUIRED) is not None:
        errors += node_selector(tree[REQUIRED], f"{path}.{REQUIRED}")
    for i, weighted in enumerate(tree.get(PREFERRED) or ()):
        at = f"{path}.{PREFERRED}[{i}]"
        errors += _weight(weighted, at) + node_selector_term(weighted.get("preference") or {}, f"{at}.preference")
    return errors


def node_selector(tree: Object, path: str) -> Errors:
    terms = tree.get("nodeSelectorTerms")
    if not terms:
        return [err.required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")]
    return [e for i, term in enumerate(terms) for e in node_selector_term(term, f"{path}.nodeSelectorTerms[{i}]")]


def node_selector_term(term: Object, path: str) -> Errors:
    errors: Errors = []
    for i, one in enumerate(term.get("matchExpressions") or ()):
        errors += _node_requirement(one, f"{path}.matchExpressions[{i}]")
    for i, one in enumerate(term.get("matchFields") or ()):
        errors += _field_requirement(one, f"{path}.matchFields[{i}]")
    return errors


def _node_requirement(one: Object, path: str) -> Errors:
    operator, values = one.get("operator", ""), one.get("values") or ()
    if operator in ("Gt", "Lt"):
        detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
        errors = [] if len(values) == 1 else [err.required(f"{path}.values", detail)]
    else:
        errors = selector_values(operator, values, path)
    errors += label_name(one.get("key", ""), f"{path}.key")
    for i, value in enumerate(values):
        errors += [err.invalid(f"{path}.values[{i}]", value, m) for m in label_value_problems(value)]
    return errors


def _field_requirement(one: Object, path: str) -> Errors:
    operator, values = one.get("operator", ""), one.get("values") or ()
    errors: Errors = []
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            errors.append(err.required(f"{path}.values", detail))
    else:
        errors.append(err.invalid(f"{path}.operator", operator, "not a valid selector operator"))
    if one.get("key") != "metadata.name":
        errors.append(err.invalid(f"{path}.key", one.get("key", ""), "not a valid field selector key"))
    else:
        for i, value in enumerate(values):
            errors += named(value, f"{path}.values[{i}]", names.dns1123_subdomain)
    return errors


def _pod_term(term: Object, path: str) -> Errors:
    errors = label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    errors += label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        errors += named(namespace, f"{path}.namespace", names.dns1123_label)
    errors += _match_label_keys(term, path)
    topology = term.get("topologyKey") or ""
    if not topology:
        errors.append(err.required(f"{path}.topologyKey", "can not be empty"))
    return errors + label_name(topology, f"{path}.topologyKey")


def _match_label_keys(term: Object, path: str) -> Errors:
    errors: Errors = []
    for field in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = term.get(field) or ()
        if keys and term.get("labelSelector") is None:
            errors.append(err.forbidden(f"{path}.{field}", "must not be specified when labelSelector is not set"))
        for i, key in enumerate(keys):
            errors += [err.invalid(f"{path}.{field}[{i}]", key, m) for m in qualified_problems(key)]
    both = set(term.get("matchLabelKeys") or ()) & set(term.get("mismatchLabelKeys") or ())
    for i, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in both:
            errors.append(err.invalid(f"{path}.matchLabelKeys[{i}]", key, "exists in both matchLabelKeys and mismatchLabelKeys"))
    return errors


def tolerations(listed: list[Object], path: str) -> Errors:
    return [e for i, one in enumerate(listed) for e in _toleration(one, f"{path}[{i}]")]


def _toleration(one: Object, path: str) -> Errors:
    key, operator, value, effect = (one.get(f) or "" for f in ("key", "operator", "value", "effect"))
    errors = label_name(key, f"{path}.key") if key else []
    if not key and operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        errors.append(err.invalid(f"{path}.operator", operator, detail))
    if one.get("tolerationSeconds") is not None and effect != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        errors.append(err.invalid(f"{path}.effect", effect, detail))
    if operator in ("", "Equal"):
        if problems := label_value_problems(value):
            errors.append(err.invalid(f"{path}.operator", value, ";".join(problems)))
    elif operator == "Exists":
        if value:
            errors.append(err.invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'"))
    else:
        errors.append(err.not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    if effect:
        errors += one_of(effect, f"{path}.effect", EFFECTS)
    return errors


def topology_spread(listed: list[Object], path: str) -> Errors:
    errors: Errors = []
    for i, one in enumerate(listed):
        at = f"{path}[{i}]"
        when, topology = one.get("whenUnsatisfiable") or "", one.get("topologyKey") or ""
        if (one.get("maxSkew") or 0) <= 0:
            errors.append(err.invalid(f"{at}.maxSkew", one.get("maxSkew") or 0, NOT_POSITIVE))
        errors += (
            label_name(topology, f"{at}.topologyKey") if topology else [err.required(f"{at}.topologyKey", "can not be empty")]
        )
        errors += one_of(when, f"{at}.whenUnsatisfiable", ("DoNotSchedule", "ScheduleAnyway"))
        if any((o.get("topologyKey"), o.get("whenUnsatisfiable")) == (topology, when) for o in listed[i + 1 :]):
            errors.append(err.duplicate(f"{at}.{{topologyKey, whenUnsatisfiable}}", f"{{{topology}, {when}}}"))
        errors += _min_domains(one, when, f"{at}.minDomains")
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if one.get(field) is not None:
                errors += one_of(one[field], f"{at}.{field}", ("Honor", "Ignore"))
        errors += _match_label_keys(one, at)
        errors += label_selector(one.get("labelSelector"), f"{at}.labelSelector")
    return errors


def _min_domains(one: Object, when: str, path: str) -> Errors:
    domains = one.get("minDomains")
    if domains is None:
        return []
    errors = [] if domains > 0 else [err.invalid(path, domains, NOT_POSITIVE)]
    if when != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}"
        errors.append(err.invalid(path, domains, detail))
    return errors


def scheduling_gates(listed: list[Object], path: str) -> Errors:
    errors: Errors = []
    seen: set[str] = set()
    for i, gate in enumerate(listed):
        name = gate.get("name") or ""
        errors += named(name, f"{path}[{i}]", qualified_problems)
        if name in seen:
            errors.append(err.duplicate(f"{path}[{i}]", name))
        seen.add(name)
    return errors


def merge_match_label_keys(spec: Object, labels: dict[str, str]) -> None:
    """Pod (anti-)affinity and spread terms with matchLabelKeys get the pod's own values as expressions, once, on create."""
    tree = spec.get("affinity") or {}
    terms: list[Object] = list(spec.get("topologySpreadConstraints") or ())
    for kind in ("podAffinity", "podAntiAffinity"):
        side = tree.get(kind) or {}
        terms += side.get(REQUIRED) or []
        terms += [weighted.get("podAffinityTerm") or {} for weighted in side.get(PREFERRED) or ()]
    for term in terms:
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            for key in term.get(field) or ():
                if key in labels and term.get("labelSelector") is not None:
                    expression = {"key": key, "operator": operator, "values": [labels[key]]}
                    term["labelSelector"].setdefault("matchExpressions", []).append(expression)
