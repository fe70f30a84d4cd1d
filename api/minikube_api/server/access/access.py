"""Everything of the server that knows identities and rights, put together for `Server`: who asks, may they, what is admitted.

`Server` makes one `Access`, puts its members into its chains, calls `install` on the router and `bootstrap` before it listens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from minikube_api.server.access.escalation import EscalationCheck
from minikube_api.server.access.nodes import NodeAuthorizer
from minikube_api.server.access.rbac import RBAC
from minikube_api.server.access.reconciling import DefaultRoles
from minikube_api.server.access.reviews import Reviews
from minikube_api.server.access.service_accounts import ServiceAccountTokens
from minikube_api.server.context import Answer, Request
from minikube_api.server.contract import AdmissionPlugin, Authorizer

if TYPE_CHECKING:
    from minikube_api.server.server import Server


class Access:
    def __init__(self, server: Server, *, service_account_key: Path | None = None) -> None:
        self._server = server
        storage, registry, config = server.storage, server.registry, server.config
        self.rbac = RBAC(storage, registry)
        self.nodes = NodeAuthorizer(storage, registry)
        self.tokens: ServiceAccountTokens | None = None
        if service_account_key is not None:
            from minikube_api.server.access.jwt import SigningKey

            key = SigningKey(service_account_key.read_bytes())
            self.tokens = ServiceAccountTokens(key, storage, registry, config.clock, config.rng)

    def authorizers(self) -> tuple[Authorizer, ...]:
        """In kube-apiserver's order (--authorization-mode=Node,RBAC)."""
        return (self.nodes, self.rbac)

    def plugins(self) -> list[AdmissionPlugin]:
        from minikube_api.server.admission import plugins

        server = self._server
        return [EscalationCheck(self.rbac, server.authorizer), *plugins.default(server)]

    def install(self) -> None:
        """Reviews, and the token subresource when there is a key."""
        server = self._server
        reviews = Reviews(server.authorizer, server.authenticator, self.rbac, self.tokens, server.writer)
        server.router.virtual.update(reviews.handlers())
        if self.tokens is not None:
            from minikube_api.server.access.token_requests import TokenRequests

            server.router.subresources["token"] = TokenRequests(self.tokens, server.writer).serve
            server.paths.handlers["/.well-known/openid-configuration"] = self.openid_configuration
            server.paths.handlers["/openid/v1/jwks"] = self.jwks

    async def openid_configuration(self, request: Request) -> Answer:
        """The issuer's discovery document (documentation, "Service account issuer discovery")."""
        assert self.tokens is not None
        server = self._server
        host, port = server.config.advertise or ("127.0.0.1", 0)
        document = {
            "issuer": self.tokens.issuer,
            "jwks_uri": f"https://{host}:{port or (server.ports or [443])[0]}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }
        return Answer(200, orjson.dumps(document), headers={"Cache-Control": "public, max-age=3600"})

    async def jwks(self, request: Request) -> Answer:
        """The key that service account tokens can be checked with."""
        assert self.tokens is not None
        body = orjson.dumps({"keys": [self.tokens.key.public_jwk()]})
        return Answer(200, body, "application/jwk-set+json", {"Cache-Control": "public, max-age=3600"})

    async def bootstrap(self) -> None:
        """Before the server listens: default roles and bindings are there and known."""
        server = self._server
        await DefaultRoles(server.storage, server.registry, server.clock, server.config.rng).run()
        await self.rbac.start()
