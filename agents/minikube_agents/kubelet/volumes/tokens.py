"""Service-account tokens for projected volumes, through TokenRequest; renewed at 80 % of their life or after a day.

Source: "Bound service account tokens" and KEP-1205.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minikube_agents.kubelet.volumes.payloads import VolumeError
from minikube_api.client.client import Client
from minikube_api.meta import times
from minikube_api.meta.errors import StatusError
from minikube_api.meta.times import Clock
from minikube_api.schema.typed import core_v1 as v1

DEFAULT_SECONDS = 3600
_DAY = 24 * 3600


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    renew_at: float


class TokenCache:
    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._held: dict[str, dict[tuple[str, str], _Token]] = {}

    async def tokens(self, pod: v1.Pod) -> Mapping[tuple[str, str], str]:
        """By (volume, path). Raises VolumeError."""
        held = self._held.setdefault(pod.metadata.uid, {})
        now = self._clock.time()
        for volume in pod.spec.volumes:
            for part in (volume.projected.sources or ()) if volume.projected is not None else ():
                token = part.serviceAccountToken
                if token is None:
                    continue
                key = (volume.name, token.path)
                if key not in held or held[key].renew_at <= now:
                    held[key] = await self._request(pod, token)
        return {key: token.text for key, token in held.items()}

    def renew_at(self, uid: str) -> float | None:
        """Epoch seconds of the next renewal of the pod's tokens."""
        return min((token.renew_at for token in self._held.get(uid, {}).values()), default=None)

    def forget(self, uid: str) -> None:
        self._held.pop(uid, None)

    async def _request(self, pod: v1.Pod, token: v1.ServiceAccountTokenProjection) -> _Token:
        account = pod.spec.serviceAccountName or "default"
        seconds = token.expirationSeconds or DEFAULT_SECONDS
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [token.audience] if token.audience else [],
                "expirationSeconds": seconds,
                "boundObjectRef": {
                    "apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid,
                },
            },
        }  # fmt: skip
        path = f"/api/v1/namespaces/{pod.metadata.namespace}/serviceaccounts/{account}/token"
        try:
            answer = await self._client.raw.create(path, body)
        except StatusError as error:
            raise VolumeError(f"failed to fetch token: {error}") from error
        now = self._clock.time()
        expires = times.parse(answer["status"]["expirationTimestamp"])
        return _Token(answer["status"]["token"], now + min((expires - now) * 0.8, _DAY))
