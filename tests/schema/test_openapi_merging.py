from __future__ import annotations

from typing import Any

import pytest

from minikube_api.schema import openapi_merging
from minikube_api.schema.openapi_merging import NotUsable, merge, of_version

FLUNDERS = "/apis/wardle.test/v1/flunders"


def get(name: str, **fields: Any) -> dict[str, Any]:
    schema = {"$ref": f"#/definitions/{name}"}
    return {"get": {"responses": {"200": {"description": "OK", "schema": schema}}, **fields}}


def document(**fields: Any) -> dict[str, Any]:
    return {
        "swagger": "2.0",
        "paths": {FLUNDERS: get("Flunder"), "/apis/wardle.test/v2/flunders": get("Other"), "/api/v1/pods": get("Other")},
        "definitions": {
            "Flunder": {"type": "object", "properties": {"metadata": {"$ref": "#/definitions/Meta"}}},
            "Meta": {"type": "object"},
            "Other": {"type": "object"},
        },
        **fields,
    }


def test_only_the_group_versions_paths_and_what_they_need_are_taken() -> None:
    part = of_version(document(), "wardle.test", "v1")
    assert (set(part["paths"]), set(part["definitions"])) == ({FLUNDERS}, {"Flunder", "Meta"})


def test_shared_parameters_are_written_out() -> None:
    limit = {"name": "limit", "in": "query", "type": "integer"}
    path = get("Meta", parameters=[{"$ref": "#/parameters/limit-1"}])
    part = of_version(document(paths={FLUNDERS: path}, parameters={"limit-1": limit}), "wardle.test", "v1")
    assert part["paths"][FLUNDERS]["get"]["parameters"] == [limit]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param([], id="no object"),
        pytest.param({"openapi": "3.0.0"}, id="v3"),
        pytest.param(document(definitions={}), id="definition missing"),
        pytest.param(document(paths={FLUNDERS: {"get": {}}}), id="no responses"),
        pytest.param(document(paths=["/apis"]), id="paths are a list"),
        pytest.param(document(paths={FLUNDERS: get("Meta", parameters=[{"$ref": "#/parameters/x"}])}), id="parameter missing"),
    ],
)
def test_what_would_break_everybodys_document_is_not_usable(bad: Any) -> None:
    with pytest.raises(NotUsable):
        of_version(bad, "wardle.test", "v1")


def test_equal_definitions_are_shared_and_others_renamed_with_their_references() -> None:
    kinds = [{"group": "", "version": "v1", "kind": "Meta"}], [{"group": "wardle.test", "version": "v1", "kind": "Meta"}]
    own: dict[str, Any] = {
        "paths": {"/api/v1/pods": get("Flunder")},
        "definitions": {"Flunder": {"type": "string"}, "Meta": {"type": "object", "x-kubernetes-group-version-kind": kinds[0]}},
    }
    given = document()
    given["definitions"]["Meta"]["x-kubernetes-group-version-kind"] = kinds[1]
    part = of_version(given, "wardle.test", "v1")
    merge(own, [part, part])
    assert set(own["definitions"]) == {"Flunder", "Flunder_v2", "Meta"}
    assert own["definitions"]["Flunder"] == {"type": "string"}
    assert own["definitions"]["Meta"]["x-kubernetes-group-version-kind"] == kinds[0] + kinds[1]
    assert own["paths"] == {"/api/v1/pods": get("Flunder"), FLUNDERS: get("Flunder_v2")}
    assert part == of_version(given, "wardle.test", "v1")


def test_a_path_that_is_there_stays() -> None:
    own: dict[str, Any] = {"paths": {FLUNDERS: {}}, "definitions": {}}
    openapi_merging.merge(own, [of_version(document(), "wardle.test", "v1")])
    assert own["paths"] == {FLUNDERS: {}}
