"""Field errors are worded as apimachinery's."""

import pytest

from minikube_api.meta import field_errors
from minikube_api.meta.errors import FieldError


@pytest.mark.parametrize(
    ("error", "reason", "text"),
    [
        pytest.param(field_errors.required("spec.a"), "FieldValueRequired", "spec.a: Required value", id="required"),
        pytest.param(
            field_errors.required("a", "must be set"), "FieldValueRequired", "a: Required value: must be set", id="detail"
        ),
        pytest.param(
            field_errors.invalid("a", 70000, "must be between 1 and 65535, inclusive"),
            "FieldValueInvalid",
            "a: Invalid value: 70000: must be between 1 and 65535, inclusive",
            id="number",
        ),
        pytest.param(
            field_errors.invalid("a", 'x"y\n', "no"), "FieldValueInvalid", 'a: Invalid value: "x\\"y\\n": no', id="quoted"
        ),
        pytest.param(field_errors.invalid("a", None, "no"), "FieldValueInvalid", "a: Invalid value: null: no", id="null"),
        pytest.param(field_errors.invalid("a", True, "no"), "FieldValueInvalid", "a: Invalid value: true: no", id="bool"),
        pytest.param(
            field_errors.invalid("a", {"k": "<&>"}, "no"),
            "FieldValueInvalid",
            'a: Invalid value: {"k":"\\u003c\\u0026\\u003e"}: no',
            id="html-escapes",
        ),
        pytest.param(
            field_errors.not_supported("a", "X", ["SCTP", "TCP"]),
            "FieldValueNotSupported",
            'a: Unsupported value: "X": supported values: "SCTP", "TCP"',
            id="not-supported",
        ),
        pytest.param(field_errors.forbidden("a", "no"), "FieldValueForbidden", "a: Forbidden: no", id="forbidden"),
        pytest.param(field_errors.duplicate("a", "x"), "FieldValueDuplicate", 'a: Duplicate value: "x"', id="duplicate"),
        pytest.param(field_errors.not_found("a", "x"), "FieldValueNotFound", 'a: Not found: "x"', id="not-found"),
        pytest.param(
            field_errors.too_long("a", "xxxx", 3), "FieldValueTooLong", "a: Too long: may not be more than 3 bytes", id="long"
        ),
        pytest.param(
            field_errors.too_many("a", 2, 1), "FieldValueTooMany", "a: Too many: 2: must have at most 1 item", id="many"
        ),
        pytest.param(
            field_errors.too_many("a", 3, 2), "FieldValueTooMany", "a: Too many: 3: must have at most 2 items", id="plural"
        ),
        pytest.param(
            field_errors.type_invalid("a", 1, "must be a string"),
            "FieldValueTypeInvalid",
            "a: Invalid value: 1: must be a string",
            id="type",
        ),
        pytest.param(field_errors.internal("a", "oh"), "InternalError", "a: Internal error: oh", id="internal"),
    ],
)
def test_constructors_word_as_apimachinery(error: FieldError, reason: str, text: str) -> None:
    assert (error.reason, str(error)) == (reason, text)


def test_paths_join_children_indices_and_keys() -> None:
    path = field_errors.key(field_errors.index(field_errors.child("", "spec", "ports"), 2), "a/b")
    assert path == "spec.ports[2][a/b]"
