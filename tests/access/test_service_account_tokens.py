"""Tokens: issued, reviewed, bound, expired, forged."""

from __future__ import annotations

import base64
from pathlib import Path

import orjson
import pytest
from access_world import ADMIN, NS, World, node, pod, world

from minikube_api.server.access.certificates import key_pem, new_key
from minikube_api.server.access.jwt import InvalidToken, SigningKey
from minikube_api.server.access.service_accounts import secret_token

REVIEW = "/apis/authentication.k8s.io/v1/tokenreviews"


async def token(w: World, spec: dict | None = None, account: str = "default", user=ADMIN) -> str:
    made = await w.ok("POST", f"{NS}/serviceaccounts/{account}/token", {"spec": spec or {}}, user=user)
    return made["status"]["token"]


async def review(w: World, text: str, **spec: object) -> dict:
    return (await w.ok("POST", REVIEW, {"spec": {"token": text, **spec}}))["status"]


def claims(text: str) -> dict:
    body = text.split(".")[1]
    return orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


async def test_a_token_stands_for_its_account(w: World) -> None:
    status = await review(w, await token(w))
    assert status["authenticated"] is True
    assert status["user"]["username"] == "system:serviceaccount:default:default"
    assert status["user"]["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    assert status["audiences"] == ["https://kubernetes.default.svc.cluster.local"]


async def test_a_token_for_others_is_not_for_the_api(w: World) -> None:
    text = await token(w, {"audiences": ["vault"]})
    assert (await review(w, text, audiences=["vault"]))["authenticated"] is True
    assert (await review(w, text))["error"] == (
        '[invalid bearer token, token audiences ["vault"] is invalid for the target audiences '
        '["https://kubernetes.default.svc.cluster.local"]]'
    )


async def test_a_token_ends_with_its_account_and_does_not_pass_to_a_new_one(w: World) -> None:
    await w.ok("POST", f"{NS}/serviceaccounts", {"metadata": {"name": "robot"}})
    text = await token(w, account="robot")
    await w.ok("DELETE", f"{NS}/serviceaccounts/robot")
    assert "authenticated" not in await review(w, text)
    await w.ok("POST", f"{NS}/serviceaccounts", {"metadata": {"name": "robot"}})
    assert "authenticated" not in await review(w, text)


async def test_a_pods_token_names_pod_and_node_and_ends_with_the_pod(w: World) -> None:
    await w.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    made = await w.ok("POST", f"{NS}/pods", pod("p", nodeName="n1"))
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": made["metadata"]["uid"]}
    text = await token(w, {"boundObjectRef": ref}, user=node("n1"))
    extra = (await review(w, text))["user"]["extra"]
    assert extra["authentication.kubernetes.io/pod-name"] == ["p"]
    assert extra["authentication.kubernetes.io/node-name"] == ["n1"]
    await w.ok("DELETE", f"{NS}/pods/p?gracePeriodSeconds=0")
    assert "authenticated" not in await review(w, text)


async def test_a_pods_token_lasts_a_year_and_warns_after_an_hour(w: World) -> None:
    await w.ok("POST", f"{NS}/pods", pod("p"))
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p"}
    inside = claims(await token(w, {"expirationSeconds": 3607, "boundObjectRef": ref}))
    assert inside["exp"] - inside["iat"] == 365 * 24 * 3600
    assert inside["kubernetes.io"]["warnafter"] - inside["iat"] == 3607
    plain = claims(await token(w, {"expirationSeconds": 3607}))
    assert plain["exp"] - plain["iat"] == 3607


async def test_a_token_outlives_the_node_of_its_pod(w: World) -> None:
    await w.ok("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    await w.ok("POST", f"{NS}/pods", pod("p", nodeName="n1"))
    text = await token(w, {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "p"}})
    bound_to_node = await token(w, {"boundObjectRef": {"kind": "Node", "apiVersion": "v1", "name": "n1"}})
    await w.ok("DELETE", "/api/v1/nodes/n1")
    assert (await review(w, text))["authenticated"] is True
    assert (await review(w, bound_to_node))["error"] == ("[invalid bearer token, service account token has been invalidated]")


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        pytest.param(
            {"metadata": {"name": "other"}},
            422,
            'TokenRequest.authentication.k8s.io "default" is invalid: metadata.name: Invalid value: "other": must match the '
            "service account name if specified",
            id="name",
        ),
        pytest.param(
            {"metadata": {"namespace": "other"}},
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
            id="namespace",
        ),
        pytest.param(
            {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "stranger"}}},
            400,
            'cannot bind token for serviceaccount "default" to pod running with different serviceaccount name.',
            id="pod-of-another",
        ),
        pytest.param(
            {"spec": {"boundObjectRef": {"kind": "Deployment", "apiVersion": "apps/v1", "name": "d"}}},
            400,
            "cannot bind token to object of type apps/v1, Kind=Deployment",
            id="kind",
        ),
    ],
)
async def test_requests_that_make_no_sense_are_refused(w: World, body: dict, status: int, says: str) -> None:
    await w.ok("POST", f"{NS}/serviceaccounts", {"metadata": {"name": "stranger"}})
    await w.ok("POST", f"{NS}/pods", pod("stranger", serviceAccountName="stranger"))
    got, tree = await w(ADMIN, "POST", f"{NS}/serviceaccounts/default/token", body)
    assert (got, tree["message"]) == (status, says)


