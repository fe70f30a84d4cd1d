"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386) on JSON trees, with the habits of the library kube-apiserver uses.

Differences from the RFC that are Kubernetes' (evanphx/json-patch v4): array indices may be negative (counted from the end), `add` does not
make missing parents, the whole document can be replaced but not added or removed. The given trees are left alone; results may share
parts with them. Messages of refusals are kube-apiserver's: a patch that does not apply is a bare 422 without saying why.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from minikube_api.meta.errors import BadRequest, Invalid, RequestEntityTooLarge

MAX_OPERATIONS = 10_000
#: bytes of JSON that all `copy` operations of a patch may copy together (kube-apiserver's JSONPatchMaxCopyBytes)
MAX_COPIED = 3 * 1024 * 1024

_index_re = re.compile(r"[+-]?[0-9]+")


class _DoesNotApply(Exception):
    """An operation that cannot be done on this document; the text is for logs, the API does not tell it."""


def json_patch(doc: Any, operations: Any) -> Any:
    """The patched document. Raises BadRequest for what is no patch, Invalid (422) for one that does not apply."""
    checked = check_operations(operations)
    holder = _Document(doc)
    for operation in checked:
        try:
            _apply(holder, operation)
        except _DoesNotApply as why:
            raise Invalid("the server rejected our request due to an error in our request", details={}) from why
    return holder.root


_GO_TYPES = {dict: "object", str: "string", bool: "bool", int: "number", float: "number", list: "array"}


def check_operations(operations: Any) -> list[dict[str, Any]]:
    """What the decoding into `[]jsonPatchOp` refuses, and the limit on the number of operations."""
    if operations is None:
        return []
    if not isinstance(operations, list):
        raise _cannot_decode(operations, "value of type []handlers.jsonPatchOp")
    for operation in operations:
        if operation is None:
            continue
        if not isinstance(operation, dict):
            raise _cannot_decode(operation, "value of type handlers.jsonPatchOp")
        for name in ("op", "path", "from"):
            text = operation.get(name)
            if text is not None and not isinstance(text, str):
                raise _cannot_decode(text, f"struct field jsonPatchOp.{name} of type string")
    if len(operations) > MAX_OPERATIONS:
        raise RequestEntityTooLarge(f"The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {len(operations)}")
    return [operation or {} for operation in operations]


def _cannot_decode(value: Any, target: str) -> BadRequest:
    return BadRequest(f"error decoding patch: json: cannot unmarshal {_GO_TYPES[type(value)]} into Go {target}")


