"""Content negotiation: which media type and which form (object, Table, PartialObjectMetadata) an answer takes.

Mirrors two layers of kube-apiserver: the router (go-restful), that answers 406 when no media range fits at all, and the negotiator, that
reads the parameters `as`, `g`, `v`, `sv`, `stream` and `pretty` (API concepts, "Receiving resources as Tables"). Both have their own wording.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from minikube_api.meta.errors import NotAcceptable

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
#: what bodies and answers may be written in, in the order in which a wildcard takes them
KNOWN = (JSON, YAML, PROTOBUF)
#: what a watch may be written in
STREAMED = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
_FRAMED = (JSON, PROTOBUF)

Form = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList"]
Params = dict[str, str]


@dataclass(frozen=True, slots=True)
class View:
    """How an answer is to look. `version` is that of meta.k8s.io for the transformed forms."""

    media_type: str = JSON
    form: Form = ""
    version: str = ""
    pretty: bool = False


PLAIN = View()
_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
_VERSIONS = ("v1", "v1beta1")


@dataclass(frozen=True, slots=True)
class Scope:
    """What an endpoint can give (kube-apiserver's EndpointRestrictions).

    `transforms`: forms other than the object itself; `tables`: the kind has columns; `messages`: the kind has a protobuf message (custom
    resources have none, and no router before them); `lists`, `watches`: the verb (their routes name streams among what can be had).
    """

    transforms: bool = True
    tables: bool = True
    messages: bool = True
    lists: bool = False
    watches: bool = False


ANY = Scope()
#: errors and what is no resource
UNTRANSFORMED = Scope(transforms=False)


def negotiate(accept: str, scope: Scope = ANY) -> View:
    """The view that an Accept header selects. Raises NotAcceptable."""
    if not accept or accept in ("*/*", JSON):
        return PLAIN
    return _negotiated(accept, scope)


@lru_cache(maxsize=512)
def _negotiated(accept: str, scope: Scope) -> View:
    if scope.messages:
        check_routable(accept, KNOWN + STREAMED if scope.lists else KNOWN)
    for media_type, params in clauses(accept):
        for known in KNOWN:
            if covers(media_type, known) and (view := _view(known, params, scope)) is not None:
                if scope.watches and known not in _FRAMED:
                    raise NotAcceptable(f"only the following media types are accepted: {', '.join(STREAMED)}")
                return view
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(KNOWN)}")


def check_routable(accept: str, available: tuple[str, ...]) -> None:
    """The router's part: some range names a type of the route, whatever its parameters. Raises NotAcceptable."""
    ranges = [part.partition(";")[0].strip(" ") for part in accept.split(",")]
    if accept and not any(media_range == "*/*" or media_range in available for media_range in ranges):
        raise NotAcceptable(f"406: Not Acceptable\n\nAvailable representations: {', '.join(available)}", details={})


def _view(media_type: str, params: Params, scope: Scope) -> View | None:
    stream = params.get("stream", "")
    if stream and (media_type not in _FRAMED or stream != "watch"):
        return None
    if params.get("sv") and (not scope.transforms or params["sv"] != "v1"):
        return None
    pretty = params.get("pretty") == "1"
    if not params.keys() & {"as", "g", "v"}:
        return View(media_type, pretty=pretty) if scope.messages or media_type != PROTOBUF else None
    form, version = params.get("as", ""), params.get("v", "")
    if not scope.transforms or params.get("g") != "meta.k8s.io" or version not in _VERSIONS or form not in _FORMS:
        return None
    if form == "Table" and (not scope.tables or media_type == PROTOBUF):
        return None
    return View(media_type, form, version, pretty)  # type: ignore[arg-type]


def covers(media_range: str, media_type: str) -> bool:
    """`*/*` and `application/*` cover `application/json`."""
    return media_range in ("*/*", media_type) or media_range == media_type.partition("/")[0] + "/*"


@lru_cache(maxsize=128)
def clauses(accept: str) -> list[tuple[str, Params]]:
    """(media range, parameters) in the order of preference (goautoneg): by falling q, what is concrete before wildcards."""
    found: list[tuple[float, str, Params]] = []
    for part in accept.split(","):
        media_range, *rest = part.strip(" ").split(";")
        kind, _, subtype = (text.strip(" ") for text in media_range.partition("/"))
        if "/" in subtype or (not subtype and kind != "*"):
            continue
        params: Params = {}
        quality = 1.0
        for item in rest:
            key, _, value = item.partition("=")
            if not value or "=" in value:
                continue
            if key.strip(" ") == "q":
                quality = float(value) if _QUALITY.fullmatch(value) else 0.0
            else:
                params[key.strip(" ")] = value.strip(" ")
        found.append((quality, f"{kind}/{subtype or '*'}", params))
    return [(media_range, params) for _, media_range, params in _sorted(found)]


_QUALITY = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


def _sorted(found: list[tuple[float, str, Params]]) -> list[tuple[float, str, Params]]:
    """An insertion sort, as Go sorts short lists: goautoneg's order is none (a concrete range goes before a wildcard of any q)."""
    for end in range(1, len(found)):
        at = end
        while at and _goes_before(found[at], found[at - 1]):
            found[at], found[at - 1] = found[at - 1], found[at]
            at -= 1
    return found


def _goes_before(one: tuple[float, str, Params], other: tuple[float, str, Params]) -> bool:
    if one[0] > other[0]:
        return True
    if other[1].startswith("*/") and not one[1].startswith("*/"):
        return True
    return other[1].endswith("/*") and not one[1].endswith("/*")


def pretty(view: View) -> View:
    return replace(view, pretty=True)


def media_type_of(content_type: str) -> str:
    """`application/json; charset=utf-8` -> `application/json`."""
    return content_type.partition(";")[0].strip().lower()
