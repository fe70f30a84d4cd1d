"""OpenAPI v2 documents of aggregated API servers put into the one document of /openapi/v2.

Of another server's document only the paths of the group version it is trusted with are taken, and the definitions they need. A path
or a definition that is there already stays; an equal definition is shared, one of the same name with other content gets a new name.
Source: kube-aggregator's pkg/controllers/openapi and kube-openapi's pkg/aggregator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from minikube_api.schema import openapi_protobuf
from minikube_api.schema.openapi_schemas import Tree

_DEFINITIONS, _PARAMETERS = "#/definitions/", "#/parameters/"
_KINDS = "x-kubernetes-group-version-kind"


class NotUsable(ValueError):
    """A document that can't be shown to clients; says what is wrong with it."""


def of_version(document: Any, group: str, version: str) -> Tree:
    """`paths` and `definitions` of one group version; shared parameters are written out. Raises NotUsable."""
    if not isinstance(document, dict) or document.get("swagger") != "2.0":
        raise NotUsable("it is no OpenAPI 2.0 document")
    prefix = f"/apis/{group}/{version}/"
    try:
        shared = document.get("parameters") or {}
        paths = {
            path: _walked(item, lambda ref: shared[ref.removeprefix(_PARAMETERS)] if ref.startswith(_PARAMETERS) else None)
            for path, item in (document.get("paths") or {}).items()
            if path.startswith(prefix)
        }
        known = document.get("definitions") or {}
        wanted, found = _named(paths), {}
        while wanted:
            name = wanted.pop()
            found[name] = known[name]
            wanted |= _named(known[name]) - found.keys()
        part = {"paths": paths, "definitions": found}
        # clients get both forms: what the protobuf form can't be made of would break the document of all
        openapi_protobuf.encode({"swagger": "2.0", "info": {"title": "", "version": ""}, "securityDefinitions": {}, **part})
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise NotUsable(f"{type(error).__name__}: {error}") from error
    return part


def merge(document: Tree, parts: Iterable[Tree]) -> None:
    """Put the parts into the document, in their order; neither they nor what the document holds is changed."""
    paths, definitions = dict(document["paths"]), dict(document["definitions"])
    for part in parts:
        renamed: dict[str, str] = {}
        for name, definition in part["definitions"].items():
            as_ = _free_name(definitions, name, definition)
            if as_ != name:
                renamed[_DEFINITIONS + name] = _DEFINITIONS + as_

        def moved(ref: str, renamed: dict[str, str] = renamed) -> Any:
            return {"$ref": renamed[ref]} if ref in renamed else None

        for name, definition in part["definitions"].items():
            as_ = renamed.get(_DEFINITIONS + name, _DEFINITIONS + name).removeprefix(_DEFINITIONS)
            made = _walked(definition, moved) if renamed else definition
            definitions[as_] = _with_kinds(definitions[as_], made) if as_ in definitions else made
        for path, item in part["paths"].items():
            paths.setdefault(path, _walked(item, moved) if renamed else item)
    document["paths"], document["definitions"] = dict(sorted(paths.items())), dict(sorted(definitions.items()))


def _free_name(definitions: Tree, name: str, definition: Tree) -> str:
    """NAME, NAME_v2...: the first that is free or says the same."""
    candidate, number = name, 2
    while candidate in definitions and not _same(definitions[candidate], definition):
        candidate, number = f"{name}_v{number}", number + 1
    return candidate


def _same(one: Tree, other: Tree) -> bool:
    """Equal but for the kinds they are of: DeleteOptions is of every group."""
    return {k: v for k, v in one.items() if k != _KINDS} == {k: v for k, v in other.items() if k != _KINDS}


def _with_kinds(kept: Tree, other: Tree) -> Tree:
    before = kept.get(_KINDS) or []
    more = [kind for kind in other.get(_KINDS) or [] if kind not in before]
    return {**kept, _KINDS: [*before, *more]} if more else kept


def _walked(tree: Any, replacement: Callable[[str], Any]) -> Any:
    """A copy in which references are replaced; None from `replacement` keeps one."""
    if isinstance(tree, dict):
        ref = tree.get("$ref")
        if isinstance(ref, str) and (new := replacement(ref)) is not None:
            return new
        return {key: _walked(value, replacement) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_walked(value, replacement) for value in tree]
    return tree


def _named(tree: Any) -> set[str]:
    """The definitions that a tree refers to."""
    found: set[str] = set()

    def note(ref: str) -> None:
        if ref.startswith(_DEFINITIONS):
            found.add(ref.removeprefix(_DEFINITIONS))

    _walked(tree, note)
    return found
