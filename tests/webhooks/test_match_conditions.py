from __future__ import annotations

import pytest
from webhook_world import ADMISSION, MAPS, Api, Webhooks, add_key, config_map, deny


def condition(expression: str) -> dict[str, str]:
    return {"name": "c.example.com", "expression": expression}


async def test_webhooks_are_called_when_all_conditions_are_true(api: Api, hooks: Webhooks) -> None:
    conditions = [
        condition("object.metadata.name != 'skip-me'"),
        {"name": "d.example.com", "expression": "request.operation == 'CREATE'"},
    ]
    await api.configure("mutating", "m", hooks.add("/m", add_key("added")) | {"matchConditions": conditions})
    assert "added" not in (await api.ok("POST", MAPS, config_map("skip-me")))["data"]
    assert "added" in (await api.ok("POST", MAPS, config_map("other")))["data"]
    assert hooks.paths() == ["/m"]


async def test_a_condition_that_fails_refuses_the_request(api: Api, hooks: Webhooks) -> None:
    hook = hooks.add("/v", deny) | {"matchConditions": [condition("object.data.missing == 'x'")]}
    await api.configure("validating", "v", hook)
    status, message = await api.refused("POST", MAPS, config_map("m"))
    assert (status, message) == (
        403,
        "configmaps \"m\" is forbidden: expression 'object.data.missing == 'x'' resulted in error: no such key: missing",
    )
    assert hooks.seen == []


async def test_a_condition_that_fails_passes_over_a_webhook_that_may_be_ignored(api: Api, hooks: Webhooks) -> None:
    hook = hooks.add("/v", deny) | {"matchConditions": [condition("object.data.missing == 'x'")], "failurePolicy": "Ignore"}
    await api.configure("validating", "v", hook)
    await api.ok("POST", MAPS, config_map("m"))


async def test_a_false_condition_decides_before_one_that_fails(api: Api, hooks: Webhooks) -> None:
    conditions = [condition("object.data.missing == 'x'"), {"name": "d.example.com", "expression": "false"}]
    await api.configure("validating", "v", hooks.add("/v", deny) | {"matchConditions": conditions})
    await api.ok("POST", MAPS, config_map("m"))


@pytest.mark.parametrize("phase", ["mutating", "validating"])
async def test_conditions_that_do_not_compile_are_refused(api: Api, hooks: Webhooks, phase: str) -> None:
    hook = hooks.add("/v", deny) | {"matchConditions": [condition("... [] bad expression")]}
    body = {"metadata": {"name": "v"}, "webhooks": [hook]}
    status, message = await api.refused("POST", f"{ADMISSION}/{phase}webhookconfigurations", body)
    assert status == 422
    assert "compilation failed" in message
