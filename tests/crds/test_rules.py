"""x-kubernetes-validations: what a definition's rules are refused for, what they cost, and how they judge objects."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crds.conftest import DEFINITIONS, WIDGETS, Define, definition, widget
from tests.server.conftest import MERGE, Api

RULES = "x-kubernetes-validations"
AT = "spec.validation.openAPIV3Schema"
HINT = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
TOTAL = "contributed to estimated rule & messageExpression cost total exceeding cost limit for entire OpenAPIv3 schema"
WHOLE = "x-kubernetes-validations estimated rule & messageExpression cost total for entire OpenAPIv3 schema"


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def ruled(schema: dict[str, Any], *rules: Any) -> dict[str, Any]:
    return {**schema, RULES: [rule if isinstance(rule, dict) else {"rule": rule} for rule in rules]}


DEAR = f"Forbidden: estimated rule cost exceeds budget by factor of more than 100x {HINT}"
ALL_DEAR = f"Forbidden: {WHOLE} exceeds budget by factor of more than 100x {HINT}"
LOOSE = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
TYPES = 'supported values: "array", "boolean", "integer", "number", "object", "string"'
TEXT, WORDS = {"type": "string"}, {"type": "array", "items": {"type": "string"}}


async def refusals(api: Api, spec: dict[str, Any]) -> list[tuple[str, str]]:
    """(path below the schema, message) of what a definition with such a spec is refused for."""
    status, answer = await api("POST", f"{DEFINITIONS}?dryRun=All", definition(obj(spec=spec)))
    causes = answer["details"]["causes"] if status == 422 else []
    return [(c["field"].removeprefix(AT), c["message"]) for c in causes]


def rule_at(i: int, field: str = "rule") -> str:
    return f".properties[spec].{RULES}[{i}].{field}"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            ruled(obj(words=WORDS), "self.words.all(w, w.startsWith('a'))"), [], id="one loop over a list without bounds"
        ),
        pytest.param(
            ruled(obj(words=WORDS), "self.words.all(w, self.words.exists(v, v == w))"),
            [
                (rule_at(0), DEAR),
                (rule_at(0), f"Forbidden: {TOTAL}"),
                ("", ALL_DEAR),
            ],
            id="a loop in a loop over lists without bounds",
        ),
        pytest.param(
            ruled(
                obj(words={**WORDS, "maxItems": 1500, "items": {"type": "string", "maxLength": 10}}),
                "self.words.all(w, self.words.exists(v, v == w))",
            ),
            [(rule_at(0), f"Forbidden: estimated rule cost exceeds budget by factor of 1.6x {HINT}")],
            id="a factor is told with one digit",
        ),
        pytest.param(
            ruled(
                obj(words={**WORDS, "maxItems": 1000, "items": {"type": "string", "maxLength": 50}}),
                "self.words.all(w, self.words.exists(v, v == w))",
            ),
            [(rule_at(0), f"Forbidden: estimated rule cost exceeds budget by factor of 1.100600x {HINT}")],
            id="a factor near one with six",
        ),
        pytest.param(
            ruled(obj(a=TEXT, b=TEXT), {"rule": "true", "messageExpression": "self.a.replace('a', self.b) + 'x'"}),
            [
                (
                    rule_at(0, "messageExpression"),
                    f"Forbidden: estimated messageExpression cost exceeds budget by factor of more than 100x {HINT}",
                ),
                (rule_at(0, "messageExpression"), f"Forbidden: {TOTAL}"),
                ("", ALL_DEAR),
            ],
            id="a message may cost too much too",
        ),
        pytest.param(
            obj(list={"type": "array", "items": ruled(obj(a=TEXT), "self.a.size() > 1 || self.a.matches('abc')")}),
            [
                (f".properties[spec].properties[list].items.{RULES}[0].rule", DEAR),
                (f".properties[spec].properties[list].items.{RULES}[0].rule", f"Forbidden: {TOTAL}"),
                ("", ALL_DEAR),
            ],
            id="a rule in a list without bounds counts as often as items fit into a request",
        ),
        pytest.param(
            obj(list={"type": "array", "maxItems": 3, "items": ruled(obj(a=TEXT), "self.a == oldSelf.a")}),
            [
                (
                    f".properties[spec].properties[list].items.{RULES}[0].rule",
                    f'Invalid value: "self.a == oldSelf.a": {LOOSE} {AT}.properties[spec].properties[list]',
                )
            ],
            id="oldSelf below a list without keys",
        ),
        pytest.param(
            ruled(obj(a=TEXT), {"rule": "true", "optionalOldSelf": True}),
            [(rule_at(0, "optionalOldSelf"), "Invalid value: true: may not be set if oldSelf is not used in rule")],
            id="optionalOldSelf without oldSelf",
        ),
        pytest.param(
            ruled(
                obj(a=TEXT),
                {"rule": "true", "fieldPath": ".b"},
                {"rule": "true", "fieldPath": "a"},
                {"rule": "true", "fieldPath": ".a"},
            ),
            [
                (rule_at(0, "fieldPath"), 'Invalid value: ".b": fieldPath must be a valid path'),
                (rule_at(1, "fieldPath"), 'Invalid value: "a": fieldPath must be a valid path'),
            ],
            id="a fieldPath must lead to a field",
        ),
        pytest.param(
            ruled(obj(a={"type": "strange"}), "self.b == 1"),
            [(".properties[spec].properties[a].type", f'Unsupported value: "strange": {TYPES}')],
            id="rules over a schema that is wrong are not compiled",
        ),
    ],
)
async def test_a_definition_is_refused_for_its_rules(api: Api, spec: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    found = await refusals(api, spec)
    assert [(path, message) for path, message in found if "cannot be represented" not in message] == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        pytest.param(
            {"type": "integer", "default": "x"},
            ("", 'Invalid value: "string":  in body must be of type integer: "string"'),
            id="type",
        ),
        pytest.param(
            {**obj(c=TEXT), "default": {"d": 1}},
            ("", 'Invalid value: {"d":1}: must not have unknown fields'),
            id="unknown fields",
        ),
        pytest.param(
            {**obj(c=TEXT), "default": {"c": 1}},
            (".c", 'Invalid value: "integer": c in body must be of type string: "integer"'),
            id="inside",
        ),
        pytest.param(
            {**WORDS, "default": [1]},
            (".[0]", 'Invalid value: "integer": [0] in body must be of type string: "integer"'),
            id="an item",
        ),
        pytest.param(
            ruled({**TEXT, "default": "bad"}, {"rule": "self == 'good'", "message": "be good"}),
            ("", 'Invalid value: "bad": be good'),
            id="rules",
        ),
    ],
)
async def test_a_default_must_be_valid_by_its_own_schema(api: Api, part: dict[str, Any], expected: tuple[str, str]) -> None:
    place = f".properties[spec].properties[a].default{expected[0]}"
    assert await refusals(api, obj(a=part)) == [(place, expected[1])]


async def judged(api: Api, spec: Any) -> str:
    status, answer = await api("POST", f"{WIDGETS}?dryRun=All", widget("w", spec=spec))
    return "" if status == 201 else answer["message"].partition("is invalid: ")[2]


LONG = {"type": "string", "maxLength": 20000}
#: costs a hundredth of the square of the text's length
SQUARE = "!self.contains(self + 'x')"


async def test_an_expression_that_costs_too_much_ends_validation(api: Api, define: Define) -> None:
    rules = ({"rule": "!self.a.contains(self.a + 'x')", "message": "dear"}, {"rule": "false", "message": "never run"})
    await define(obj(spec=ruled(obj(a=LONG), *rules)))
    assert await judged(api, {"a": "a" * 12000}) == (
        "spec: Invalid value: 'operation cancelled: actual cost limit exceeded': no further validation rules will be run "
        "due to call cost exceeds limit for rule: dear"
    )


async def test_all_rules_of_an_object_share_a_budget(api: Api, define: Define) -> None:
    fields = {f"f{i:02}": ruled(LONG, SQUARE) for i in range(14)}
    await define(obj(spec=obj(**fields)))
    found = await judged(api, dict.fromkeys(fields, "a" * 9000))
    assert found.endswith("validation failed due to running out of cost budget, no further validation rules will be run")
    assert await judged(api, dict.fromkeys(list(fields)[:11], "a" * 9000)) == ""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        pytest.param(
            {"messageExpression": "'made: ' + self.a", "message": "plain"},
            "spec: Invalid value: made: x",
            id="an expression first",
        ),
        pytest.param(
            {"messageExpression": "'  '", "message": "plain"}, "spec: Invalid value: plain", id="blank text counts for nothing"
        ),
        pytest.param({"messageExpression": r"'a\nb'", "message": "plain"}, "spec: Invalid value: plain", id="nor do lines"),
        pytest.param({"messageExpression": r"' a\n'"}, "spec: Invalid value: a", id="blanks around are taken off"),
        pytest.param(
            {"messageExpression": "self.a.substring(5)"}, "spec: Invalid value: failed rule: self.a == 'y'", id="errors fall back"
        ),
        pytest.param({"message": " said "}, "spec: Invalid value: said", id="a message is trimmed"),
        pytest.param(
            {"fieldPath": ".a", "reason": "FieldValueRequired", "message": "m"},
            "spec.a: Required value: m",
            id="reason and place",
        ),
        pytest.param({"fieldPath": ".by['k.l']", "message": "m"}, "spec.by[k.l]: Invalid value: m", id="a key of a map"),
        pytest.param({"fieldPath": "['a']", "message": "m"}, "spec.a: Invalid value: m", id="a field in brackets"),
        pytest.param({"reason": "FieldValueDuplicate", "message": "m"}, "spec: Duplicate value", id="duplicates have no words"),
    ],
)
async def test_a_failed_rule_says_why_and_where(api: Api, define: Define, rule: dict[str, Any], expected: str) -> None:
    by = {"type": "object", "additionalProperties": TEXT}
    await define(obj(spec=ruled(obj(a={**TEXT, "maxLength": 5}, by=by), {"rule": "self.a == 'y'", **rule})))
    assert await judged(api, {"a": "x"}) == expected


async def test_rules_leave_null_alone(api: Api, define: Define) -> None:
    await define(obj(spec=obj(a={**ruled(obj(b=TEXT), "has(self.b)"), "nullable": True})))
    assert await judged(api, {"a": None}) == ""
    assert await judged(api, {"a": {}}) != ""


async def test_what_was_wrong_before_is_only_warned_of(api: Api, define: Define) -> None:
    await define(obj(spec=obj(a=TEXT, b=TEXT)))
    await api.ok("POST", WIDGETS, widget("w", spec={"a": "loud", "b": "x"}))
    stricter = definition(obj(spec=obj(a=ruled(TEXT, {"rule": "self != 'loud'", "message": "not loud"}), b=TEXT)))
    await api.patch(f"{DEFINITIONS}/widgets.example.com", {"spec": stricter["spec"]})
    await api.patch(f"{WIDGETS}/w", {"spec": {"b": "y"}})
    assert api.headers["warning"] == r'299 - "spec.a: Invalid value: \"loud\": not loud"'
    status, answer = await api("PATCH", f"{WIDGETS}/w", {"spec": {"a": "LOUD", "b": "loud"}}, kind=MERGE)
    assert status == 200
