"""Resource paths and query parameters of the Kubernetes API, from kinds and options. Pure."""

from __future__ import annotations

from minikube_api.schema.typed import Kind


def resource_path(group: str, version: str, plural: str, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """`/api/v1/namespaces/NS/pods/NAME/status`; the core group is "". Not percent-encoded."""
    parts = ["/apis", group, version] if group else ["/api", version]
    if namespace:
        parts += ["namespaces", namespace]
    parts.append(plural)
    if name:
        parts.append(name)
    if subresource:
        parts.append(subresource)
    return "/".join(parts)


def kind_path(kind: Kind, *, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """Path of a typed kind. `namespace` is ignored for cluster-scoped kinds and required with `name` for others."""
    if not kind.namespaced:
        namespace = ""
    elif name and not namespace:
        raise ValueError(f"an empty namespace may not be set when a resource name is provided ({kind.plural})")
    return resource_path(kind.group, kind.version, kind.plural, namespace=namespace, name=name, subresource=subresource)


def list_query(
    *,
    label_selector: str = "",
    field_selector: str = "",
    limit: int = 0,
    continue_token: str = "",
    resource_version: str | None = None,
    resource_version_match: str = "",
) -> dict[str, str]:
    query: dict[str, str] = {}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    if limit:
        query["limit"] = str(limit)
    if continue_token:
        query["continue"] = continue_token
    if resource_version is not None:
        query["resourceVersion"] = resource_version
    if resource_version_match:
        query["resourceVersionMatch"] = resource_version_match
    return query


def write_query(*, dry_run: bool = False, field_manager: str = "", field_validation: str = "") -> dict[str, str]:
    query: dict[str, str] = {}
    if dry_run:
        query["dryRun"] = "All"
    if field_manager:
        query["fieldManager"] = field_manager
    if field_validation:
        query["fieldValidation"] = field_validation
    return query
