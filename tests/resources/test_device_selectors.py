"""Selectors of devices are CEL over `device` and must give a boolean."""

from __future__ import annotations

import pytest

from minikube_api.resources.device_selectors import expression_problems


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        pytest.param("device.driver == 'a' && device.attributes['d'].model == 'x'", [], id="attributes"),
        pytest.param("device.capacity['d'].memory.isGreaterThan(quantity('1Gi'))", [], id="capacity"),
        pytest.param("device.attributes['d'].unknown", [], id="unknown-type"),
        pytest.param("", ["Required value"], id="empty"),
        pytest.param(
            "device.",
            [
                "Invalid value: \"device.\": compilation failed: ERROR: <input>:1:8: Syntax error: no viable alternative at input '.'\n"
                " | device.\n | .......^"
            ],
            id="syntax",
        ),
        pytest.param(
            "device.size",
            [
                "Invalid value: \"device.size\": compilation failed: ERROR: <input>:1:7: undefined field 'size'\n | device.size\n | ......^"
            ],
            id="field",
        ),
        pytest.param("1", ['Invalid value: "1": must evaluate to bool or the unknown type, not int'], id="number"),
    ],
)
def test_expressions_are_compiled(expression: str, expected: list[str]):
    assert [error.message for error in expression_problems(expression, "cel.expression")] == expected
