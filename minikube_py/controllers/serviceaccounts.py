"""ServiceAccount controller (the `default` account of every namespace) and the publisher of the cluster's CA (kube-root-ca.crt)."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from minikube_api.meta.errors import AlreadyExists, NotFound, StatusError
from minikube_api.schema.typed.core_v1 import ConfigMap, Namespace, ServiceAccount
from minikube_api.schema.typed.meta_v1 import ObjectMeta
from minikube_py.controllers.runner import Controller, Key, Result, namespace_terminating

DEFAULT: Final = "default"
ROOT_CA: Final = "kube-root-ca.crt"
DESCRIPTION: Final = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal"
    " service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
)


class ServiceAccountController(Controller):
    """Keys are namespaces."""

    name = "serviceaccount-controller"
    identity = "service-account-controller"
    workers = 1

    def setup(self) -> None:
        self._namespaces = self.informers.informer(Namespace)
        self._accounts = self.informers.informer(ServiceAccount)
        self._namespaces.on_add(self.enqueue)
        self._namespaces.on_update(lambda _, new: self.enqueue(new))
        self._accounts.on_delete(self._deleted)

    def _deleted(self, account: ServiceAccount) -> None:
        if account.metadata.name == DEFAULT:
            self.queue.add(Key("", account.metadata.namespace))

    async def reconcile(self, key: Key) -> Result | None:
        if not _is_active(self._namespaces.get("", key.name)) or self._accounts.get(key.name, DEFAULT) is not None:
            return None
        try:
            await self.client.create(ServiceAccount(metadata=ObjectMeta(name=DEFAULT, namespace=key.name)))
        except AlreadyExists:
            pass  # the cache was behind
        except StatusError as error:
            if not namespace_terminating(error) and not isinstance(error, NotFound):
                raise
        return None


class RootCAPublisher(Controller):
    """Keys are namespaces."""

    name = "root-ca-certificate-publisher-controller"
    identity = "root-ca-cert-publisher"
    workers = 1

    def setup(self) -> None:
        self._namespaces = self.informers.informer(Namespace)
        self._maps = self.informers.informer(ConfigMap, field_selector=f"metadata.name={ROOT_CA}")
        self._namespaces.on_add(self.enqueue)
        self._namespaces.on_update(lambda _, new: self.enqueue(new))
        self._maps.on_change(lambda configmap: self.queue.add(Key("", configmap.metadata.namespace)))

    async def reconcile(self, key: Key) -> Result | None:
        if not _is_active(self._namespaces.get("", key.name)):
            return None
        data = {"ca.crt": self.options.root_ca}
        current = self._maps.get(key.name, ROOT_CA)
        if current is None:
            metadata = ObjectMeta(name=ROOT_CA, namespace=key.name, annotations={"kubernetes.io/description": DESCRIPTION})
            try:
                await self.client.create(ConfigMap(metadata=metadata, data=data))
            except AlreadyExists:
                return None  # not in the cache yet; its event enqueues the namespace again
            except StatusError as error:
                if not namespace_terminating(error) and not isinstance(error, NotFound):
                    raise
        elif current.data != data or current.metadata.annotations.get("kubernetes.io/description") != DESCRIPTION:
            annotations = current.metadata.annotations | {"kubernetes.io/description": DESCRIPTION}
            metadata = replace(current.metadata, annotations=annotations)
            await self.client.update(replace(current, data=data, metadata=metadata))
        return None


def _is_active(namespace: Namespace | None) -> bool:
    return namespace is not None and namespace.status.phase != "Terminating" and not namespace.metadata.deletionTimestamp
