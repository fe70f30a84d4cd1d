from __future__ import annotations

import pytest

from minikube_api.meta.errors import NotAcceptable
from minikube_api.server.negotiation import UNTRANSFORMED, Scope, negotiate
from tests.server.conftest import MAPS, config_map

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"


@pytest.mark.parametrize(
    ("accept", "want"),
    [
        pytest.param("", ("application/json", ""), id="none"),
        pytest.param("*/*", ("application/json", ""), id="any"),
        pytest.param("application/json;q=0.1, application/yaml;q=0.9", ("application/yaml", ""), id="quality"),
        pytest.param(f"{TABLE},application/json", ("application/json", "Table"), id="kubectl"),
        pytest.param(
            "application/json;as=Table;g=meta.k8s.io;v=v9, application/json", ("application/json", ""), id="falls-through"
        ),
        pytest.param(
            "application/vnd.kubernetes.protobuf,application/json", ("application/vnd.kubernetes.protobuf", ""), id="client-go"
        ),
        pytest.param("text/html, */*;q=0.1", ("application/json", ""), id="browser"),
        pytest.param("*/*;q=0.9, application/yaml;q=0.5", ("application/yaml", ""), id="concrete-before-any"),
        pytest.param("application/*, application/yaml;q=0.5", ("application/yaml", ""), id="concrete-before-range"),
        pytest.param("application/json;charset=utf-8", ("application/json", ""), id="unknown-parameter"),
        pytest.param("application/json;stream=watch", ("application/json", ""), id="stream"),
        pytest.param("application/yaml;stream=watch, application/json", ("application/json", ""), id="no-yaml-stream"),
        pytest.param("application/json;stream=other, application/yaml", ("application/yaml", ""), id="unknown-stream"),
        pytest.param("application/json;g=meta.k8s.io;v=v1, application/yaml", ("application/yaml", ""), id="group-without-form"),
        pytest.param("application/json;sv=v1", ("application/json", ""), id="server-version"),
        pytest.param(
            "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1,application/json",
            ("application/json", ""),
            id="no-protobuf-table",
        ),
        pytest.param("application/json;q=x, application/yaml;q=0.1", ("application/yaml", ""), id="bad-quality-is-none"),
    ],
)
def test_accept_selects_a_view(accept: str, want: tuple[str, str]) -> None:
    view = negotiate(accept)
    assert (view.media_type, view.form) == want


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        pytest.param("text/html", "406: Not Acceptable", id="router"),
        pytest.param("application/*", "406: Not Acceptable", id="range"),
        pytest.param("application/json;as=Chair;g=meta.k8s.io;v=v1", "only the following media types", id="form"),
        pytest.param("application/json;as=Table;v=v1", "only the following media types", id="form-without-group"),
        pytest.param("application/json;sv=v2", "only the following media types", id="server-version"),
    ],
)
def test_what_cannot_be_given_is_refused_by_the_layer_that_sees_it(accept: str, message: str) -> None:
    with pytest.raises(NotAcceptable, match=message):
        negotiate(accept)


def test_the_routes_of_lists_name_streams_too() -> None:
    with pytest.raises(
        NotAcceptable, match=r"protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch$"
    ):
        negotiate("text/html", Scope(lists=True))


def test_a_watch_goes_not_as_yaml() -> None:
    with pytest.raises(
        NotAcceptable, match=r"accepted: application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch$"
    ):
        negotiate("application/yaml", Scope(lists=True, watches=True))


def test_errors_take_no_other_form() -> None:
    with pytest.raises(NotAcceptable):
        negotiate(TABLE, UNTRANSFORMED)


@pytest.mark.parametrize(
    ("path", "form", "message"),
    [
        pytest.param("", "PartialObjectMetadata", "the requested object is a list (*core.ConfigMapList)", id="list"),
        pytest.param("/a", "PartialObjectMetadataList", "the requested object is not a list (*core.ConfigMap)", id="object"),
    ],
)
async def test_metadata_of_one_and_of_many_are_two_forms(api, path: str, form: str, message: str) -> None:
    await api.ok("POST", MAPS, config_map("a"))
    accept = f"application/json;as={form};g=meta.k8s.io;v=v1"
    status, refused = await api("GET", MAPS + path, Accept=accept)
    assert (status, refused["message"]) == (406, f"you requested {form}, but {message}")


async def test_a_table_includes_only_what_is_known(api) -> None:
    status, refused = await api("GET", f"{MAPS}?includeObject=All", Accept=TABLE)
    why = "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be 'Metadata', 'Object', 'None', or empty"
    assert (status, refused["message"]) == (400, why)


def test_what_has_no_columns_is_not_shown_as_a_table() -> None:
    with pytest.raises(NotAcceptable, match="only the following media types"):
        negotiate(TABLE, Scope(tables=False))
    assert negotiate(f"{TABLE},application/json", Scope(tables=False)).form == ""


async def test_a_review_has_no_columns(api) -> None:
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    status, refused = await api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, Accept=TABLE)
    assert (status, refused["reason"]) == (406, "NotAcceptable")
