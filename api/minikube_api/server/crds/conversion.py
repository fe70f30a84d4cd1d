"""Conversion of custom resources between versions: None changes the apiVersion, Webhook asks a service (ConversionReview v1)."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import orjson

from minikube_api.meta.errors import InternalError
from minikube_api.resources.resource import Object

if TYPE_CHECKING:
    from minikube_api.server.server import Server

#: seconds; the apiserver gives conversion webhooks 30
TIMEOUT = 30.0


class Conversions:
    """Converters of definitions; one HTTP session for all webhooks, opened on first use."""

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
            async with asyncio.timeout(TIMEOUT):
                answer = await self._post(webhook["clientConfig"], review)
        except TimeoutError:
            raise failed(prefix + "context deadline exceeded") from None
        except (OSError, ValueError) as error:
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

    async def _post(self, client: Object, review: Object) -> Object:
        import aiohttp

        url = client.get("url")
        connector = None
        context = ssl.create_default_context()
        if client.get("caBundle"):
            context = ssl.create_default_context(cadata=base64.b64decode(client["caBundle"]).decode())
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if not url:
            service = client["service"]
            host, port = await self._service(service)
            name = f"{service['name']}.{service['namespace']}.svc"
            url = f"https://{host}:{port}{service.get('path') or ''}"
            async with aiohttp.ClientSession(connector=connector) as session:
                async with session.post(
                    url, data=orjson.dumps(review), headers=headers, ssl=context, server_hostname=name
                ) as answer:
                    return await _read(answer)
        async with aiohttp.ClientSession(connector=connector) as session:
            async with session.post(url, data=orjson.dumps(review), headers=headers, ssl=context) as answer:
                return await _read(answer)

    async def _service(self, reference: Object) -> tuple[str, int]:
        """Where a Service is reached: its cluster IP and port."""
        services = self._server.registry.get("", "v1", "services")
        assert services is not None
        entry = await self._server.storage.cacher(services).get(reference["namespace"], reference["name"], "0")
        if entry is None:
            raise OSError(f'service "{reference["name"]}" not found')
        address = (entry.tree().get("spec") or {}).get("clusterIP") or ""
        return (f"[{address}]" if ":" in address else address), reference.get("port") or 443


async def _read(answer: Any) -> Object:
    body = await answer.read()
    if answer.status >= 300:
        raise ValueError(f"the server answered {answer.status}: {body[:200].decode('utf-8', 'replace')}")
    tree: Object = orjson.loads(body)
    return tree


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