async def test_the_token_in_a_secret_stands_for_the_account_while_the_secret_holds_it(w: World) -> None:
    tokens = w.server.access.tokens
    assert tokens is not None
    uid = (await w.ok("GET", f"{NS}/serviceaccounts/default"))["metadata"]["uid"]
    text = secret_token(tokens.key, "default", "default", uid, "s")
    assert "has been invalidated" in (await review(w, text))["error"]
    secret = {
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "default"}},
        "type": "kubernetes.io/service-account-token",
        "stringData": {"token": text},
    }
    await w.ok("POST", f"{NS}/secrets", secret)
    status = await review(w, text)
    assert status["user"]["username"] == "system:serviceaccount:default:default"
    assert "error" in await review(w, text, audiences=["vault"])
    await w.ok("PUT", f"{NS}/secrets/s", {**secret, "stringData": {"token": "another"}})
    assert "does not match server's copy" in (await review(w, text))["error"]
    await w.ok("DELETE", f"{NS}/secrets/s")
    assert "has been invalidated" in (await review(w, text))["error"]


async def test_a_token_expires(tmp_path: Path) -> None:
    class Clock:
        now = 1_800_000_000.0

        def time(self) -> float:
            return self.now

        def monotonic(self) -> float:
            return self.now

        async def sleep(self, seconds: float) -> None:
            import asyncio

            await asyncio.sleep(seconds)

    clock = Clock()
    async with world(tmp_path, clock=clock) as w:
        text = await token(w, {"expirationSeconds": 600})
        clock.now += 500
        assert (await review(w, text))["authenticated"] is True
        clock.now += 200
        assert "expired" in (await review(w, text))["error"]


@pytest.mark.parametrize("change", ["signature", "claims", "algorithm", "key"])
def test_a_forged_token_is_refused(change: str) -> None:
    key = SigningKey(key_pem(new_key()))
    head, body, signature = key.sign({"sub": "a"}).split(".")
    if change == "signature":
        signature = ("A" if signature[0] != "A" else "B") + signature[1:]
    elif change == "claims":
        body = base64.urlsafe_b64encode(b'{"sub":"b"}').decode().rstrip("=")
    elif change == "algorithm":
        head = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    else:
        key = SigningKey(key_pem(new_key()))
    with pytest.raises(InvalidToken):
        key.verify(f"{head}.{body}.{signature}")


@pytest.mark.parametrize("text", ["", "a", "a.b", "a.b.c", "....", "é.é.é"])
def test_garbage_is_no_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        SigningKey(key_pem(new_key())).verify(text)


async def test_the_published_key_checks_the_tokens(w: World) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    configuration = await w.ok("GET", "/.well-known/openid-configuration")
    text = await token(w)
    assert configuration["issuer"] == claims(text)["iss"]
    (key,) = (await w.ok("GET", "/openid/v1/jwks"))["keys"]
    x, y = (int.from_bytes(base64.urlsafe_b64decode(key[part] + "="), "big") for part in "xy")
    signed, _, signature = text.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    public.verify(der, signed.encode(), ec.ECDSA(hashes.SHA256()))
