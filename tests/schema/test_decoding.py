"""Bodies are taken, cleaned and refused as Go's decoders in kube-apiserver do it."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.meta.errors import BadRequest
from minikube_api.schema import builtin, decoding, syntax

POD, SECRET, CONFIG_MAP = ("v1", "Pod"), ("v1", "Secret"), ("v1", "ConfigMap")
DEPLOYMENT = ("apps/v1", "Deployment")


def decode(body, of=CONFIG_MAP, **options):
    api_version, kind = of
    group, _, version = api_version.rpartition("/")
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return decoding.decode(raw, builtin.load(group, version, kind), kind=kind, api_version=api_version, **options)


def refusal(body, of=CONFIG_MAP, **options) -> str:
    with pytest.raises(BadRequest) as caught:
        decode(body, of, **options)
    return caught.value.message


@pytest.mark.parametrize(
    ("body", "of", "given", "place", "wanted"),
    [
        pytest.param({"metadata": {"name": 5}}, CONFIG_MAP, "number", "ObjectMeta.metadata.name", "string", id="number for string"),
        pytest.param({"data": {"k": 5}}, CONFIG_MAP, "number", "ConfigMap.data", "string", id="map value"),
        pytest.param({"data": ["x"]}, CONFIG_MAP, "array", "ConfigMap.data", "map[string]string", id="array for map"),
        pytest.param({"spec": {"replicas": "2"}}, DEPLOYMENT, "string", "DeploymentSpec.spec.replicas", "int32", id="string for int"),
        pytest.param({"spec": {"replicas": 1.5}}, DEPLOYMENT, "number 1.5", "DeploymentSpec.spec.replicas", "int32", id="fraction"),
        pytest.param({"spec": {"replicas": 3000000000}}, DEPLOYMENT, "number 3000000000", "DeploymentSpec.spec.replicas", "int32", id="too large"),
        pytest.param({"spec": {"replicas": True}}, DEPLOYMENT, "bool", "DeploymentSpec.spec.replicas", "int32", id="bool for int"),
        pytest.param({"spec": {"containers": "x"}}, POD, "string", "PodSpec.spec.containers", "[]v1.Container", id="string for list"),
        pytest.param({"spec": {"containers": [{"image": {}}]}}, POD, "object", "Container.spec.containers.image", "string", id="inside a list"),
        pytest.param({"spec": []}, POD, "array", "Pod.spec", "v1.PodSpec", id="array for struct"),
        pytest.param({"spec": {"restartPolicy": 1}}, POD, "number", "PodSpec.spec.restartPolicy", "v1.RestartPolicy", id="named type"),
        pytest.param({"metadata": {"deletionTimestamp": 5}}, POD, "number", "ObjectMeta.metadata.deletionTimestamp", "string", id="number for time"),
        pytest.param({"spec": {"hostNetwork": "yes"}}, POD, "string", "PodSpec.spec.hostNetwork", "bool", id="string for bool"),
    ],
)  # fmt: skip
def test_a_wrong_type_is_refused_in_gos_words(body, of, given, place, wanted):
    kind = of[1]
    assert refusal(body, of) == (
        f'{kind} in version "v1" cannot be handled as a {kind}: '
        f"json: cannot unmarshal {given} into Go struct field {place} of type {wanted}"
    )


@pytest.mark.parametrize(
    ("body", "of", "why"),
    [
        pytest.param({"data": {"k": "not base64!"}}, SECRET, "illegal base64 data at input byte 3", id="base64"),
        pytest.param({"data": {"k": "abc"}}, SECRET, "illegal base64 data at input byte 0", id="base64 cut"),
        pytest.param({"data": {"k": "YWJj="}}, SECRET, "illegal base64 data at input byte 4", id="base64 padding"),
        pytest.param({"data": {"k": "YQ==x"}}, SECRET, "illegal base64 data at input byte 4", id="base64 tail"),
        pytest.param(
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "much"}}}]}},
            POD,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            id="quantity",
        ),
        pytest.param(
            {"spec": {"overhead": {"cpu": "1X"}}},
            POD,
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
            id="quantity suffix",
        ),
    ],
)
def test_a_value_that_does_not_parse_is_refused(body, of, why):
    assert refusal(body, of) == f'{of[1]} in version "v1" cannot be handled as a {of[1]}: {why}'


@pytest.mark.parametrize(
    ("body", "why", "shown"),
    [
        pytest.param("{", "unexpected end of JSON input", "{", id="cut"),
        pytest.param("", "unexpected end of JSON input", "<empty>", id="empty"),
        pytest.param("hello", "invalid character 'h' looking for beginning of value", "68656c6c6f", id="no JSON"),
        pytest.param('{"a":1} trailing', "invalid character 't' after top-level value", '{"a":1} trailing', id="tail"),
        pytest.param('{"a":1,}', "invalid character '}' looking for beginning of object key string", '{"a":1,}', id="comma"),
        pytest.param('{"a" 1}', "invalid character '1' after object key", '{"a" 1}', id="colon"),
        pytest.param('{"a":1 "b"}', "invalid character '\"' after object key:value pair", '{"a":1 "b"}', id="pair"),
        pytest.param("[1 2]", "invalid character '2' after array element", "5b3120325d", id="array"),
        pytest.param('{"a":tru}', "invalid character '}' in literal true (expecting 'e')", '{"a":tru}', id="literal"),
        pytest.param('{"a":"\\x"}', "invalid character 'x' in string escape code", '{"a":"\\x"}', id="escape"),
        pytest.param('{"a":1.x}', "invalid character 'x' after decimal point in numeric literal", '{"a":1.x}', id="number"),
        pytest.param(
            '{"kind": 5}', "json: cannot unmarshal number into Go struct field .kind of type string", '{"kind": 5}', id="kind"
        ),
        pytest.param(
            "[]",
            "json: cannot unmarshal array into Go value of type "
            'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }',
            "5b5d",
            id="no object",
        ),
    ],
)
def test_a_body_that_is_no_object_is_unrecognized(body, why, shown):
    assert refusal(body) == (
        "the object provided is unrecognized (must be of type ConfigMap): "
        f"couldn't get version/kind; json parse error: {why} ({shown})"
    )


def test_a_long_body_is_shown_by_its_first_30_bytes():
    assert refusal('{"metadata": {"name": "a"}} trailing').endswith('({"metadata": {"name": "a"}} tr ...)')


@pytest.mark.parametrize("body", [b"null", b"{}"])
def test_an_empty_object_gets_its_kind_from_the_url(body):
    assert decode(body) == ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}, [])


UNKNOWN_AND_DUPLICATE = '{"metadata":{"name":"a","lables":{}},"data":{"k":"v","k":"w"},"dta":{}}'
FOUND = ['unknown field "metadata.lables"', 'duplicate field "data.k"', 'unknown field "dta"']


def test_strict_names_every_finding_in_document_order():
    assert refusal(UNKNOWN_AND_DUPLICATE, validation="Strict") == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: ' + ", ".join(FOUND)
    )


@pytest.mark.parametrize(("validation", "warnings"), [("Warn", FOUND), ("Ignore", [])])
def test_warn_and_ignore_drop_what_is_unknown_and_take_the_last_duplicate(validation, warnings):
    tree, found = decode(UNKNOWN_AND_DUPLICATE, validation=validation)
    assert found == warnings
    assert (tree["metadata"], tree["data"]) == ({"name": "a"}, {"k": "w"})
    assert "dta" not in tree


@pytest.mark.parametrize("validation", ["Warn", "Ignore"])
def test_a_repeated_object_adds_to_the_one_before(validation):
    body = '{"metadata":{"name":"a"},"data":{"k":"v","l":"v"},"data":{"l":"w"},"metadata":{"labels":{"x":"y"}}}'
    tree, found = decode(body, validation=validation)
    assert tree["metadata"] == {"name": "a", "labels": {"x": "y"}}
    assert tree["data"] == {"k": "v", "l": "w"}
    assert found == (['duplicate field "data"', 'duplicate field "metadata"'] if validation == "Warn" else [])


def test_findings_inside_lists_have_an_index():
    body = {"spec": {"containers": [{"name": "a"}, {"name": "b", "foo": {"bar": 1}}]}}
    assert decode(body, POD)[1] == ['unknown field "spec.containers[1].foo"']


def test_field_names_are_case_sensitive():
    assert decode({"Data": {"k": "v"}})[1] == ['unknown field "Data"']


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param({"hostNetwork": False}, {}, id="false"),
        pytest.param({"nodeName": "", "tolerations": [], "nodeSelector": {}}, {}, id="empty"),
        pytest.param({"enableServiceLinks": False}, {"enableServiceLinks": False}, id="pointer to false"),
        pytest.param({"securityContext": {}}, {"securityContext": {}}, id="pointer to an empty struct"),
        pytest.param({"priority": None, "volumes": None}, {}, id="nulls"),
        pytest.param({"overhead": {"cpu": 1, "memory": "1024Mi"}}, {"overhead": {"cpu": "1", "memory": "1Gi"}}, id="quantities"),
    ],
)  # fmt: skip
def test_fields_come_out_as_go_writes_them(given, kept):
    tree, warnings = decode({"spec": {"containers": [{"name": "c"}], **given}}, POD)
    assert tree["spec"] == {"containers": [{"name": "c", "resources": {}}], **kept}
    assert tree["status"] == {}
    assert warnings == []


def test_an_empty_list_that_is_always_written_and_an_empty_selector_stay():
    assert decode({"spec": {"drivers": []}}, ("storage.k8s.io/v1", "CSINode"))[0]["spec"] == {"drivers": []}
    assert decode({"spec": {"selector": {}}}, DEPLOYMENT)[0]["spec"]["selector"] == {}


def test_fields_that_go_always_writes_are_filled_in():
    tree, _ = decode({"spec": {"replicas": 0}}, DEPLOYMENT)
    assert tree["spec"] == {
        "replicas": 0,
        "selector": None,
        "strategy": {},
        "template": {"metadata": {}, "spec": {"containers": None}},
    }
    again, _ = decode({}, DEPLOYMENT)
    tree["spec"]["template"]["spec"]["containers"] = []
    assert again["spec"]["template"]["spec"] == {"containers": None}


def test_null_elements_become_zero_values():
    tree, _ = decode({"spec": {"containers": [None]}}, POD)
    assert tree["spec"]["containers"] == [{"name": "", "resources": {}}]
    assert decode({"data": {"k": None}})[0]["data"] == {"k": ""}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.123Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
    ],
)
def test_times_come_out_in_utc_and_whole_seconds(given, kept):
    assert decode({"metadata": {"deletionTimestamp": given}})[0]["metadata"]["deletionTimestamp"] == kept


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-02T03:04:05Z", "2026-02-30T03:04:05Z"])
def test_a_time_that_is_none_is_refused(text):
    assert f'parsing time "{text}"' in refusal({"metadata": {"deletionTimestamp": text}})


def test_base64_is_written_anew_without_line_breaks():
    assert decode({"data": {"k": "YW\nJj"}}, SECRET)[0]["data"] == {"k": "YWJj"}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            {"apiVersion": "v2"},
            'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2" '
            'in scheme "pkg/api/legacyscheme/scheme.go:30"',
            id="no such version",
        ),
        pytest.param(
            {"kind": "Secret"},
            'Secret in version "v1" cannot be handled as a ConfigMap: '
            "converting (v1.Secret) to (core.ConfigMap): unknown conversion",
            id="another kind",
        ),
    ],
)
def test_a_body_of_another_kind_is_refused(body, message):
    assert refusal(body) == message


def test_another_version_of_the_same_kind_is_refused():
    message = refusal({"apiVersion": "autoscaling/v1"}, ("autoscaling/v2", "HorizontalPodAutoscaler"))
    assert message == ("the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)")


def test_text_that_is_no_utf8_is_taken_with_replacement_characters():
    assert decode(b'{"data":{"k":"\xff"}}')[0]["data"] == {"k": "\ufffd"}


def test_lone_surrogates_become_replacement_characters_also_beside_duplicates():
    tree, _ = decode(b'{"data":{"k":"\\ud800"},"immutable":true,"immutable":false}')
    assert tree["data"] == {"k": "\ufffd"}


@pytest.mark.parametrize("depth", [900, 2000, 100_000])
def test_deep_nesting_is_refused_not_a_crash(depth):
    body = '{"data":' + "[" * depth + "]" * depth + ',"data" :1}'
    assert "cannot be handled as" in (message := refusal(body)) or "exceeded max depth" in message


def test_checking_twice_changes_nothing_more():
    tree, _ = decode({"spec": {"template": {"spec": {"containers": [{"name": "a", "ports": [{}]}]}}}}, DEPLOYMENT)
    once = copy.deepcopy(tree)
    assert decoding.check(tree, builtin.load("apps", "v1", "Deployment"), kind="Deployment") == []
    assert tree == once


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='ab":\\ {}', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='ab":\\ ', max_size=3), inner, max_size=3),
    max_leaves=12,
)
spaced = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), ("\n,", "\n:")])


@given(json_values, spaced, st.booleans())
def test_a_body_without_repeated_keys_gives_no_duplicates_and_one_with_is_always_suspected(value, separators, ascii_only):
    text = json.dumps({"data": value}, separators=separators, ensure_ascii=ascii_only)
    assert syntax.pairs(text.encode()) == [("data", _as_pairs(value))]
    repeated = text[:-1] + f'{separators[0]}"data"{separators[1]}1}}'
    assert syntax.may_repeat_keys(repeated.encode(), json.loads(repeated))


def _as_pairs(value):
    if isinstance(value, dict):
        return [(key, _as_pairs(part)) for key, part in value.items()]
    return [_as_pairs(part) for part in value] if isinstance(value, list) else value


@given(json_values)
def test_the_syntax_scanner_accepts_what_json_accepts(value):
    assert syntax.problem(json.dumps(value).encode()) == ""
