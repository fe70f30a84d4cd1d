"""Conversion of custom resources between versions: None changes the apiVersion, Webhook asks a service (ConversionReview v1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from minikube_api.meta.errors import InternalError
from minikube_api.resources.resource import Object
from minikube_api.server.webhooks.calling import CallFailed

if TYPE_CHECKING:
    from minikube_api.server.server import Server

#: seconds; the apiserver gives conversion webhooks 30
TIMEOUT = 30.0


class Conversions:
    """Converters of definitions."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def of(self, definition: Object) -> Callable[[Object, str], Any]:
        conversion = definition["spec"].get("conversion") or {}
        if conversion.get("strategy") != "Webhook":
            return rename

        async def convert(tree: Object, api_version: str) -> Object:
            return await self._ask(definition, conversion["webhook"], tree, api_version)

        return convert

    async def _ask(self, definition: Object, webhook: Object, tree: Object, api_version: str) -> Object:
        kind = definition["spec"]["names"]["kind"]
        review = {
            "kind": "ConversionReview",
            "apiVersion": "apiextensions.k8s.io/v1",
            "request": {"uid": str(uuid4()), "desiredAPIVersion": api_version, "objects": [tree]},
        }
        prefix = f"conversion webhook for {tree['apiVersion']}, Kind={kind} failed: "
        try:
            answer = await self._server.webhook_caller.post(webhook["clientConfig"], orjson.dumps(review), TIMEOUT)
        except CallFailed as error:
            raise failed(prefix + str(error)) from error
        response = answer.get("response") or {}
        result = response.get("result") or {}
        if result.get("status") != "Success":
            raise failed(f"conversion webhook for {tree['apiVersion']}, Kind={kind} failed: {result.get('message', '')}")
        converted = response.get("convertedObjects") or []
        if len(converted) != 1:
            raise failed(
                f"conversion webhook for {tree['apiVersion']}, Kind={kind} returned {len(converted)} objects, expected 1"
            )
        made: Object = converted[0]
        if made.get("apiVersion") != api_version:
            raise failed(
                f"conversion webhook for {tree['apiVersion']}, Kind={kind} returned invalid converted object at index 0: "
                f"invalid groupVersion (expected {api_version}, received {made.get('apiVersion')})"
            )
        _keep_metadata(tree, made)
        return made


def rename(tree: Object, api_version: str) -> Object:
    tree["apiVersion"] = api_version
    return tree


def _keep_metadata(old: Object, new: Object) -> None:
    """A webhook may change labels and annotations, nothing else of metadata."""
    given = new.get("metadata") or {}
    meta = dict(old["metadata"])
    for field in ("labels", "annotations"):
        if given.get(field):
            meta[field] = given[field]
        else:
            meta.pop(field, None)
    new["metadata"] = meta


def failed(message: str) -> InternalError:
    return InternalError(message)
