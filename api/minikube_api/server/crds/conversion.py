"""Conversion of custom resources between versions: None changes the apiVersion, Webhook asks a service (ConversionReview v1, v1beta1).

Source: apiextensions-apiserver's pkg/apiserver/conversion (webhook_converter.go). What a webhook gets wrong is an error of the request
that needed the object, in these words and without a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from minikube_api.meta.errors import FieldError, StatusError
from minikube_api.resources import objectmeta
from minikube_api.resources.resource import Object
from minikube_api.server.webhooks.calling import CallFailed

if TYPE_CHECKING:
    from minikube_api.server.crds.resources import Converter
    from minikube_api.server.server import Server

#: seconds; the apiserver gives conversion webhooks 30
TIMEOUT = 30.0
_GROUP = "apiextensions.k8s.io"
_REVIEWS = ("v1", "v1beta1")


class Wrong(ValueError):
    """What a webhook answered can't be used; the text says why."""


class Conversions:
    """Converters of definitions."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def of(self, definition: Object) -> Converter:
        conversion = definition["spec"].get("conversion") or {}
        if conversion.get("strategy") != "Webhook":
            return rename
        return WebhookConverter(self._server, conversion["webhook"])


def rename(tree: Object, api_version: str) -> Object:
    tree["apiVersion"] = api_version
    return tree


class WebhookConverter:
    """Converts one object, or many in one request."""

    def __init__(self, server: Server, webhook: Object) -> None:
        self._server = server
        self._client: Object = webhook["clientConfig"]
        wanted = webhook.get("conversionReviewVersions") or ()
        self._review = f"{_GROUP}/{next((version for version in wanted if version in _REVIEWS), 'v1')}"

    async def __call__(self, tree: Object, api_version: str) -> Object:
        """Raises StatusError."""
        asked = _named(tree)
        converted = await self._ask([tree], api_version, asked)
        if len(converted) != 1:
            raise failed(f"conversion webhook for {asked} returned {len(converted)} objects, expected 1")
        try:
            made = _typed(tree, converted[0], api_version)
        except Wrong as error:
            raise failed(f"conversion webhook for {asked} returned invalid object at index 0: {error}") from None
        try:
            _same_object(tree, made)
        except Wrong as error:
            raise failed(f"conversion webhook for {asked} returned invalid object: {error}") from None
        try:
            return _with_metadata(tree, made)
        except Wrong as error:
            raise failed(f"conversion webhook for {asked} returned invalid metadata: {error}") from None

    async def many(self, trees: Sequence[Object], api_version: str) -> list[Object]:
        """Objects of any versions, in one request for those that are not of the version. Raises StatusError."""
        asked = [tree for tree in trees if tree["apiVersion"] != api_version]
        if not asked:
            return list(trees)
        named = f"{asked[0]['apiVersion']}, Kind={asked[0]['kind']}List"
        converted = await self._ask(asked, api_version, named)
        if len(converted) != len(asked):
            raise failed(f"conversion webhook for {named} returned {len(converted)} objects, expected {len(asked)}")
        made = iter(
            [_item(tree, answer, i, api_version, named) for i, (tree, answer) in enumerate(zip(asked, converted, strict=True))]
        )
        return [tree if tree["apiVersion"] == api_version else next(made) for tree in trees]

    async def _ask(self, trees: Sequence[Object], api_version: str, asked: str) -> list[Any]:
        uid = str(uuid4())
        review = {
            "kind": "ConversionReview",
            "apiVersion": self._review,
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(trees)},
        }
        try:
            answer = await self._server.webhook_caller.post(self._client, orjson.dumps(review), TIMEOUT)
            return _objects(answer, uid, self._review)
        except (CallFailed, Wrong) as error:
            raise failed(f"conversion webhook for {asked} failed: {error}") from error


def failed(message: str) -> StatusError:
    return StatusError(message, reason="")


def _named(tree: Object) -> str:
    return f"{tree['apiVersion']}, Kind={tree['kind']}"


def _item(tree: Object, answer: Any, index: int, api_version: str, named: str) -> Object:
    what = "converted object"
    try:
        made = _typed(tree, answer, api_version)
        _same_object(tree, made)
        what = "metadata in object"
        return _with_metadata(tree, made)
    except Wrong as error:
        raise failed(f"conversion webhook for {named} returned invalid {what} at index {index}: {error}") from None


# ---- answers


def _objects(answer: Any, uid: str, review: str) -> list[Any]:
    version = answer.get("apiVersion") or "" if isinstance(answer, dict) else ""
    kind = answer.get("kind") or "" if isinstance(answer, dict) else ""
    if (version, kind) != (review, "ConversionReview"):
        raise Wrong(f"expected webhook response of {review}, Kind=ConversionReview, got {version or '/'}, Kind={kind}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise Wrong("no response provided")
    if response.get("uid") != uid:
        raise Wrong(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result") or {}
    if result.get("status") != "Success":
        raise Wrong(result.get("message") or f"response.result.status was '{result.get('status') or ''}', not 'Success'")
    return list(response.get("convertedObjects") or ())


def _typed(tree: Object, answer: Any, api_version: str) -> Object:
    given: Object = answer if isinstance(answer, dict) else {}
    version, kind = given.get("apiVersion") or "", given.get("kind") or ""
    if version != api_version:
        raise Wrong(f"invalid groupVersion (expected {api_version}, received {version})")
    if kind != tree["kind"]:
        raise Wrong(f"invalid kind (expected {tree['kind']}, received {kind})")
    return given


def _same_object(tree: Object, made: Object) -> None:
    meta = made.get("metadata")
    given: Object = meta if isinstance(meta, dict) else {}
    for field, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        before, after = tree["metadata"].get(field) or "", given.get(field) or ""
        if before != after:
            raise Wrong(f"must have the same {shown}: {before} != {after}")


def _with_metadata(tree: Object, made: Object) -> Object:
    """A webhook may change labels and annotations, nothing else of metadata."""
    if "metadata" not in made:
        raise Wrong("missing metadata in converted object")
    given = made["metadata"]
    if not isinstance(given, dict):
        raise Wrong(f"invalid metadata of type {_go_type(given)} in converted object")
    meta = dict(tree["metadata"])
    for field, problems in (("labels", objectmeta.label_problems), ("annotations", objectmeta.annotation_problems)):
        texts = given.get(field)
        if texts is None:
            meta.pop(field, None)
            continue
        if not isinstance(texts, dict):
            raise Wrong(f"invalid metadata.{field} of type {_go_type(texts)} in converted object")
        for key, value in texts.items():
            if not isinstance(value, str):
                raise Wrong(f"metadata.{field}[{key}] must be a string, but is {_go_type(value)} in converted object")
        if texts != meta.get(field) and (found := problems(texts, f"metadata.{field}")):
            raise Wrong(_together(found))
        meta[field] = texts
    return {**made, "metadata": meta}


def _together(problems: Sequence[FieldError]) -> str:
    texts = list(dict.fromkeys(str(problem) for problem in problems))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _go_type(value: Any) -> str:
    """A JSON value's Go type, as %T prints it."""
    if value is None:
        return "<nil>"
    for python, name in ((bool, "bool"), (int, "int64"), (float, "float64"), (str, "string"), (list, "[]interface {}")):
        if isinstance(value, python):
            return name
    return "map[string]interface {}"