class _Document:
    """A tree that is copied along the paths that are written, each container once."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.mine: set[int] = set()
        self.kept: list[Any] = []
        self.copied = 0

    def own(self, container: Any) -> Any:
        """A container that may be modified: itself when it was copied by this patch, else a copy."""
        if id(container) in self.mine:
            return container
        copied = container.copy()
        self.mine.add(id(copied))
        # ids stay unique only while their objects live
        self.kept.append(copied)
        return copied

    def share(self, value: Any) -> None:
        """From now on `value` stands in two places: neither may be modified in place."""
        if isinstance(value, dict):
            self.mine.discard(id(value))
            for part in value.values():
                self.share(part)
        elif isinstance(value, list):
            self.mine.discard(id(value))
            for part in value:
                self.share(part)

    def parent(self, pointer: str) -> tuple[Any, str]:
        """The container that holds what `pointer` names, ready to be modified, and the last part of the pointer."""
        parts = pointer.split("/")
        if len(parts) < 2:
            raise _DoesNotApply(f"doc is missing path: {pointer}")
        if not isinstance(self.root, dict | list):
            raise _DoesNotApply("the document is a scalar")
        self.root = current = self.own(self.root)
        for part in parts[1:-1]:
            name = _decoded(part)
            child = _get(current, name)
            if not isinstance(child, dict | list):
                raise _DoesNotApply(f"doc is missing path: {pointer}")
            child = self.own(child)
            if isinstance(current, dict):
                current[name] = child
            else:
                current[_index(current, name)] = child
            current = child
        return current, _decoded(parts[-1])


def _decoded(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~") if "~" in part else part


def _index(array: list[Any], text: str, *, adding: bool = False) -> int:
    """An index into `array`; when adding, one past the end is allowed and -1 means there."""
    if not _index_re.fullmatch(text):
        raise _DoesNotApply(f"no array index: {text}")
    size = len(array) + adding
    i = int(text)
    if not -size <= i < size:
        raise _DoesNotApply(f"index out of bounds: {text}")
    return i + size if i < 0 else i


def _get(container: Any, name: str) -> Any:
    if isinstance(container, dict):
        if name not in container:
            raise _DoesNotApply(f"missing key: {name}")
        return container[name]
    return container[_index(container, name)]


def _add(container: Any, name: str, value: Any) -> None:
    if isinstance(container, dict):
        container[name] = value
    elif name == "-":
        container.append(value)
    else:
        container.insert(_index(container, name, adding=True), value)


def _remove(container: Any, name: str) -> Any:
    if isinstance(container, dict):
        if name not in container:
            raise _DoesNotApply(f"missing key: {name}")
        return container.pop(name)
    return container.pop(_index(container, name))


def _text(operation: dict[str, Any], name: str) -> str:
    text = operation.get(name)
    if not isinstance(text, str):
        raise _DoesNotApply(f"operation has no {name}")
    return text


def _apply(doc: _Document, operation: dict[str, Any]) -> None:
    kind = operation.get("op")
    path = _text(operation, "path")
    match kind:
        case "add":
            container, name = doc.parent(path)
            _add(container, name, operation.get("value"))
        case "remove":
            container, name = doc.parent(path)
            _remove(container, name)
        case "replace":
            _replace(doc, path, operation.get("value"))
        case "move":
            container, name = doc.parent(_text(operation, "from"))
            value = _remove(container, name)
            container, name = doc.parent(path)
            _add(container, name, value)
        case "copy":
            container, name = doc.parent(_text(operation, "from"))
            value = _get(container, name)
            doc.copied += len(orjson.dumps(value))
            if doc.copied > MAX_COPIED:
                raise _DoesNotApply(f"Unable to complete the copy, the accumulated size increase of copy is {doc.copied}")
            doc.share(value)
            container, name = doc.parent(path)
            _add(container, name, value)
        case "test":
            _test(doc, path, operation)
        case _:
            raise _DoesNotApply(f"Unexpected kind: {kind}")


def _replace(doc: _Document, path: str, value: Any) -> None:
    if path == "":
        if not isinstance(value, dict | list):
            raise _DoesNotApply("replace operation value must be object or array")
        doc.root = value
        return
    container, name = doc.parent(path)
    _get(container, name)
    if isinstance(container, dict):
        container[name] = value
    else:
        container[_index(container, name)] = value


def _test(doc: _Document, path: str, operation: dict[str, Any]) -> None:
    expected = operation.get("value")
    if path == "":
        found = doc.root
    else:
        container, name = doc.parent(path)
        found = container.get(name) if isinstance(container, dict) else _get(container, name)
    if not equal(found, expected):
        raise _DoesNotApply(f"testing value {path} failed")


def equal(a: Any, b: Any) -> bool:
    """JSON equality: true is not 1, 1 is 1.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(equal, a, b))
    return a == b


def merge_patch(doc: Any, patch: Any) -> Any:
    """RFC 7386. The given trees are left alone; the result shares what did not change. `patch` must be an object (BadRequest)."""
    if not isinstance(patch, dict):
        if patch is None:
            raise BadRequest("Invalid JSON Patch")
        raise _cannot_decode(patch, "value of type map[string]interface {}")
    return _merge(doc, patch)


def _merge(doc: Any, patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(doc) if isinstance(doc, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            merged[name] = _merge(merged.get(name), value)
        elif isinstance(value, list) and not isinstance(merged.get(name), dict):
            merged[name] = _without_nulls(value)
        else:
            merged[name] = value
    return merged


def _without_nulls(value: Any) -> Any:
    """RFC 7386 keeps nulls inside of arrays; the library drops them, unless the array takes the place of an object."""
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return value


def merge_diff(old: Any, new: Any) -> Any:
    """A merge patch that turns `old` into `new`, as far as merge patches can (a null inside `new` cannot be said)."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    patch: dict[str, Any] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name not in old:
            patch[name] = value
        elif not equal(old[name], value):
            patch[name] = merge_diff(old[name], value)
    return patch
