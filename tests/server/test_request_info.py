from __future__ import annotations

import pytest

from minikube_api.server.context import parse_info, parse_query


@pytest.mark.parametrize(
    ("method", "path", "query", "want"),
    [
        pytest.param("GET", "/api/v1/namespaces/a/pods/p", "", ("get", "", "v1", "a", "pods", "", "p"), id="object"),
        pytest.param("GET", "/api/v1/namespaces/a/pods", "", ("list", "", "v1", "a", "pods", "", ""), id="list"),
        pytest.param("GET", "/api/v1/pods", "watch=true", ("watch", "", "v1", "", "pods", "", ""), id="watch"),
        pytest.param("GET", "/api/v1/pods", "watch=false", ("list", "", "v1", "", "pods", "", ""), id="watch-false"),
        pytest.param("GET", "/api/v1/watch/namespaces/a/pods/p", "", ("watch", "", "v1", "a", "pods", "", "p"), id="old-watch"),
        pytest.param("GET", "/api/v1/namespaces/a", "", ("get", "", "v1", "a", "namespaces", "", "a"), id="namespace"),
        pytest.param(
            "PUT", "/api/v1/namespaces/a/finalize", "", ("update", "", "v1", "a", "namespaces", "finalize", "a"), id="finalize"
        ),
        pytest.param(
            "POST",
            "/apis/apps/v1/namespaces/a/deployments",
            "",
            ("create", "apps", "v1", "a", "deployments", "", ""),
            id="create",
        ),
        pytest.param(
            "PATCH",
            "/apis/apps/v1/namespaces/a/deployments/d/scale",
            "",
            ("patch", "apps", "v1", "a", "deployments", "scale", "d"),
            id="scale",
        ),
        pytest.param(
            "DELETE", "/api/v1/namespaces/a/pods", "", ("deletecollection", "", "v1", "a", "pods", "", ""), id="collection"
        ),
        pytest.param(
            "GET", "/api/v1/nodes", "fieldSelector=metadata.name=n", ("list", "", "v1", "", "nodes", "", "n"), id="list-of-one"
        ),
        pytest.param("GET", "/api/v1/namespaces/a/pods/p/", "", ("get", "", "v1", "a", "pods", "", "p"), id="trailing-slash"),
    ],
)
def test_a_resource_path_tells_verb_and_object(method: str, path: str, query: str, want: tuple[str, ...]) -> None:
    info = parse_info(method, path, parse_query(query))
    assert info.is_resource
    assert (info.verb, info.group, info.version, info.namespace, info.resource, info.subresource, info.name) == want


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3/apis/apps/v1"]
)
def test_other_paths_are_no_resources(path: str) -> None:
    info = parse_info("GET", path, {})
    assert not info.is_resource
    assert info.verb == "get"


def test_what_follows_proxy_is_kept_apart() -> None:
    info = parse_info("GET", "/api/v1/namespaces/a/pods/p:80/proxy/x/y", {})
    assert (info.name, info.subresource, info.parts) == ("p:80", "proxy", ("x", "y"))
