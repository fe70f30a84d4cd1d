"""YAML bodies read as sigs.k8s.io/yaml reads them."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minikube_api.meta.errors import BadRequest
from minikube_api.schema import builtin, decoding, yaml_bodies


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True), ("y", True), ("N", False), ("off", False), ("True", True), ("~", None), ("", None), ("Null", None),
        ("12", 12), ("-7", -7), ("0x1F", 31), ("0b101", 5), ("010", 8), ("0o17", 15), ("1_000", 1000), ("1e3", 1000.0),
        (".5", 0.5), ("1.", 1.0), ("1:30", "1:30"), ("2026-01-02", "2026-01-02"), ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("'12'", "12"), ('"yes"', "yes"), ("!!str 12", "12"), ("08", 8.0), ("a b", "a b"), ("1.2.3", "1.2.3"), ("0", 0),
    ],
)  # fmt: skip
def test_scalars_resolve_as_in_go_yaml(text, value):
    tree, _ = yaml_bodies.load(f"k: {text}\n".encode())
    assert tree == {"k": value}
    assert type(tree["k"]) is type(value)


@pytest.mark.parametrize(("key", "name"), [("5", "5"), ("on", "true"), ("n", "false"), ("'n'", "n")])
def test_keys_become_strings(key, name):
    assert yaml_bodies.load(f"{{{key}: v}}".encode())[0] == {name: "v"}


def test_anchors_and_merge_keys_work_and_own_keys_win():
    tree, duplicates = yaml_bodies.load(b"base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  b: 3\n")
    assert tree["use"] == {"a": 1, "b": 3}
    assert duplicates == []


def test_duplicate_keys_are_told_with_their_line():
    tree, duplicates = yaml_bodies.load(b"a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert tree == {"a": 3, "b": {"c": 2}}
    assert duplicates == ['line 4: key "c" already set in map', 'line 5: key "a" already set in map']


def test_only_the_first_document_counts():
    assert yaml_bodies.load(b"a: 1\n---\nb: 2\n")[0] == {"a": 1}


def test_keys_are_sorted_as_in_the_json_that_go_makes_of_it():
    assert list(yaml_bodies.load(b"b: 1\na: 1\nc: 1")[0]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a: b: c", "yaml: mapping values are not allowed in this context", id="first line has no number"),
        pytest.param("a: 1\nb: c: d", "yaml: line 2: mapping values are not allowed in this context", id="scanner"),
        pytest.param("a: &x {b: *x}", "yaml: anchor", id="recursion"),
    ],
)
def test_broken_yaml_is_told_in_libyamls_words(text, message):
    with pytest.raises(yaml_bodies.YamlProblem) as caught:
        yaml_bodies.load(text.encode())
    assert str(caught.value).startswith(message)


def refusal(body: bytes, **options) -> str:
    schema = builtin.load("", "v1", "ConfigMap")
    with pytest.raises(BadRequest) as caught:
        decoding.decode(body, schema, kind="ConfigMap", api_version="v1", media_type="application/yaml", **options)
    return caught.value.message


def test_a_yaml_boolean_is_no_string():
    assert refusal(b"data: {on: yes}").endswith("cannot unmarshal bool into Go struct field ConfigMap.data of type string")


def test_strict_tells_duplicates_first_then_unknown_fields():
    assert refusal(b"metadata: {name: a}\ndta: {}\ndata: {k: v, k: w}\n", validation="Strict") == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'yaml: unmarshal errors:\n  line 3: key "k" already set in map, unknown field "dta"'
    )


def test_broken_yaml_is_unrecognized():
    assert refusal(b"a: b: c") == (
        "the object provided is unrecognized (must be of type ConfigMap): "
        "yaml: mapping values are not allowed in this context (613a20623a2063)"
    )


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"{a: " * 100_000, b"- " * 100_000, b"? " * 100_000, b"".join(b" " * i + b"a:\n" for i in range(2000))],
    ids=["flow sequences", "flow mappings", "block sequences", "block keys", "block mappings"],
)
def test_deep_documents_are_refused_before_they_are_composed(body: bytes) -> None:
    with pytest.raises(yaml_bodies.YamlProblem, match=r"max depth|unknown problem|did not find|mapping"):
        yaml_bodies.load(body)


def test_a_document_of_many_brackets_in_text_is_read() -> None:
    assert yaml_bodies.load(b'a: "' + b"[{" * 5000 + b'"\nb: [' + b"[],{}," * 500 + b"]")[0]["b"][:2] == [[], {}]


def test_a_billion_laughs_are_excessive_aliasing() -> None:
    lines = [b"a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [b"%c: &%c [%s]" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)]
    with pytest.raises(yaml_bodies.YamlProblem, match="excessive aliasing"):
        yaml_bodies.load(b"\n".join(lines))


def test_a_few_aliases_are_read() -> None:
    assert yaml_bodies.load(b"a: &a {k: [1, 2]}\nb: *a\nc: [*a, *a]")[0]["c"] == [{"k": [1, 2]}] * 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=6), JSON, max_size=4), st.sampled_from((None, 1)))
def test_json_is_read_as_the_yaml_that_it_is(tree, indent):
    body = json.dumps(tree, indent=indent, ensure_ascii=False).encode()
    # a line feed before the brace keeps the shorter way from being taken
    try:
        expected = yaml_bodies.load(b"\n" + body)
    except yaml_bodies.YamlProblem:
        assume(False)
    assert yaml_bodies.load(body) == expected
    assert orjson.dumps(yaml_bodies.load(body)[0]) == orjson.dumps(expected[0])


@pytest.mark.parametrize(
    "body",
    [b'{"a": 1, "a": 2}', b'{"a": {"b": 1, "b": 1}}', b'{"a" : 1, "a" : 2}'],
)
def test_json_with_a_key_twice_is_told_as_yaml_tells_it(body):
    duplicates = yaml_bodies.load(body)[1]
    assert len(duplicates) == 1
    assert "already set in map" in duplicates[0]


@pytest.mark.parametrize("body", [b'{"a":\t1,\n\t"b": 2}', b'{"a": "\\ud83d\\ude00"}'])
def test_json_that_is_no_good_yaml_is_read_by_the_yaml_parser(body):
    def outcome(text):
        try:
            return yaml_bodies.load(text)
        except yaml_bodies.YamlProblem as problem:
            return str(problem).replace("line 2", "line 1").replace("line 3", "line 2")

    assert outcome(body) == outcome(b" " + body)


def test_json_nested_too_deeply_is_refused_as_yaml_is():
    with pytest.raises(yaml_bodies.YamlProblem, match="exceeded max depth"):
        yaml_bodies.load(b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}")
    assert yaml_bodies.load(b'{"a": [' + b"{},".join([b""] * 300) + b"{}]}")[0]["a"] == [{}] * 300
