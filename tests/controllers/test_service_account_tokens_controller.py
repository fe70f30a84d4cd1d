"""Tokens in Secrets: filled in for an account that is there, gone with it."""

from __future__ import annotations

from typing import Any

import pytest

from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import Secret, ServiceAccount
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers.service_account_tokens import ACCOUNT, TYPE, UID, filled


def sign(namespace: str, account: str, uid: str, secret: str) -> str:
    return f"{namespace}/{account}/{uid}/{secret}"


def wish(account: str, **annotations: str) -> Secret:
    return Secret(type=TYPE, metadata=ObjectMeta(name="s", namespace="default", annotations={ACCOUNT: account, **annotations}))


async def test_a_secret_gets_the_token_of_its_account_and_goes_with_it(world: Any) -> None:
    async with world("serviceaccount-token-controller", sign_token=sign, root_ca="CA") as w:
        account = await w.client.create(ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default")))
        await w.client.create(wish("robot"))

        async def token() -> Secret | None:
            secret = await w.client.get(Secret, "s", namespace="default")
            return secret if secret.data.get("token") else None

        secret = await w.until(token)
        uid = account.metadata.uid
        assert secret.data == {"token": f"default/robot/{uid}/s".encode(), "ca.crt": b"CA", "namespace": b"default"}
        assert secret.metadata.annotations[UID] == uid

        await w.client.delete(ServiceAccount, "robot", namespace="default")

        async def gone() -> bool:
            try:
                await w.client.get(Secret, "s", namespace="default")
            except NotFound:
                return True
            return False

        assert await w.until(gone)


@pytest.mark.parametrize("annotations", [{}, {UID: "another"}], ids=["no-such-account", "a-namesake"])
async def test_a_secret_for_nobody_is_removed(world: Any, annotations: dict[str, str]) -> None:
    async with world("serviceaccount-token-controller", sign_token=sign) as w:
        if annotations:
            await w.client.create(ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default")))
        await w.client.create(wish("robot", **annotations))

        async def none_left() -> bool:
            return not (await w.client.list(Secret, namespace="default")).items

        assert await w.until(none_left)


def test_what_is_complete_is_left_alone_and_a_new_authority_is_written() -> None:
    account = ServiceAccount(metadata=ObjectMeta(name="robot", namespace="default", uid="u"))
    made = filled(wish("robot"), account, b"CA", b"t")
    assert made is not None
    assert filled(made, account, b"CA", b"t") is None
    changed = filled(made, account, b"other", b"t")
    assert changed is not None
    assert changed.data["ca.crt"] == b"other"
