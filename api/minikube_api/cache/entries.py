"""What the cache keeps of an object: encoded once, decoded only when somebody asks for its labels or fields.

Stored bytes hold no resourceVersion. They begin `{"apiVersion":..,"kind":..,"metadata":{`, so the revision is spliced in right
after that, both when a kind is loaded and when an event arrives. Neighbours: `index` sorts entries, `cacher` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import orjson

Fields = Callable[[dict[str, Any]], dict[str, str]]
Body = bytes

_MARK = b'"metadata":{'
_EMPTY: Mapping[str, str] = {}


class _Meta(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Labelled(msgspec.Struct):
    metadata: _Meta


_labels_decoder = msgspec.json.Decoder(_Labelled)


def encode(tree: dict[str, Any]) -> bytes:
    """An object tree as the bytes to store: apiVersion, kind, metadata first, without metadata.resourceVersion.

    The tree is not modified. Raises KeyError when one of the three is missing.
    """
    metadata = tree["metadata"]
    if "resourceVersion" in metadata:
        metadata = {key: value for key, value in metadata.items() if key != "resourceVersion"}
    ordered: dict[str, Any] = {"apiVersion": tree["apiVersion"], "kind": tree["kind"], "metadata": metadata}
    for key, value in tree.items():
        if key not in ordered:
            ordered[key] = value
    return orjson.dumps(ordered)


def splice(value: bytes, revision: int) -> bytes:
    """Stored bytes with `"resourceVersion":"N"` as the first member of metadata. Raises ValueError on other bytes."""
    at = value.find(_MARK, 0, 512)
    if at < 0:
        raise ValueError(f"stored object does not begin with apiVersion, kind and metadata: {value[:80]!r}")
    at += len(_MARK)
    comma = b"" if value[at : at + 1] == b"}" else b","
    return b'%b"resourceVersion":"%d"%b%b' % (value[:at], revision, comma, value[at:])


def unsplice(body: bytes, revision: int) -> bytes:
    """The stored bytes of a spliced body."""
    at = body.index(_MARK) + len(_MARK)
    end = at + len(b'"resourceVersion":"%d"' % revision)
    return body[:at] + body[end + (body[end : end + 1] == b",") :]


class Entry:
    """One object at one revision; immutable to the outside, shared by everything that shows it.

    `body` is the JSON of the stored version, resourceVersion included. `created` is the revision that created it.
    `labels` and `fields` are decoded on first use: a cluster that nobody lists by selector decodes nothing.
    """

    __slots__ = ("_extract", "_fields", "_labels", "body", "key", "name", "namespace", "revision")

    def __init__(self, key: str, namespace: str, name: str, revision: int, body: bytes, extract: Fields | None) -> None:
        self.key = key
        self.namespace = namespace
        self.name = name
        self.revision = revision
        self.body = body
        self._extract = extract
        self._labels: Mapping[str, str] | None = None
        self._fields: Mapping[str, str] | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        labels = self._labels
        if labels is None:
            labels = self._labels = _labels_decoder.decode(self.body).metadata.labels or _EMPTY
        return labels

    @property
    def fields(self) -> Mapping[str, str]:
        """Values of the kind's selectable fields, metadata.name and metadata.namespace among them."""
        fields = self._fields
        if fields is None:
            found = {} if self._extract is None else dict(self._extract(self.tree()))
            found["metadata.name"] = self.name
            found["metadata.namespace"] = self.namespace
            fields = self._fields = found
        return fields

    def tree(self) -> dict[str, Any]:
        """A fresh tree that the caller owns."""
        return orjson.loads(self.body)

    def deleted_at(self, revision: int) -> Entry:
        """This last state with the revision of its deletion: what DELETED carries."""
        gone = Entry(self.key, self.namespace, self.name, revision, b"", self._extract)
        gone.body = splice(unsplice(self.body, self.revision), revision)
        gone._labels = self._labels
        gone._fields = self._fields
        return gone

    def __repr__(self) -> str:
        return f"Entry({self.key!r}, revision={self.revision})"
