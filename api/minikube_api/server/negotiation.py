"""Content negotiation: which media type and which form (object, Table, PartialObjectMetadata) an answer takes.

Mirrors two layers of kube-apiserver: the router, that answers 406 when no media range fits at all, and the negotiator, that
reads `as=`, `g=` and `v=` (API concepts, "Receiving resources as Tables"). Both have their own wording.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from minikube_api.meta.errors import NotAcceptable

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
#: what a client may ask for; protobuf bodies are read but not written, so it never wins over another choice
KNOWN = (JSON, YAML, PROTOBUF)
_WRITTEN = (JSON, YAML)

Form = Literal["", "Table", "PartialObjectMetadata", "PartialObjectMetadataList"]


@dataclass(frozen=True, slots=True)
class View:
    """How an answer is to look. `version` is that of meta.k8s.io for the transformed forms."""

    media_type: str = JSON
    form: Form = ""
    version: str = ""
    pretty: bool = False


PLAIN = View()
_FORMS = {"Table": ("v1", "v1beta1"), "PartialObjectMetadata": ("v1", "v1beta1"), "PartialObjectMetadataList": ("v1", "v1beta1")}


@lru_cache(maxsize=512)
def negotiate(accept: str, transforms: bool = True, tables: bool = True) -> View:
    """The view that an Accept header selects; `tables` is False for what has no columns. Raises NotAcceptable."""
    if not accept or accept in ("*/*", JSON):
        return PLAIN
    clauses = _clauses(accept)
    if not any(_routable(media_type) for media_type, _ in clauses):
        raise NotAcceptable(f"406: Not Acceptable\n\nAvailable representations: {', '.join(KNOWN)}", details={})
    for media_type, params in clauses:
        view = _view(media_type, params, transforms)
        if view is not None and view.form == "Table" and not tables:
            continue
        if view is not None:
            return view
    raise NotAcceptable(f"only the following media types are accepted: {', '.join(KNOWN)}")


def _view(media_type: str, params: dict[str, str], transforms: bool) -> View | None:
    if media_type == "*/*":
        media_type = JSON
    if media_type not in _WRITTEN:
        return None
    form = params.get("as", "")
    if not form:
        return View(media_type)
    versions = _FORMS.get(form)
    if not transforms or versions is None or params.get("g") != "meta.k8s.io" or params.get("v") not in versions:
        return None
    return View(media_type, form, params["v"])  # type: ignore[arg-type]


def _routable(media_type: str) -> bool:
    return media_type == "*/*" or media_type in KNOWN


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """(media type, parameters) by falling q, in the order written where q is equal."""
    found: list[tuple[float, int, str, dict[str, str]]] = []
    for index, part in enumerate(accept.split(",")):
        media_type, *rest = part.split(";")
        params: dict[str, str] = {}
        for item in rest:
            key, _, value = item.partition("=")
            params[key.strip()] = value.strip().strip('"')
        try:
            quality = float(params.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((-quality, index, media_type.strip().lower(), params))
    found.sort(key=lambda clause: clause[:2])
    return [(media_type, params) for _, _, media_type, params in found]


def media_type_of(content_type: str) -> str:
    """`application/json; charset=utf-8` -> `application/json`."""
    return content_type.partition(";")[0].strip().lower()
