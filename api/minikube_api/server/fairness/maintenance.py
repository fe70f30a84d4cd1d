"""The FlowSchemas and PriorityLevelConfigurations that have to be there (documentation, "Maintenance of the Mandatory and Suggested Objects").

Mandatory ones always are as Kubernetes says (but for the seats of `exempt`). Suggested ones are made when missing, kept as Kubernetes says
while their annotation says `apf.kubernetes.io/autoupdate-spec: "true"`, and left to the people otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from minikube_api.server import bootstrap
from minikube_api.server.context import Object

if TYPE_CHECKING:
    from minikube_api.server.server import Server

log = logging.getLogger(__name__)

AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
MANDATORY = frozenset({"exempt", "catch-all"})
_PLURALS = {"FlowSchema": "flowschemas", "PriorityLevelConfiguration": "prioritylevelconfigurations"}


async def maintain(server: Server, schemas: Mapping[str, Object], levels: Mapping[str, Object]) -> None:
    """Put right what differs. What can't be written now is looked at again the next time."""
    client = server.transport(bootstrap.APISERVER, "kube-apiserver")
    held = {"FlowSchema": schemas, "PriorityLevelConfiguration": levels}
    for wanted in bootstrap.facts():
        plural = _PLURALS.get(wanted["kind"])
        if plural is None:
            continue
        name = wanted["metadata"]["name"]
        path = f"/apis/{wanted['apiVersion']}/{plural}"
        change = lacking(wanted, held[wanted["kind"]].get(name))
        if change is None:
            continue
        method, kind = ("POST", "json") if change is wanted else ("PATCH", "merge-patch+json")
        headers = {"Content-Type": f"application/{kind}"}
        to = path if method == "POST" else f"{path}/{name}"
        answer = await client.request(method, to, headers=headers, body=orjson.dumps(change))
        if answer.status not in (200, 201, 404, 409):
            log.warning("%s %s can't be put right: %s", wanted["kind"], name, answer.body.decode())


def lacking(wanted: Object, held: Object | None) -> Object | None:
    """The object to create, the merge patch that puts it right, or None. Pure."""
    if held is None:
        return wanted
    name = wanted["metadata"]["name"]
    annotations = (held.get("metadata") or {}).get("annotations") or {}
    auto = name in MANDATORY or annotations.get(AUTOUPDATE) == "true"
    spec = _comparable(wanted["spec"], held.get("spec") or {}, name)
    if not auto or spec == held.get("spec"):
        return None
    return {"spec": spec}


def _comparable(wanted: dict[str, Any], held: dict[str, Any], name: str) -> dict[str, Any]:
    """What Kubernetes lets people choose about mandatory levels stays as it is."""
    if name == "exempt" and held.get("type") == "Exempt" and held.get("exempt"):
        return {**wanted, "exempt": held["exempt"]}
    return wanted
