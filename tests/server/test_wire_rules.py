"""Small rules of the wire: which 404 and 405 a path gives, and how query values are read."""

from __future__ import annotations

from typing import Any

import pytest

from minikube_api.server.context import Request, parse_info, parse_query
from tests.server.conftest import MAPS, Api, config_map

STATUS, TEXT = "the server could not find the requested resource", "404 page not found\n"


@pytest.mark.parametrize(
    ("path", "want"),
    [
        pytest.param("/apis/apps/v9/deployments", STATUS, id="unknown version of a built-in group"),
        pytest.param("/api/v2/pods", STATUS, id="unknown core version"),
        pytest.param("/apis/nope.example.com/v1/things", TEXT, id="unknown group"),
        pytest.param("/api/v1/pods/a", STATUS, id="a name without its namespace"),
        pytest.param("/api/v1/watch/pods/a", STATUS, id="a watched name without its namespace"),
        pytest.param("//api/v1/pods", TEXT, id="double slash"),
    ],
)
async def test_what_is_not_there_is_missing_as_resource_or_as_path(api: Api, path: str, want: str) -> None:
    status, answer = await api("GET", path)
    assert (status, answer["message"] if isinstance(answer, dict) else answer) == (404, want)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("POST", "/api/v1/watch/configmaps", id="watch path"),
        pytest.param("POST", "/api/v1/configmaps", id="all namespaces"),
        pytest.param("HEAD", "/api/v1/namespaces/default/pods/a/status", id="head of a subresource"),
    ],
)
async def test_a_method_that_a_route_has_not_is_refused(api: Api, method: str, path: str) -> None:
    assert (await api(method, path))[0] == 405


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param("limit=", 'strconv.ParseInt: parsing "": invalid syntax', id="empty"),
        pytest.param("limit=1_0", 'strconv.ParseInt: parsing "1_0": invalid syntax', id="underscore"),
        pytest.param(
            "limit=9223372036854775808", 'strconv.ParseInt: parsing "9223372036854775808": value out of range', id="range"
        ),
        pytest.param(
            "limit=x&timeoutSeconds=y", 'strconv.ParseInt: parsing "y": invalid syntax', id="timeoutSeconds is read first"
        ),
    ],
)
async def test_numbers_are_read_as_go_reads_them(api: Api, query: str, message: str) -> None:
    status, refused = await api("GET", f"{MAPS}?{query}")
    assert (status, refused["message"]) == (400, message)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        pytest.param("dryRun=", "dryRun", id="empty dryRun"),
        pytest.param("propagationPolicy=", "propagationPolicy", id="empty policy"),
    ],
)
async def test_empty_options_of_a_delete_are_no_options_left_out(api: Api, query: str, field: str) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    status, refused = await api("DELETE", f"{MAPS}/a?{query}")
    assert (status, refused["details"]["causes"][0]["field"]) == (422, field)


@pytest.mark.parametrize("key", ["uid", "resourceVersion"])
async def test_preconditions_of_a_delete_may_stand_in_the_query(api: Api, key: str) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    assert (await api("DELETE", f"{MAPS}/a?{key}=7"))[0] == 409
    assert (await api("DELETE", f"{MAPS}/a?{key}={made['metadata'][key]}"))[0] == 200


async def test_a_watch_of_old_ends_its_beginning_with_a_bookmark(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    query = {"watch": "1", "allowWatchBookmarks": "true"}
    seen: list[bytes] = []
    async with api.transport.stream("GET", MAPS, query=query) as stream:
        async for line in stream.lines():
            seen.append(line)
            if len(seen) == 2:
                break
    assert b'"ADDED"' in seen[0]
    assert b'"BOOKMARK"' in seen[1]
    assert b"k8s.io/initial-events-end" in seen[1]


def test_every_value_of_a_key_counts_for_lists() -> None:
    text = "dryRun=All&dryRun=x"
    request: Any = Request("GET", "/", text, {}, parse_query(text), parse_info("GET", "/", {}))
    assert request.values("dryRun") == ["All", "x"]
