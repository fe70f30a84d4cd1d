"""Probes and lifecycle hooks."""

from __future__ import annotations

from typing import Any

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import Errors, named, nonnegative_fields, one_of, port, port_or_name

Object = dict[str, Any]

_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_TYPES = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


def probes(container: Object, grace: int, path: str) -> Errors:
    """The three probes and the hooks of a container that may have them."""
    errors: Errors = []
    if container.get("lifecycle"):
        errors += lifecycle(container["lifecycle"], grace, f"{path}.lifecycle")
    for name in ("livenessProbe", "startupProbe"):
        if container.get(name) is not None:
            errors += _probe(container[name], grace, f"{path}.{name}")
            if container[name].get("successThreshold") != 1:
                at = f"{path}.{name}.successThreshold"
                errors.append(err.invalid(at, container[name].get("successThreshold") or 0, "must be 1"))
    if container.get("readinessProbe") is not None:
        probe, at = container["readinessProbe"], f"{path}.readinessProbe"
        errors += _probe(probe, grace, at)
        seconds = probe.get("terminationGracePeriodSeconds")
        if seconds is not None:
            detail = "must not be set for readinessProbes"
            errors.append(err.invalid(f"{at}.terminationGracePeriodSeconds", seconds, detail))
    return errors


def _probe(probe: Object, grace: int, path: str) -> Errors:
    errors = handler(probe, grace, path)
    errors += nonnegative_fields(probe, path, *_NUMBERS)
    seconds = probe.get("terminationGracePeriodSeconds")
    if seconds is not None and seconds <= 0:
        errors.append(err.invalid(f"{path}.terminationGracePeriodSeconds", seconds, "must be greater than 0"))
    return errors


def lifecycle(hooks: Object, grace: int, path: str) -> Errors:
    errors: Errors = []
    for name in ("postStart", "preStop"):
        if hooks.get(name) is not None:
            errors += handler(hooks[name], grace, f"{path}.{name}")
    return errors


def handler(tree: Object, grace: int, path: str) -> Errors:
    """Exactly one handler; the first of several is checked."""
    errors: Errors = []
    found = False
    for name in _TYPES:
        action = tree.get(name)
        if action is None:
            continue
        if found:
            errors.append(err.forbidden(f"{path}.{name}", "may not specify more than 1 handler type"))
            continue
        found = True
        errors += _action(name, action, grace, f"{path}.{name}")
    if not found:
        errors.append(err.required(path, "must specify a handler type"))
    return errors


def _action(name: str, action: Object, grace: int, path: str) -> Errors:
    if name == "exec":
        return [] if action.get("command") else [err.required(f"{path}.command")]
    if name == "httpGet":
        return _http_get(action, path)
    if name == "tcpSocket":
        return port_or_name(action.get("port"), f"{path}.port")
    if name == "grpc":
        return port(action.get("port") or 0, f"{path}.port")
    seconds = action.get("seconds") or 0
    if 0 <= seconds <= grace:
        return []
    detail = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
    return [err.invalid(path, seconds, detail)]


def _http_get(action: Object, path: str) -> Errors:
    errors: Errors = [] if action.get("path") else [err.required(f"{path}.path")]
    errors += port_or_name(action.get("port"), f"{path}.port")
    errors += one_of(action.get("scheme"), f"{path}.scheme", ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        errors += named(header.get("name", ""), f"{path}.httpHeaders", names.http_header_name)
    return errors
