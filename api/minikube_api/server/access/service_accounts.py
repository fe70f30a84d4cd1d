"""Service account tokens: what is in them, and who comes in with one.

Source: KEP-1205 "Bound Service Account Tokens", KEP-4193 (node and JTI claims). A token lives as long as its account, and the pod,
secret or node it is bound to, with the same uid.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minikube_api.meta.errors import Unauthorized
from minikube_api.meta.times import Clock
from minikube_api.resources.resource import Registry
from minikube_api.server.access.jwt import InvalidToken, SigningKey, issuer_of
from minikube_api.server.authentication import AUTHENTICATED, bearer_token
from minikube_api.server.context import Object, Request, UserInfo
from minikube_api.server.metadata import new_uid
from minikube_api.server.storage import Storage

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
#: what kubelets ask for in projected volumes; such tokens really last a year, so that old clients that never reload live on
WARN_AFTER = 3607
EXTENDED = 365 * 24 * 3600
#: clock skew allowed on nbf and exp, seconds (go-jose's default leeway)
LEEWAY = 60
_PLURALS = {"pod": "pods", "secret": "secrets", "node": "nodes", "serviceaccount": "serviceaccounts"}
_AUTHN = "authentication.kubernetes.io/"


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

    def issue(self, account: Object, audiences: Sequence[str], seconds: int, bound: Bound | None = None) -> tuple[str, float]:
        """(token, when it is to be taken as expired, in seconds since the epoch)."""
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
        if seconds == WARN_AFTER and set(audiences) <= set(self.audiences):
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
        return self.key.sign(claims), float(expires)

    async def authenticate(self, request: Request) -> UserInfo | None:
        token = bearer_token(request)
        if not token or token.count(".") != 2 or issuer_of(token) != self.issuer:
            return None
        try:
            return (await self.review(token, self.audiences))[0]
        except InvalidToken:
            raise Unauthorized from None

    async def review(self, token: str, audiences: Sequence[str]) -> tuple[UserInfo, list[str]]:
        """Who a token stands for, and which of `audiences` it is for. Raises InvalidToken with kube-apiserver's words."""
        claims = self._claims(token)
        now = self._clock.time()
        if claims.get("exp", 0) + LEEWAY < now or claims.get("nbf", 0) - LEEWAY > now:
            raise InvalidToken("[invalid bearer token, service account token has expired]")
        meant = claims.get("aud") or []
        shared = [audience for audience in audiences if audience in meant]
        if not shared:
            raise InvalidToken(
                f"[invalid bearer token, token audiences {_quoted(meant)} is invalid for the target audiences {_quoted(audiences)}]"
            )
        private = claims.get("kubernetes.io") or {}
        namespace = private.get("namespace", "")
        for kind in ("serviceaccount", "secret", "pod", "node"):
            if kind in private:
                await self._check(kind, namespace, private[kind])
        return user_of(claims), shared

    def _claims(self, token: str) -> dict[str, Any]:
        claims = self._verified.get(token)
        if claims is None:
            claims = self.key.verify(token)
            if claims.get("iss") != self.issuer:
                raise InvalidToken("invalid bearer token")
            if len(self._verified) > 4096:
                self._verified.clear()
            self._verified[token] = claims
        return claims

    async def _check(self, kind: str, namespace: str, ref: dict[str, str]) -> None:
        """The object must be there with the uid of the claim, and not be on its way out for longer than a minute."""
        resource = self._registry.get("", "v1", _PLURALS[kind])
        if resource is None:
            raise InvalidToken("invalid bearer token")
        where = namespace if resource.namespaced else ""
        entry = await self._storage.current(resource, where, ref.get("name", ""))
        if entry is None or entry.tree()["metadata"].get("uid") != ref.get("uid"):
            raise InvalidToken(f"[invalid bearer token, service account token has been invalidated: {kind} is gone]")


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
