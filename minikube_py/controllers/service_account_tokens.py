"""Tokens controller: fills Secrets of type kubernetes.io/service-account-token, and removes them when their account is gone.

Source: documentation, "Manually create a long-lived API token for a ServiceAccount". The API server holds the key; how a token is made
is told by `Options.sign_token`.
"""

from __future__ import annotations

from msgspec.structs import replace

from minikube_api.meta.errors import NotFound
from minikube_api.schema.typed.core_v1 import Secret, ServiceAccount
from minikube_py.controllers.runner import Controller, Key, Result

TYPE = "kubernetes.io/service-account-token"
ACCOUNT = "kubernetes.io/service-account.name"
UID = "kubernetes.io/service-account.uid"


class TokensController(Controller):
    """Keys are Secrets."""

    name = "serviceaccount-token-controller"
    identity = "kube-controller-manager"
    workers = 1

    def setup(self) -> None:
        self._accounts = self.informers.informer(ServiceAccount)
        self._secrets = self.informers.informer(Secret, field_selector=f"type={TYPE}")
        self._secrets.on_add(self.enqueue)
        self._secrets.on_update(lambda _, new: self.enqueue(new))
        self._accounts.on_change(self._changed)

    def _changed(self, account: ServiceAccount) -> None:
        for secret in self._secrets.list(account.metadata.namespace):
            if secret.metadata.annotations.get(ACCOUNT) == account.metadata.name:
                self.enqueue(secret)

    async def reconcile(self, key: Key) -> Result | None:
        secret = self._secrets.get(key.namespace, key.name)
        if secret is None or secret.metadata.deletionTimestamp:
            return None
        account = await self._account(secret)
        if account is None:
            await self._remove(secret)
            return None
        made = filled(secret, account, self.options.root_ca.encode(), self._token(secret, account))
        if made is not None:
            await self.client.update(made)
        return None

    async def _account(self, secret: Secret) -> ServiceAccount | None:
        """The account that the Secret is for; one that the cache lacks is asked for, as the Secret may be newer than the cache."""
        meta = secret.metadata
        name, uid = meta.annotations.get(ACCOUNT, ""), meta.annotations.get(UID, "")
        found = self._accounts.get(meta.namespace, name)
        if found is None or (uid and found.metadata.uid != uid):
            try:
                found = await self.client.get(ServiceAccount, name, namespace=meta.namespace)
            except NotFound:
                return None
        return None if uid and found.metadata.uid != uid else found

    async def _remove(self, secret: Secret) -> None:
        meta = secret.metadata
        try:
            await self.client.delete(Secret, meta.name, namespace=meta.namespace, uid=meta.uid)
        except NotFound:
            pass  # somebody was faster

    def _token(self, secret: Secret, account: ServiceAccount) -> bytes:
        if secret.data.get("token"):
            return secret.data["token"]
        assert self.options.sign_token is not None
        owner = account.metadata
        return self.options.sign_token(owner.namespace, owner.name, owner.uid, secret.metadata.name).encode()


def filled(secret: Secret, account: ServiceAccount, root_ca: bytes, token: bytes) -> Secret | None:
    """The Secret with all it should hold; None when it does. Pure."""
    wanted = {"namespace": account.metadata.namespace.encode(), "token": token, **({"ca.crt": root_ca} if root_ca else {})}
    annotations = secret.metadata.annotations | {ACCOUNT: account.metadata.name, UID: account.metadata.uid}
    data = secret.data | wanted
    if data == secret.data and annotations == secret.metadata.annotations:
        return None
    return replace(secret, data=data, metadata=replace(secret.metadata, annotations=annotations))
