"""managedFields that clients send along: kept when they can be read, checked as Kubernetes checks them, else left out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.server.conftest import MAPS, Api, config_map


def entry(**fields: Any) -> dict[str, Any]:
    """Of a field that the object hasn't: what it has belongs to who sends it."""
    known = {
        "manager": "me",
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:other": {}}},
    }
    return known | fields


LONG = "may not be more than 128 bytes"
BAD = [
    pytest.param({"manager": "m" * 129}, f"metadata.managedFields[0].manager: Too long: {LONG}", id="long manager"),
    pytest.param(
        {"manager": "ä\tb"},
        'metadata.managedFields[0].manager: Invalid value: "ä\\tb": invalid character U+0009 (at position 2)',
        id="tab in a manager",
    ),
    pytest.param(
        {"subresource": "s" * 257},
        "metadata.managedFields[0].subresource: Too long: may not be more than 256 bytes",
        id="long subresource",
    ),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
async def test_bad_entries_are_refused_on_create_and_update(api: Api, fields: dict[str, Any], message: str) -> None:
    body = config_map("a")
    body["metadata"]["managedFields"] = [entry(**fields)]
    status, tree = await api("POST", MAPS, body)
    assert (status, tree["message"]) == (422, f'ConfigMap "a" is invalid: {message}')
    await api.ok("POST", MAPS, config_map("a"))
    status, tree = await api("PUT", f"{MAPS}/a", body)
    assert (status, tree["details"]["causes"][0]["field"]) == (422, message.partition(":")[0])


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"operation": "Delete"}, id="unknown operation"),
        pytest.param({"apiVersion": ""}, id="no version"),
        pytest.param({"fieldsType": "FieldsV2"}, id="unknown type of fields"),
    ],
)
async def test_lists_that_cannot_be_read_are_replaced(api: Api, fields: dict[str, Any]) -> None:
    body = config_map("a")
    body["metadata"]["managedFields"] = [entry(**fields)]
    made = await api.ok("POST", MAPS, body)
    [kept] = made["metadata"]["managedFields"]
    assert (kept["manager"], kept["operation"], kept["fieldsType"]) == ("tests", "Update", "FieldsV1")


async def test_a_readable_list_is_taken_over(api: Api) -> None:
    body = config_map("a")
    body["metadata"]["managedFields"] = [entry(manager="somebody", operation="Apply")]
    made = await api.ok("POST", MAPS, body)
    assert [e["manager"] for e in made["metadata"]["managedFields"]] == ["somebody", "tests"]
