from __future__ import annotations

import pytest

from minikube_api.meta.errors import NotAcceptable
from minikube_api.server.negotiation import negotiate

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
        pytest.param("application/vnd.kubernetes.protobuf,application/json", ("application/json", ""), id="client-go"),
        pytest.param("text/html, */*;q=0.1", ("application/json", ""), id="browser"),
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
    ],
)
def test_what_cannot_be_given_is_refused_by_the_layer_that_sees_it(accept: str, message: str) -> None:
    with pytest.raises(NotAcceptable, match=message):
        negotiate(accept)


def test_what_has_no_columns_is_not_shown_as_a_table() -> None:
    with pytest.raises(NotAcceptable, match="only the following media types"):
        negotiate(TABLE, True, False)
    assert negotiate(f"{TABLE},application/json", True, False).form == ""


async def test_a_review_has_no_columns(api) -> None:
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    status, refused = await api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, Accept=TABLE)
    assert (status, refused["reason"]) == (406, "NotAcceptable")
