"""How a webhook is reached: a URL, or a service of the cluster. Source: apiserver's pkg/util/webhook/validation.go."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from minikube_api.meta import field_errors as err
from minikube_api.meta import names
from minikube_api.resources.checks import Errors
from minikube_api.resources.resource import Object


def client_config(config: Object, path: str) -> Errors:
    url, service = config.get("url"), config.get("service")
    if (url is None) == (service is None):
        return [err.required(path, "exactly one of url or service is required")]
    return _url(url, f"{path}.url") if url is not None else webhook_service(service or {}, f"{path}.service")


def _url(url: str, path: str) -> Errors:
    form = "; desired format: https://host[/path]"
    errors: Errors = []
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if problem := _host_problem(host):
        return [err.required(path, f"url must be a valid URL: parse {err.quote(url)}: {problem}{form}")]
    if parts.scheme != "https":
        errors.append(err.invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{form}"))
    if not host:
        errors.append(err.invalid(path, host, f"host must be specified{form}"))
    if at:
        errors.append(err.invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        errors.append(err.invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        errors.append(err.invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return errors


def _host_problem(host: str) -> str:
    """What Go's url.Parse says of a host with its port."""
    if " " in host:
        return 'invalid character " " in host name'
    name, colon, number = host.rpartition(":")
    if colon and "]" not in number and not (name.count(":") and not name.endswith("]")) and not re.fullmatch("[0-9]*", number):
        return f"invalid port {err.quote(':' + number)} after host"
    return ""


def webhook_service(service: Object, path: str) -> Errors:
    errors = [err.required(f"{path}.{f}", f"service {f} is required") for f in ("name", "namespace") if not service.get(f)]
    port = service.get("port")
    if port is not None and not 1 <= port <= 65535:
        errors.append(err.invalid(f"{path}.port", port, f"port is not valid: {names.inclusive_range_message(1, 65535)}"))
    where = service.get("path")
    at = f"{path}.path"
    if where in (None, "", "/"):
        return errors
    if where == "//":
        return [*errors, err.invalid(at, where, "segment[0] may not be empty")]
    if not where.startswith("/"):
        errors.append(err.invalid(at, where, "must start with a '/'"))
    for i, step in enumerate(where[1:].removesuffix("/").split("/")):
        if not step:
            errors.append(err.invalid(at, where, f"segment[{i}] may not be empty"))
            continue
        errors += [err.invalid(at, where, f"segment[{i}]: {m}") for m in names.dns1123_subdomain(step)]
    return errors
