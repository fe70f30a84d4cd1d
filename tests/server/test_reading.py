from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from minikube_api.server.server import Server
from tests.server.conftest import ADMIN, MAPS, PODS, Api, config_map, pod

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


async def test_pages_after_the_first_show_the_first_pages_state(api: Api) -> None:
    for name in ("a", "c"):
        await api.ok("POST", MAPS, config_map(name))
    first = await api.ok("GET", f"{MAPS}?limit=1")
    assert first["metadata"]["remainingItemCount"] == 1
    await api.ok("POST", MAPS, config_map("b"))
    rest = await api.ok("GET", f"{MAPS}?limit=5&continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["c"]


async def test_items_of_a_typed_list_have_no_kind(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    tree = await api.ok("GET", MAPS)
    assert (tree["kind"], tree["apiVersion"]) == ("ConfigMapList", "v1")
    assert "kind" not in tree["items"][0]
    assert tree["items"][0]["metadata"]["resourceVersion"]


async def test_selectors_choose_by_label_and_field(api: Api) -> None:
    await api.ok("POST", PODS, pod("a", "n1", labels={"app": "x"}))
    await api.ok("POST", PODS, pod("b", labels={"app": "x"}))
    by_field = await api.ok("GET", f"{PODS}?fieldSelector=spec.nodeName%3Dn1".replace("%3D", "="))
    assert [item["metadata"]["name"] for item in by_field["items"]] == ["a"]
    by_both = await api.ok("GET", f"{PODS}?labelSelector=app=x&fieldSelector=spec.nodeName!=n1")
    assert [item["metadata"]["name"] for item in by_both["items"]] == ["b"]


async def test_a_table_has_cells_and_partial_objects(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a", {"x": "1", "y": "2"}))
    table = await api.ok("GET", MAPS, Accept=TABLE)
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["a", 2]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    bare = await api.ok("GET", f"{MAPS}/a?includeObject=None", Accept=TABLE)
    assert bare["rows"][0]["object"] is None


async def test_yaml_is_what_yaml_asks_for(api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    _, text = await api("GET", f"{MAPS}/a", Accept="application/yaml")
    assert api.headers["content-type"] == "application/yaml"
    assert "\nkind: ConfigMap\n" in text


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        pytest.param("limit=abc", 400, 'strconv.ParseInt: parsing "abc": invalid syntax', id="limit"),
        pytest.param("fieldSelector=data.a=b", 400, '"data.a" is not a known field selector', id="field"),
        pytest.param("resourceVersionMatch=Exact", 422, "forbidden unless resourceVersion is provided", id="match"),
        pytest.param("sendInitialEvents=true&watch=1", 422, "sendInitialEvents requires setting", id="initial-events"),
    ],
)
async def test_bad_list_options_are_refused(api: Api, query: str, status: int, words: str) -> None:
    code, tree = await api("GET", f"{MAPS}?{query}")
    assert code == status
    assert words in tree["message"]


async def test_event_of_both_groups_is_one_object(api: Api) -> None:
    body: dict[str, Any] = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Pulled",
        "message": "m",
        "type": "Normal",
    }
    await api.ok("POST", "/api/v1/namespaces/default/events", body)
    seen = await api.ok("GET", "/apis/events.k8s.io/v1/namespaces/default/events/e")
    assert seen["apiVersion"] == "events.k8s.io/v1"
    assert seen["regarding"]["name"] == "p"
    listed = await api.ok("GET", "/apis/events.k8s.io/v1/namespaces/default/events")
    assert listed["items"][0]["note"] == "m"


async def _events(
    server: Server, query: dict[str, str], count: int, headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with server.transport(ADMIN).stream("GET", MAPS, query={"watch": "1", **query}, headers=headers) as stream:
        assert stream.status == 200
        async for line in stream.lines():
            found.append(orjson.loads(line))
            if len(found) == count:
                break
    return found


async def test_a_watch_from_a_revision_tells_what_came_after(server: Server, api: Api) -> None:
    made = await api.ok("POST", MAPS, config_map("a"))
    await api.patch(f"{MAPS}/a", {"data": {"k": "w"}})
    await api.ok("DELETE", f"{MAPS}/a")
    events = await _events(server, {"resourceVersion": made["metadata"]["resourceVersion"]}, 2)
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]
    assert events[1]["object"]["metadata"]["resourceVersion"] > events[0]["object"]["metadata"]["resourceVersion"]


async def test_initial_events_end_with_an_annotated_bookmark(server: Server, api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    added, bookmark = await _events(server, query, 2)
    assert (added["type"], bookmark["type"]) == ("ADDED", "BOOKMARK")
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_table_watch_heads_its_columns_once(server: Server, api: Api) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    await api.ok("POST", MAPS, config_map("b"))
    first, second = await _events(server, {}, 2, {"Accept": TABLE})
    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert second["object"]["columnDefinitions"] is None


async def test_a_watch_ends_when_the_server_stops(server: Server, api: Api) -> None:
    opened = asyncio.Event()

    async def watch() -> list[bytes]:
        async with server.transport(ADMIN).stream("GET", MAPS, query={"watch": "1"}) as stream:
            opened.set()
            return [line async for line in stream.lines()]

    watching = asyncio.create_task(watch())
    await opened.wait()
    await server.stop()
    assert await watching == []


async def test_events_are_selected_by_either_groups_field_names(api: Api) -> None:
    body: dict[str, Any] = {
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"},
        "reason": "Pulled",
    }
    await api.ok("POST", "/api/v1/namespaces/default/events", body)
    for path, field in (("/api/v1", "involvedObject"), ("/apis/events.k8s.io/v1", "regarding")):
        found = await api.ok("GET", f"{path}/namespaces/default/events?fieldSelector={field}.name=p")
        assert [item["metadata"]["name"] for item in found["items"]] == ["e"]


async def test_deprecated_kinds_warn(api: Api) -> None:
    await api.ok("GET", "/api/v1/namespaces/default/endpoints")
    assert "v1 Endpoints is deprecated in v1.33+" in api.headers["warning"]
