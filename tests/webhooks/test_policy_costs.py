"""What the expressions of a ValidatingAdmissionPolicy may cost: each by itself, and all together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from webhook_world import ADMISSION, MAPS, Api, config_map

#: costs a hundredth of the square of the text's length
DEAR = "!object.data.k.contains(object.data.k + 'x')"
SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"


async def govern(api: Api, *expressions: str, **spec: Any) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    validations = [{"expression": expression} for expression in expressions]
    body = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations, **spec}
    await api.ok("POST", f"{ADMISSION}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": body})
    binding = {"policyName": "p", "validationActions": ["Deny"]}
    await api.ok("POST", f"{ADMISSION}/validatingadmissionpolicybindings", {"metadata": {"name": "b"}, "spec": binding})


async def refusal(api: Api, size: int) -> str:
    """Why a ConfigMap with a text of so many characters is denied, once the policy is in force."""
    async with asyncio.timeout(5):
        while (found := await api("POST", f"{MAPS}?dryRun=All", config_map("m", {"k": "v" * size})))[0] == 201:
            await asyncio.sleep(0)
    message: str = found[1]["message"]
    return message.partition("denied request: ")[2]


@pytest.mark.parametrize(
    ("expressions", "size", "spec", "why"),
    [
        pytest.param([DEAR], 12000, {}, f"expression '{DEAR}' resulted in error: operation cancelled: actual cost limit exceeded", id="one"),
        pytest.param([DEAR] * 14 + ["false"], 9000, {}, SPENT, id="all"),
        pytest.param(
            ["variables.v"] * 2 + [DEAR] * 12, 9000, {"variables": [{"name": "v", "expression": DEAR}]}, SPENT, id="variables count once"
        ),
    ],
)  # fmt: skip
async def test_expressions_that_cost_too_much_end_the_policy(
    api: Api, expressions: list[str], size: int, spec: dict[str, Any], why: str
) -> None:
    await govern(api, *expressions, **spec)
    assert await refusal(api, size) == why
