"""Service account tokens: what is in them, and who comes in with one.

Source: KEP-1205 "Bound Service Account Tokens", KEP-4193 (node and JTI claims). A token lives as long as its account, and the pod,
secret or node it is bound to, with the same uid. Tokens of Secrets (type kubernetes.io/service-account-token) have no end of their own:
they live as long as the Secret that holds them.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minikube_api.meta import times
from minikube_api.meta.errors import Unauthorized
from minikube_api.meta.times import Clock
from minikube_api.resources.resource import Registry
from minikube_api.server.access.jwt import InvalidToken, SigningKey, issuer_of
from minikube_api.server.authentication import AUTHENTICATED, bearer_token
from minikube_api.server.context import Object, Request, UserInfo
from minikube_api.server.metadata import new_uid
from minikube_api.server.storage import Storage

#: who issues the tokens in Secrets
LEGACY_ISSUER = "kubernetes/serviceaccount"
DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
#: what kubelets ask for in projected volumes; such tokens really last a year, so that old clients that never reload live on
WARN_AFTER = 3607
EXTENDED = 365 * 24 * 3600
#: clock skew allowed on nbf and exp, seconds (go-jose's default leeway)
LEEWAY = 60
_PLURALS = {"pod": "pods", "secret": "secrets", "node": "nodes", "serviceaccount": "serviceaccounts"}
_AUTHN = "authentication.kubernetes.io/"
_LEGACY = "kubernetes.io/serviceaccount/"
_LEGACY_CLAIMS = ("namespace", "service-account.name", "service-account.uid", "secret.name")


@dataclass(frozen=True, slots=True)
class Bound:
    """The object that a token is bound to: `kind` is pod, secret or node; a pod brings its node along."""

    kind: str
    name: str
    uid: str
    node: tuple[str, str] | None = None


class ServiceAccountTokens:
    """Issues tokens, and is an `Authenticator` for them."""

    def __init__(
        self,
        key: SigningKey,
        storage: Storage,
        registry: Registry,
        clock: Clock,
        rng: random.Random,
        *,
        issuer: str = DEFAULT_ISSUER,
        audiences: Sequence[str] = (),
    ) -> None:
        self.key = key
        self.issuer = issuer
        #: audiences that the API server itself answers to
        self.audiences = tuple(audiences) or (issuer,)
        self._storage = storage
        self._registry = registry
        self._clock = clock
        self._rng = rng
        self._verified: dict[str, dict[str, Any]] = {}

    def issue(
        self, account: Object, audiences: Sequence[str], seconds: int, bound: Bound | None = None
    ) -> tuple[str, float, str]:
        """(token, when it is to be taken as expired in seconds since the epoch, the credential's id)."""
        meta = account["metadata"]
        now = int(self._clock.time())
        private: dict[str, Any] = {"namespace": meta["namespace"]}
        if bound is not None:
            if bound.node is not None:
                private["node"] = {"name": bound.node[0], "uid": bound.node[1]}
            private[bound.kind] = {"name": bound.name, "uid": bound.uid}
        private["serviceaccount"] = {"name": meta["name"], "uid": meta["uid"]}
        expires = now + seconds
        lasts = expires
        if bound is not None and bound.kind == "pod" and seconds == WARN_AFTER and set(audiences) <= set(self.audiences):
            private["warnafter"] = expires
            lasts = now + EXTENDED
        claims = {
            "aud": list(audiences),
            "exp": lasts,
            "iat": now,
            "iss": self.issuer,
            "jti": new_uid(self._rng),
            "kubernetes.io": private,
            "nbf": now,
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
        }
        return self.key.sign(claims), float(expires), f"JTI={claims['jti']}"

    async def authenticate(self, request: Request) -> UserInfo | None:
        token = bearer_token(request)
        if not token or token.count(".") != 2 or issuer_of(token) not in (self.issuer, LEGACY_ISSUER):
            return None
        try:
            return (await self.review(token, self.audiences))[0]
        except InvalidToken:
            raise Unauthorized from None

    async def review(self, token: str, audiences: Sequence[str]) -> tuple[UserInfo, list[str]]:
        """Who a token stands for, and which of `audiences` it is for. Raises InvalidToken with kube-apiserver's words."""
        claims = self._claims(token)
        if claims["iss"] == LEGACY_ISSUER:
            return await self._review_of_secret(token, claims, audiences)
        meant = claims.get("aud") or []
        shared = [audience for audience in audiences if audience in meant]
        if not shared:
            raise refused(f"token audiences {_quoted(meant)} is invalid for the target audiences {_quoted(audiences)}")
        now = self._clock.time()
        if claims.get("exp", 0) + LEEWAY < now:
            raise refused("service account token has expired")
        if claims.get("nbf", 0) - LEEWAY > now:
            raise refused("service account token is not valid yet")
        private = claims.get("kubernetes.io") or {}
        namespace = private.get("namespace", "")
        await self._check_account(namespace, private.get("serviceaccount") or {})
        for kind in ("secret", "pod", "node"):
            # the node of a pod is told for information only
            if kind in private and not (kind == "node" and "pod" in private):
                await self._check_bound(kind, namespace, private[kind])
        return user_of(claims), shared

    def _claims(self, token: str) -> dict[str, Any]:
        claims = self._verified.get(token)
        if claims is None:
            claims = self.key.verify(token)
            if claims.get("iss") not in (self.issuer, LEGACY_ISSUER):
                raise InvalidToken("invalid bearer token")
            if len(self._verified) > 4096:
                self._verified.clear()
            self._verified[token] = claims
        return claims

    async def _review_of_secret(self, token: str, claims: dict[str, Any], audiences: Sequence[str]) -> tuple[UserInfo, list[str]]:
        """Tokens in Secrets are for the API server, and only as long as the Secret holds just this one."""
        shared = [audience for audience in audiences if audience in self.audiences]
        if not shared:
            raise InvalidToken("invalid bearer token")
        namespace, name, uid, secret_name = (claims.get(_LEGACY + key, "") for key in _LEGACY_CLAIMS)
        if claims.get("sub") != f"system:serviceaccount:{namespace}:{name}":
            raise refused("sub claim is invalid")
        if not namespace or not secret_name or not name or not uid:
            raise refused("a claim is missing")
        secret = await self._get("secret", namespace, secret_name)
        data = (secret or {}).get("data") or {}
        if secret is None or secret["metadata"].get("deletionTimestamp") or not data.get("token"):
            raise refused("service account token has been invalidated")
        if base64.b64decode(data["token"]) != token.encode():
            raise refused("service account token does not match server's copy")
        if (secret["metadata"].get("labels") or {}).get("kubernetes.io/legacy-token-invalid-since"):
            raise refused("service account token has been invalidated")
        await self._check_account(namespace, {"name": name, "uid": uid})
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return UserInfo(f"system:serviceaccount:{namespace}:{name}", uid, groups), shared

    async def _get(self, kind: str, namespace: str, name: str) -> Object | None:
        resource = self._registry.get("", "v1", _PLURALS[kind])
        if resource is None:
            return None
        entry = await self._storage.current(resource, namespace if resource.namespaced else "", name)
        return None if entry is None else entry.tree()

    async def _check_account(self, namespace: str, ref: dict[str, str]) -> None:
        name, uid = ref.get("name", ""), ref.get("uid", "")
        account = await self._get("serviceaccount", namespace, name)
        if account is None:
            raise refused(f'serviceaccounts "{name}" not found')
        if account["metadata"]["uid"] != uid:
            raise refused(f"service account UID ({account['metadata']['uid']}) does not match claim ({uid})")
        if self._gone(account):
            raise refused(f"service account {namespace}/{name} has been deleted")

    async def _check_bound(self, kind: str, namespace: str, ref: dict[str, str]) -> None:
        """What the token is bound to must be there with the uid of the claim, and not be on its way out for longer than a minute."""
        found = await self._get(kind, namespace, ref.get("name", ""))
        if found is None:
            raise refused("service account token has been invalidated")
        uid = found["metadata"]["uid"]
        if uid != ref.get("uid"):
            raise refused(f"{kind} UID ({uid}) does not match service account {kind} ref claim ({ref.get('uid')})")
        if self._gone(found):
            raise refused("service account token has been invalidated")

    def _gone(self, obj: Object) -> bool:
        deleted = obj["metadata"].get("deletionTimestamp")
        return bool(deleted) and times.parse(deleted) < self._clock.time() - LEEWAY


def refused(why: str) -> InvalidToken:
    """As kube-apiserver's union of token authenticators words it."""
    return InvalidToken(f"[invalid bearer token, {why}]")


def secret_token(key: SigningKey, namespace: str, account: str, uid: str, secret: str) -> str:
    """The token that a Secret of type kubernetes.io/service-account-token holds."""
    claims = {
        "iss": LEGACY_ISSUER,
        **dict(zip((_LEGACY + name for name in _LEGACY_CLAIMS), (namespace, account, uid, secret), strict=True)),
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    return key.sign(claims)


def user_of(claims: dict[str, Any]) -> UserInfo:
    private = claims["kubernetes.io"]
    namespace, account = private["namespace"], private["serviceaccount"]
    extra: dict[str, tuple[str, ...]] = {}
    if claims.get("jti"):
        extra[_AUTHN + "credential-id"] = (f"JTI={claims['jti']}",)
    for kind in ("node", "pod"):
        if kind in private:
            extra[f"{_AUTHN}{kind}-name"] = (private[kind]["name"],)
            extra[f"{_AUTHN}{kind}-uid"] = (private[kind]["uid"],)
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return UserInfo(f"system:serviceaccount:{namespace}:{account['name']}", account["uid"], groups, extra)


def _quoted(values: Sequence[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
