"""Node and Namespace. Source: ValidateNode(Update), ValidateNamespace*, pkg/registry/core/{node,namespace}."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources import checks, objectmeta
from minikube_api.resources.checks import Errors, one_of
from minikube_api.resources.objectmeta import qualified_problems
from minikube_api.resources.pods import resources
from minikube_api.resources.pods.placement import EFFECTS
from minikube_api.resources.resource import Object, WriteContext
from minikube_api.resources.strategies import KindStrategy, keep

NAME_LABEL = "kubernetes.io/metadata.name"


class NodeStrategy(KindStrategy):
    whole_checks = 1

    def defaults(self, obj: Object) -> None:
        tree = obj.get("spec")
        if tree is None:
            tree = obj["spec"] = {}
        single, several = tree.get("podCIDR"), tree.get("podCIDRs")
        # podCIDR is the first of podCIDRs; the old field wins when they differ
        if single and (not several or several[0] != single):
            tree["podCIDRs"] = [single]
        elif several and not single:
            tree["podCIDR"] = several[0]
        status = obj.get("status")
        if status is not None and status.get("capacity") and status.get("allocatable") is None:
            status["allocatable"] = dict(status["capacity"])

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        keep(obj, old, "spec" if ctx.subresource == "status" else "status")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return _node_spec(obj.get("spec") or {}) + _quantities(obj.get("status") or {})

    def validate_change(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        """ValidateNodeUpdate, which status updates go through too."""
        new, was, status = obj.get("spec") or {}, old.get("spec") or {}, obj.get("status") or {}
        errors = _quantities(status)
        seen: list[Object] = []
        for i, address in enumerate(status.get("addresses") or ()):
            if address in seen:
                shown = {"Type": address.get("type"), "Address": address.get("address")}
                errors.append(err.duplicate(f"status.addresses[{i}]", shown))
            seen.append(address)
        if was.get("podCIDRs") and new.get("podCIDRs") != was["podCIDRs"]:
            detail = 'node updates may not change podCIDR except from "" to valid'
            now, before = new.get("podCIDRs") or [], was["podCIDRs"]
            changed = [a for a, b in zip(now, before, strict=False) if a != b] if len(now) == len(before) else [""]
            errors += [err.forbidden("spec.podCIDRs", detail) for _ in changed]
        if was.get("providerID") and new.get("providerID") != was["providerID"]:
            detail = 'node updates may not change providerID except from "" to valid'
            errors.append(err.forbidden("spec.providerID", detail))
        errors += taints(new.get("taints") or (), "spec.taints")
        if new.get("externalID") != was.get("externalID"):
            errors.append(err.forbidden("spec.externalID", "may not be updated"))
        return errors

    def validate_status(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        return self.validate_change(ctx, obj, old)


def _quantities(status: Object) -> Errors:
    """ValidateNodeResources."""
    return [
        error
        for field in ("capacity", "allocatable")
        for name, value in (status.get(field) or {}).items()
        for error in resources.quantity_problems(name, value, f"status.{field}[{name}]")
    ]


def _node_spec(tree: Object) -> Errors:
    errors = taints(tree.get("taints") or (), "spec.taints")
    several = tree.get("podCIDRs") or ()
    for i, one in enumerate(several):
        errors += checks.named(one, f"spec.podCIDRs[{i}]", names.cidr)
    if len(several) > 1:
        versions = {":" in one for one in several}
        if len(several) > 2 or len(versions) != 2:
            detail = "may specify no more than one CIDR for each IP family"
            errors.append(err.invalid("spec.podCIDRs", several, detail))
    return errors


def taints(listed: Any, path: str) -> Errors:
    errors: Errors = []
    seen: set[tuple[str, str]] = set()
    for i, taint in enumerate(listed):
        at, key, effect = f"{path}[{i}]", taint.get("key") or "", taint.get("effect") or ""
        errors += checks.label_name(key, f"{at}.key")
        if problems := names.label_value(taint.get("value") or ""):
            errors.append(err.invalid(f"{at}.value", taint.get("value"), ";".join(problems)))
        errors += one_of(effect, f"{at}.effect", EFFECTS) if effect else [err.required(f"{at}.effect")]
        if (key, effect) in seen:
            shown = {"Key": key, "Value": taint.get("value") or "", "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            found = err.duplicate(at, shown)
            errors.append(replace(found, message=f"{found.message}: taints must be unique by key and effect pair"))
        seen.add((key, effect))
    return errors


class NamespaceStrategy(KindStrategy):
    name_problems = staticmethod(names.is_dns_label)

    def defaults(self, obj: Object) -> None:
        meta = obj["metadata"]
        if meta.get("name"):
            labels = meta.get("labels")
            if labels is None:
                labels = meta["labels"] = {}
            labels[NAME_LABEL] = meta["name"]
        if obj.get("spec") is None:
            obj["spec"] = {}
        status = obj.get("status")
        if status is None:
            status = obj["status"] = {}
        if not status.get("phase"):
            status["phase"] = "Active"

    def prepare_create(self, ctx: WriteContext, obj: Object) -> None:
        # the name may have been generated after defaulting
        labels = obj["metadata"].setdefault("labels", {})
        labels[NAME_LABEL] = obj["metadata"].get("name", "")
        obj["status"] = {"phase": "Active"}
        finalizers = [f for f in (obj.get("spec") or {}).get("finalizers") or () if f != "kubernetes"]
        obj["spec"] = {**(obj.get("spec") or {}), "finalizers": [*finalizers, "kubernetes"]}

    def prepare_update(self, ctx: WriteContext, obj: Object, old: Object) -> None:
        match ctx.subresource:
            case "status":
                keep(obj, old, "spec")
            case "finalize":
                keep(obj, old, "status")
                for field in ("labels", "annotations", "finalizers", "ownerReferences"):
                    if field not in obj["metadata"] or field == "labels":
                        keep(obj["metadata"], old["metadata"], field)
            case _:
                keep(obj, old, "spec")
                keep(obj, old, "status")

    def validate(self, ctx: WriteContext, obj: Object) -> Errors:
        return _finalizers((obj.get("spec") or {}).get("finalizers") or ())

    def validate_update(self, ctx: WriteContext, obj: Object, old: Object) -> Errors:
        errors = objectmeta.update_problems(obj, old)
        if ctx.subresource == "finalize":
            return errors + _finalizers((obj.get("spec") or {}).get("finalizers") or ())
        if ctx.subresource != "status":
            return objectmeta.update_problems(obj, old, wholes=1, rules=self)
        phase = (obj.get("status") or {}).get("phase")
        deleting = bool(obj["metadata"].get("deletionTimestamp"))
        if not deleting and phase != "Active":
            detail = "may only be 'Active' if `deletionTimestamp` is empty"
            errors.append(err.invalid("status.Phase", phase, detail))
        if deleting and phase != "Terminating":
            detail = "may only be 'Terminating' if `deletionTimestamp` is not empty"
            errors.append(err.invalid("status.Phase", phase, detail))
        return errors


def _finalizers(listed: Any) -> Errors:
    errors: Errors = []
    for i, finalizer in enumerate(listed):
        path = f"spec.finalizers[{i}]"
        errors += [err.invalid(path, finalizer, m) for m in qualified_problems(finalizer)]
        errors += objectmeta.kube_finalizer_problems(finalizer, path)
    return errors
