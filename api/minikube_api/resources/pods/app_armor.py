"""AppArmor profiles in annotations, which were there before the field (KEP-24): checked, and copied to the field on create."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.resources.checks import Errors

Object = dict[str, Any]

PREFIX = "container.apparmor.security.beta.kubernetes.io/"
_LOCALHOST = "localhost/"
_TYPES = {"runtime/default": "RuntimeDefault", "unconfined": "Unconfined"}
_KINDS = ("initContainers", "containers", "ephemeralContainers")


def annotation_problems(annotations: dict[str, str], spec: Object) -> Errors:
    errors: Errors = []
    for key, profile in annotations.items():
        if not key.startswith(PREFIX):
            continue
        name, path = key.removeprefix(PREFIX), f"metadata.annotations[{key}]"
        if not any(one.get("name") == name for kind in _KINDS for one in spec.get(kind) or ()):
            errors.append(err.invalid(path, name, "container not found"))
        if profile and profile not in _TYPES and not profile.startswith(_LOCALHOST):
            errors.append(err.invalid(path, profile, f"invalid AppArmor profile name: {err.quote(profile)}"))
    return errors


def fields_from_annotations(pod: Object) -> list[str]:
    """Give containers without a profile that of their annotation; returns the warnings of annotations that stand alone."""
    annotations, spec = pod["metadata"].get("annotations") or {}, pod["spec"]
    if (spec.get("os") or {}).get("name") == "windows" or not any(key.startswith(PREFIX) for key in annotations):
        return []
    own = (spec.get("securityContext") or {}).get("appArmorProfile")
    found = []
    for kind in _KINDS:
        for one in spec.get(kind) or ():
            key = f"{PREFIX}{one.get('name', '')}"
            context = one.get("securityContext") or {}
            if key not in annotations or context.get("appArmorProfile") is not None:
                continue
            profile = _field(annotations[key])
            if profile is not None and profile != own:
                one["securityContext"] = {**context, "appArmorProfile": profile}
            if profile is None or profile != own:
                found.append(f'metadata.annotations[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead')
    return found


def _field(profile: str) -> Object | None:
    if profile.startswith(_LOCALHOST):
        local = profile.removeprefix(_LOCALHOST)
        return {"type": "Localhost", "localhostProfile": local} if local else None
    return {"type": _TYPES[profile]} if profile in _TYPES else None
