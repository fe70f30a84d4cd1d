"""Are aggregated API servers there? Writes the Available condition, and reads their discovery on the way.

Source: kube-aggregator's remote availability controller. Runs when an APIService changes, after failures soon again, and
otherwise every half minute; with no aggregated server it only waits.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from minikube_api.cache.watching import Change
from minikube_api.meta import times
from minikube_api.schema import openapi_merging
from minikube_api.server.aggregation.following import GROUP, PLURAL, Aggregation, Remote
from minikube_api.server.context import Object, UserInfo
from minikube_api.server.outgoing import Unreachable
from minikube_api.server.services import Unresolvable

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

#: seconds between checks while all is well, and after a failure
EVERY, AGAIN = 30.0, 1.0
#: seconds a server has for a check's answer
TIMEOUT = 5.0
_USER = UserInfo("system:apiserver", groups=("system:masters",))


class Checker:
    def __init__(self, server: Server, aggregation: Aggregation) -> None:
        self._server = server
        self._aggregation = aggregation
        self._following = False

    async def run(self) -> None:
        """Until cancelled."""
        aggregation, clock = self._aggregation, self._server.clock
        while True:
            if not aggregation.remote:
                await aggregation.changed.wait()
            await self._follow_services()
            aggregation.changed.clear()
            await aggregation.close_dropped()
            well = True
            for remote in list(aggregation.remote.values()):
                well = await self.check(remote) and well
            await _either(aggregation.changed, clock.sleep(EVERY if well else AGAIN))

    async def _follow_services(self) -> None:
        """From the first APIService with a Service on, changes of Services and their endpoints are looked at as they come."""
        if self._following:
            return
        self._following = True
        for group, plural in (("", "services"), ("discovery.k8s.io", "endpointslices")):
            resource = self._server.registry.get(group, "v1", plural)
            if resource is not None:
                cacher = self._server.storage.cacher(resource)
                await cacher.load()
                cacher.listeners.append(self._service_changed)

    def _service_changed(self, changes: Sequence[Change]) -> None:
        used = {(s["namespace"], s["name"]) for r in self._aggregation.remote.values() if (s := r.tree["spec"]["service"])}
        for change in changes:
            entry = change.entry
            labels = entry.tree()["metadata"].get("labels") or {}
            if used and (entry.namespace, labels.get("kubernetes.io/service-name", entry.name)) in used:
                self._aggregation.changed.set()

    async def check(self, remote: Remote) -> bool:
        """Look, and write down what was seen. Says whether all is well."""
        shown = (remote.current, remote.resources, remote.open_api)
        status, reason, message = await self._look(remote)
        remote.current = status == "True"
        if (remote.current, remote.resources, remote.open_api) != shown:
            self._aggregation.republish()
        try:
            await self._write(remote, status, reason, message)
        except OSError as error:
            log.warning("the condition of APIService %s can't be written: %s", remote.name, error)
        if status == "True":
            await self._read_document(remote)
        return status == "True"

    async def _read_document(self, remote: Remote) -> None:
        """Its OpenAPI v2 document. A server without one, or with a bad one, is available all the same."""
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body, tag = await remote.backend.read_changed("/openapi/v2", remote.open_api_tag)
        except (TimeoutError, Unreachable, Unresolvable) as error:
            log.warning("the OpenAPI document of APIService %s can't be read: %s", remote.name, error or "time-out")
            return
        if status == 304:
            return
        found = None
        if status == 200:
            try:
                found = await asyncio.to_thread(_part, body, *remote.group_version)
            except openapi_merging.NotUsable as error:
                log.warning("the OpenAPI document of APIService %s can't be used: %s", remote.name, error)
        remote.open_api_tag = tag
        if found != remote.open_api_v2:
            remote.open_api_v2 = found
            self._aggregation.republish()

    async def _look(self, remote: Remote) -> tuple[str, str, str]:
        """(status, reason, message) of the Available condition."""
        group, version = remote.group_version
        service = remote.tree["spec"]["service"]
        which = f'service/{service["name"]} in "{service["namespace"]}"'
        port = service.get("port") or 443
        path = f"/apis/{group}/{version}"
        try:
            found = await self._server.services.addresses(service["namespace"], service["name"], port)
        except Unresolvable as error:
            if error.reason == "ServiceNotFound":
                return "False", error.reason, f"{which} is not present"
            if error.reason == "ServicePortError":
                return "False", error.reason, f"{which} is not listening on port {port}"
            return (
                "False",
                error.reason,
                f"endpoints for {which} have no addresses with port name {orjson.dumps(error.port_name).decode()}",
            )
        url = f"https://{found[0].host}:{found[0].port}{path}"
        failing = f"failing or missing response from {url}: "
        try:
            async with asyncio.timeout(TIMEOUT):
                status, body = await remote.backend.read(path)
                if not 200 <= status < 300:
                    return "False", "FailedDiscoveryCheck", f"{failing}bad status from {url}: {status}"
                remote.resources = aggregated(_tree(body))
                remote.open_api = await self._open_api(remote)
        except TimeoutError:
            return "False", "FailedDiscoveryCheck", f'{failing}Get "{url}": context deadline exceeded'
        except (Unreachable, Unresolvable) as error:
            return "False", "FailedDiscoveryCheck", f'{failing}Get "{url}": {error}'
        return "True", "Passed", "all checks passed"

    async def _open_api(self, remote: Remote) -> Object:
        status, body = await remote.backend.read("/openapi/v3")
        if status != 200:
            return {}
        group, version = remote.group_version
        paths = _tree(body).get("paths") or {}
        entry = paths.get(f"apis/{group}/{version}")
        return entry if isinstance(entry, dict) else {}

    async def _write(self, remote: Remote, status: str, reason: str, message: str) -> None:
        conditions = [dict(c) for c in (remote.tree.get("status") or {}).get("conditions") or ()]
        before = next((c for c in conditions if c.get("type") == "Available"), None)
        wanted = {"type": "Available", "status": status, "reason": reason, "message": message}
        if before is not None and all(before.get(key) == value for key, value in wanted.items()):
            return
        moved = before is None or before.get("status") != status
        wanted["lastTransitionTime"] = times.now(self._server.clock) if moved else (before or {})["lastTransitionTime"]
        others = [c for c in conditions if c.get("type") != "Available"]
        body = orjson.dumps({"status": {"conditions": [*others, wanted]}})
        transport = self._server.transport(_USER, "kube-aggregator")
        headers = {"Content-Type": "application/merge-patch+json"}
        path = f"/apis/{GROUP}/v1/{PLURAL}/{remote.name}/status"
        answer = await transport.request("PATCH", path, headers=headers, body=body)
        if answer.status not in (200, 404):
            log.warning("the condition of APIService %s can't be written: %s", remote.name, answer.body.decode())


async def _either(event: asyncio.Event, sleep: Any) -> None:
    """Wait for the event or the end of the sleep."""
    waiting = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(sleep)}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _tree(body: bytes) -> Object:
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return tree if isinstance(tree, dict) else {}


def _part(body: bytes, group: str, version: str) -> tuple[str, Object]:
    """(digest, part of /openapi/v2). Raises NotUsable."""
    part = openapi_merging.of_version(_tree(body), group, version)
    return hashlib.sha256(orjson.dumps(part)).hexdigest(), part


def aggregated(legacy: Object) -> list[Object]:
    """The resources of an APIResourceList as apidiscovery.k8s.io lists them."""
    made: dict[str, Object] = {}
    entries = [e for e in legacy.get("resources") or () if isinstance(e, dict)]
    for entry in entries:
        name = entry.get("name", "")
        if "/" in name:
            continue
        made[name] = {
            "resource": name,
            "responseKind": _kind(entry),
            "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
            "singularResource": entry.get("singularName", ""),
            "verbs": entry.get("verbs") or [],
            **{key: entry[key] for key in ("shortNames", "categories") if entry.get(key)},
        }
    for entry in entries:
        parent, _, sub = entry.get("name", "").partition("/")
        if sub and parent in made:
            listed = {"subresource": sub, "responseKind": _kind(entry), "verbs": entry.get("verbs") or []}
            made[parent].setdefault("subresources", []).append(listed)
    return list(made.values())


def _kind(entry: Object) -> Object:
    return {"group": entry.get("group", ""), "version": entry.get("version", ""), "kind": entry.get("kind", "")}
