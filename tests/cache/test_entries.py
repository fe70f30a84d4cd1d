"""Encoding once, splicing the revision, decoding only when asked."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.cache import entries
from minikube_api.cache.entries import Entry


def test_stored_bytes_begin_with_api_version_kind_metadata_and_hold_no_revision() -> None:
    tree = {"spec": {"a": 1}, "metadata": {"name": "x", "resourceVersion": "7"}, "kind": "K", "apiVersion": "v1"}
    assert entries.encode(tree) == b'{"apiVersion":"v1","kind":"K","metadata":{"name":"x"},"spec":{"a":1}}'
    assert tree["metadata"]["resourceVersion"] == "7"


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3), st.integers(1, 10**18))
def test_splicing_adds_exactly_the_resource_version(metadata: dict[str, str], revision: int) -> None:
    metadata.pop("resourceVersion", None)
    stored = entries.encode({"apiVersion": "v1", "kind": "K", "metadata": metadata, "data": {"metadata": {}}})
    spliced = entries.splice(stored, revision)
    assert orjson.loads(spliced)["metadata"] == {"resourceVersion": str(revision), **metadata}
    assert entries.unsplice(spliced, revision) == stored


def test_bytes_of_another_form_are_refused() -> None:
    with pytest.raises(ValueError, match="does not begin"):
        entries.splice(b'{"kind":"K"}', 3)


def entry(tree: dict, extract=None) -> Entry:
    return Entry("/r/k/n/x", "n", "x", 3, entries.splice(entries.encode(tree), 3), extract)


def test_labels_need_no_field_extraction() -> None:
    def extract(tree: dict) -> dict[str, str]:
        raise AssertionError("decoded")

    made = entry({"apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}}}, extract)
    assert made.labels == {"a": "b"}


def test_fields_include_name_and_namespace() -> None:
    made = entry({"apiVersion": "v1", "kind": "K", "metadata": {"name": "x"}, "s": "v"}, lambda tree: {"s": tree["s"]})
    assert made.fields == {"s": "v", "metadata.name": "x", "metadata.namespace": "n"}


def test_the_deleted_state_has_the_revision_of_the_deletion() -> None:
    made = entry({"apiVersion": "v1", "kind": "K", "metadata": {"name": "x", "labels": {"a": "b"}}})
    gone = made.deleted_at(12345)
    assert gone.tree()["metadata"] == {"resourceVersion": "12345", "name": "x", "labels": {"a": "b"}}
    assert made.tree()["metadata"]["resourceVersion"] == "3"
