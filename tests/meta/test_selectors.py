"""Label and field selectors: grammar, error texts, matching."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minikube_api.meta import selectors
from minikube_api.meta.errors import BadRequest

LABELS = {"app": "web", "tier": "front", "n": "5", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True), ("app=web", True), ("app==web", True), ("app=db", False), ("app!=db", True), ("none!=x", True),
        ("app in (web,db)", True), ("app notin (web)", False), ("none notin (web)", True), ("app", True), ("!app", False),
        ("!none", True), ("n>4", True), ("n<5", False), ("app>1", False), ("none>1", False), ("empty=", True), ("none=", False),
        ("app=web,tier=front", True), ("app=web,tier=back", False), ("in in (a)", False), ("app in (,web)", True),
        (" app = web , ! none ", True),
    ],
)  # fmt: skip
def test_label_selector_matches(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a=b,", "found '', expected: identifier after ','", id="trailing-comma"),
        pytest.param(",a", "found ',', expected: !, identifier, or 'end of string'", id="leading-comma"),
        pytest.param("!", "unable to parse requirement: found '', expected: identifier", id="lone-bang"),
        pytest.param("a=b c", "found 'c', expected: ',' or 'end of string'", id="two-words"),
        pytest.param("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt", id="operator"),
        pytest.param("a in x", "unable to parse requirement: found 'x' expected: '('", id="no-parenthesis"),
        pytest.param("a in (x", "unable to parse requirement: found '', expected: ',' or ')'", id="not-closed"),
        pytest.param(
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            id="no-integer",
        ),
        pytest.param(
            "a=-b-",
            'unable to parse requirement: values[0][a]: Invalid value: "-b-": a valid label must be an empty string or consist of '
            "alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
            "'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            id="bad-value",
        ),
        pytest.param(
            "-a=b",
            "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric characters, '-', '_' "
            "or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used "
            "for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            id="bad-key",
        ),
    ],
)
def test_label_selector_errors(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        selectors.parse_labels(text)
    assert caught.value.message == message


def test_label_selector_prints_sorted_by_key() -> None:
    text = str(selectors.parse_labels("b notin (y,x),a==1,!c,d,e>3"))
    assert text == "a==1,b notin (x,y),!c,d,e>3"


WORD = st.from_regex(r"[a-z]{1,4}", fullmatch=True)
REQUIREMENT = st.one_of(
    st.builds("{}={}".format, WORD, WORD),
    st.builds("{}!={}".format, WORD, WORD),
    st.builds("{} in ({},{})".format, WORD, WORD, WORD),
    st.builds("!{}".format, WORD),
    WORD,
)


@given(st.lists(REQUIREMENT, max_size=4), st.dictionaries(WORD, WORD, max_size=4))
def test_printed_selector_parses_to_the_same(requirements: list[str], labels: dict[str, str]) -> None:
    selector = selectors.parse_labels(",".join(requirements))
    again = selectors.parse_labels(str(selector))
    assert again == selector
    assert again.matches(labels) == all(selectors.parse_labels(r).matches(labels) for r in requirements)


@pytest.mark.parametrize(
    ("tree", "matches"),
    [
        pytest.param(None, False, id="absent-matches-nothing"),
        pytest.param({}, True, id="empty-matches-everything"),
        pytest.param({"matchLabels": {"app": "web"}}, True, id="labels"),
        pytest.param({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}, True, id="in"),
        pytest.param({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False, id="not-exists"),
    ],
)
def test_label_selector_object(tree: dict | None, matches: bool) -> None:
    assert selectors.from_label_selector(tree).matches(LABELS) is matches


def test_unknown_operator_of_a_label_selector_object() -> None:
    with pytest.raises(BadRequest, match='"Foo" is not a valid label selector operator'):
        selectors.from_label_selector({"matchExpressions": [{"key": "a", "operator": "Foo"}]})


def test_field_selector_splits_on_plain_commas_only() -> None:
    selector = selectors.parse_fields("metadata.name!=b,spec.nodeName=a\\,b\\=c")
    assert [(r.field, r.operator, r.value) for r in selector.requirements] == [
        ("metadata.name", "!=", "b"),
        ("spec.nodeName", "=", "a,b=c"),
    ]
    assert selector.exact("spec.nodeName") == "a,b=c"
    assert selector.matches({"metadata.name": "x", "spec.nodeName": "a,b=c"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
        ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_field_selector_errors(text: str, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        selectors.parse_fields(text)
    assert caught.value.message == message


@given(st.text(alphabet="ab,=\\!", min_size=1, max_size=8))
def test_escaped_value_of_a_field_selector_comes_back(value: str) -> None:
    selector = selectors.parse_fields("f=" + selectors.escape(value))
    assert selector.exact("f") == value


def test_an_empty_set_is_a_set_of_the_empty_value():
    selector = selectors.parse_labels("a in ()")
    assert selector.matches({"a": ""})
    assert not selector.matches({"a": "b"})
