"""Identities of the controllers over HTTPS: a token a service account, as kube-controller-manager gets them (--use-service-account-credentials).

A client certificate could not carry them: X.509 allows 64 characters for a common name. Tokens are requested (TokenRequest) with the manager's own
certificate and renewed after four fifths of their life.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from minikube_api.client.client import Client
from minikube_api.meta.errors import AlreadyExists, StatusError
from minikube_api.schema.typed.core_v1 import ServiceAccount
from minikube_api.schema.typed.meta_v1 import ObjectMeta

log = logging.getLogger(__name__)

NAMESPACE = "kube-system"
LIFE_SECONDS = 3600
RETRY_SECONDS = 10.0


class ControllerTokens:
    """`prepare` first; then `current(name)` is a valid token as long as `renew` runs."""

    def __init__(self, manager: Client) -> None:
        self._manager = manager
        self._tokens: dict[str, str] = {}

    async def prepare(self, names: Iterable[str]) -> None:
        await asyncio.gather(*(self._request(name) for name in dict.fromkeys(names)))

    def current(self, name: str) -> str:
        return self._tokens[name]

    async def renew(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LIFE_SECONDS * 0.8)
            for name in self._tokens:
                while True:
                    try:
                        await self._request(name)
                        break
                    except (StatusError, OSError) as error:
                        log.warning("token of %s: %s", name, error)
                        await asyncio.sleep(RETRY_SECONDS)

    async def _request(self, name: str) -> None:
        with contextlib.suppress(AlreadyExists):
            await self._manager.create(ServiceAccount(metadata=ObjectMeta(name=name, namespace=NAMESPACE)))
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": LIFE_SECONDS}}
        answer = await self._manager.create_subresource(ServiceAccount, name, "token", body, namespace=NAMESPACE)
        self._tokens[name] = answer["status"]["token"]
