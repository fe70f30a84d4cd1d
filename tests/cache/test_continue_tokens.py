"""Continue tokens and resource versions in kube-apiserver's form and words."""

from __future__ import annotations

import base64
import json

import pytest

from minikube_api.cache import revisions
from minikube_api.meta.errors import BadRequest, StatusError

PREFIX = "/registry/configmaps/default/"


def token(**tree: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(tree).encode()).decode().rstrip("=")


def test_a_token_is_unpadded_base64_json_and_comes_back() -> None:
    made = revisions.encode_continue(PREFIX + "b", PREFIX, 17)
    assert json.loads(base64.urlsafe_b64decode(made + "==")) == {"v": "meta.k8s.io/v1", "rv": 17, "start": "b\0"}
    assert revisions.decode_continue(made, PREFIX) == (PREFIX + "b\0", 17)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("nonsense", "invalid character '\\u009e' looking for beginning of value", id="other-bytes"),
        pytest.param("a!b", "illegal base64 data at input byte 1", id="no-base64"),
        pytest.param("aaaaa", "illegal base64 data at input byte 4", id="cut-base64"),
        pytest.param(token(v="v2", rv=1, start="a"), "server does not recognize this encoded version v2", id="version"),
        pytest.param(
            token(v="meta.k8s.io/v1", start="a"),
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
            id="no-revision",
        ),
        pytest.param(token(v="meta.k8s.io/v1", rv=3), "encoded start key empty (version meta.k8s.io/v1)", id="no-start"),
        pytest.param(token(v="meta.k8s.io/v1", rv=3, start="../x"), "../x", id="path-traversal"),
    ],
)
def test_a_bad_token_is_a_bad_request(text: str, problem: str) -> None:
    with pytest.raises(BadRequest) as refused:
        revisions.decode_continue(text, PREFIX)
    assert refused.value.message == f"invalid continue token: continue key is not valid: {problem}"


@pytest.mark.parametrize("text", ["abc", "-1", "1.5", " 1", str(1 << 64)])
def test_what_is_no_uint64_is_no_resource_version(text: str) -> None:
    with pytest.raises(StatusError, match="ParseUint"):
        revisions.parse_resource_version(text)
