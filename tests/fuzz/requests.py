"""Whole requests for fuzzing: verbs, paths, queries and headers around the bodies of `bodies`."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from minikube_api.resources.resource import Resource
from tests.fuzz import bodies

NAMES = ("a", "b", "c")
#: how long one request may take, in seconds
LIMIT = 5.0
TOKENS = (
    "",
    "garbage",
    "e30",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi8uLiJ9",
    "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTEsInN0YXJ0IjoiYSJ9",
    "%%%",
    "ééé",
)
SELECTORS = (
    "",
    "a=b",
    "a",
    "!a",
    "a in (b,c)",
    "a notin ()",
    "a in (",
    "a==b,c!=d",
    ",",
    "=",
    "a=b=c",
    "é",
    "x" * 300 + "=y",
    "a>1",
    "a<z",
    "\u0000",
)
FIELDS = (
    "",
    "metadata.name=a",
    "metadata.namespace!=x",
    "spec.nodeName=n",
    "status.phase=Running",
    "nope=1",
    "a",
    "metadata.name",
    "metadata.name=a\\,b",
    "\\",
    "=",
)
VERSIONS = ("", "0", "1", "-1", "99999999999", "99999999999999999999999", "abc", "1.5", "é")
QUERIES: dict[str, tuple[str, ...]] = {
    "labelSelector": SELECTORS,
    "fieldSelector": FIELDS,
    "limit": ("", "0", "1", "2", "-1", "500", "abc", "99999999999999999999"),
    "continue": TOKENS,
    "resourceVersion": VERSIONS,
    "resourceVersionMatch": ("Exact", "NotOlderThan", "Nope", ""),
    "fieldManager": ("", "me", "x" * 129, "a b", "é", "\u0007"),
    "fieldValidation": ("Strict", "Warn", "Ignore", "Nope", ""),
    "dryRun": ("All", "Nope", ""),
    "force": ("true", "false", "maybe", ""),
    "pretty": ("true", "0", ""),
    "timeout": ("1s", "0", "-1s", "abc", "999999h"),
    "gracePeriodSeconds": ("0", "-1", "abc", "99999999999999999999"),
    "propagationPolicy": ("Background", "Foreground", "Orphan", "Nope"),
    "orphanDependents": ("true", "maybe"),
    "includeObject": ("None", "Metadata", "Object", "Nope"),
    "sendInitialEvents": ("true", "false", "maybe"),
    "allowWatchBookmarks": ("true", "maybe"),
    "timeoutSeconds": ("1", "0", "-1", "abc"),
    "nope": ("", "1"),
    "": ("", "x"),
}  # fmt: skip
ACCEPTS = (
    "", "*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf",
    "application/json;as=Table;g=meta.k8s.io;v=v1,application/json", "application/json;as=Table;g=meta.k8s.io;v=v9",
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList", "text/html", ";q=x", "application/json;q=abc", ",,,", "é",
)  # fmt: skip
ROOTS = ("/", "/api", "/api/", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/apis/nope/v1", "/version", "/healthz", "/livez/ping",
         "/readyz",
         "/metrics", "/openapi/v2", "/openapi/v3", "/openapi/v3/apis/apps/v1", "/openapi/v3/../..", "/logs", "/.well-known/openid-configuration",
         "/openid/v1/jwks", "/debug/pprof", "//", "/api/v1/", "/api/v1//pods", "/api/v1/namespaces//pods", "/api/v1/watch/pods/a",
         "/nope")  # fmt: skip
PARTS = ("a", "status", "scale", "log", "exec", "binding", "eviction", "token", "proxy", "ephemeralcontainers",
         "resize", "finalize", "approval", "..", ".",
         "%", "é", "a b", "x" * 300, "a:b", "\u0000", "*", "namespaces", "watch")  # fmt: skip


@dataclass
class Call:
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


def collection(resource: Resource, namespace: str = "default") -> str:
    root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.version}"
    return f"{root}/namespaces/{namespace}/{resource.plural}" if resource.namespaced else f"{root}/{resource.plural}"


def query(rng: random.Random) -> dict[str, str]:
    chosen = rng.sample(sorted(QUERIES), rng.choice((0, 0, 1, 2, 3)))
    return {key: rng.choice(QUERIES[key]) for key in chosen}


def headers(rng: random.Random) -> dict[str, str]:
    made = {}
    if rng.random() < 0.3:
        made["Accept"] = rng.choice(ACCEPTS)
    if rng.random() < 0.03:
        made["If-None-Match"] = rng.choice(('"x"', "*", ""))
    if rng.random() < 0.03:
        made["Impersonate-User"] = rng.choice(("", "x", "system:serviceaccount:a:b", "é"))
    if rng.random() < 0.03:
        made["Impersonate-Group"] = rng.choice(("", "system:masters"))
    if rng.random() < 0.02:
        made["Accept-Encoding"] = rng.choice(("gzip", "gzip;q=0", "x"))
    return made


def call(rng: random.Random, resources: list[Resource]) -> Call:
    resource = rng.choice(resources)
    name = rng.choice(NAMES)
    path = collection(resource)
    kind = rng.random()
    made = headers(rng)
    if kind < 0.08:
        path = (
            rng.choice(ROOTS)
            if rng.random() < 0.7
            else f"{path}/{'/'.join(rng.choice(PARTS) for _ in range(rng.randrange(1, 4)))}"
        )
        method = rng.choice(("GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FETCH"))
        raw, media_type = bodies.body(rng, resource, name, patch=method == "PATCH")
        return Call(method, path, query(rng), {**made, "Content-Type": media_type}, raw if rng.random() < 0.5 else None)
    if kind < 0.4:
        raw, media_type = bodies.body(rng, resource, name, patch=False)
        return Call("POST", path, query(rng), {**made, "Content-Type": media_type}, raw)
    single = f"{path}/{name}"
    if rng.random() < 0.25 and resource.subresources:
        single += f"/{rng.choice(sorted(resource.subresources))}"
    if kind < 0.55:
        raw, media_type = bodies.body(rng, resource, name, patch=False)
        return Call("PUT", single, query(rng), {**made, "Content-Type": media_type}, raw)
    if kind < 0.75:
        raw, media_type = bodies.body(rng, resource, name, patch=True)
        asked = query(rng)
        if media_type == bodies.PATCHES[3]:
            asked.setdefault("fieldManager", "fuzz")
        return Call("PATCH", single, asked, {**made, "Content-Type": media_type}, raw)
    if kind < 0.83:
        options: Any = bodies.junk(rng) if rng.random() < 0.3 else {"propagationPolicy": rng.choice(QUERIES["propagationPolicy"])}
        raw = bodies.orjson.dumps(options) if rng.random() < 0.5 else None
        return Call("DELETE", single if rng.random() < 0.8 else path, query(rng), {**made, "Content-Type": bodies.JSON}, raw)
    return Call("GET", single if rng.random() < 0.3 else path, query(rng), made)
