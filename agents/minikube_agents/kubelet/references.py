"""The ConfigMaps and Secrets that pods of this node refer to: each watched alone, by name, as long as a pod wants it.

A kubelet may only read what its pods name (node authorization), so there is no informer over all of a kind. A change wakes the pods
that refer to the object: that is how volumes follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from minikube_agents.kubelet.environment import Sources
from minikube_api.client import paths
from minikube_api.client.client import Client
from minikube_api.client.informers import Informer, TypedSource
from minikube_api.meta.errors import NotFound
from minikube_api.meta.times import Clock
from minikube_api.schema.typed import core_v1 as v1

#: seconds that a pod waits for the first answer about an object it refers to
SYNC_LIMIT = 10.0


class Reference(NamedTuple):
    kind: Literal["ConfigMap", "Secret"]
    namespace: str
    name: str


def of(pod: v1.Pod) -> set[Reference]:
    """Everything a pod reads: env, envFrom, volumes, image pull secrets excepted."""
    space = pod.metadata.namespace
    found: set[Reference] = set()
    for container in (*pod.spec.initContainers, *pod.spec.containers, *pod.spec.ephemeralContainers):
        for source in container.envFrom:
            if source.configMapRef is not None:
                found.add(Reference("ConfigMap", space, source.configMapRef.name or ""))
            if source.secretRef is not None:
                found.add(Reference("Secret", space, source.secretRef.name or ""))
        for env in container.env:
            if env.valueFrom is not None and env.valueFrom.configMapKeyRef is not None:
                found.add(Reference("ConfigMap", space, env.valueFrom.configMapKeyRef.name or ""))
            if env.valueFrom is not None and env.valueFrom.secretKeyRef is not None:
                found.add(Reference("Secret", space, env.valueFrom.secretKeyRef.name or ""))
    for volume in pod.spec.volumes:
        if volume.configMap is not None:
            found.add(Reference("ConfigMap", space, volume.configMap.name or ""))
        if volume.secret is not None:
            found.add(Reference("Secret", space, volume.secret.secretName or ""))
        for part in (volume.projected.sources or ()) if volume.projected is not None else ():
            if part.configMap is not None:
                found.add(Reference("ConfigMap", space, part.configMap.name or ""))
            if part.secret is not None:
                found.add(Reference("Secret", space, part.secret.name or ""))
    return found


@dataclass(slots=True)
class _Watched:
    informer: Informer[Any]
    task: asyncio.Task[None]
    users: set[str] = field(default_factory=set)


class References:
    """`hold(uid, references)` starts and ends watches; `sources(pod)` gives what they hold, waiting for the first state."""

    def __init__(self, client: Client, group: asyncio.TaskGroup, wake: Callable[[str], None], clock: Clock) -> None:
        self._client = client
        self._group = group
        self._wake = wake
        self._clock = clock
        self._watched: dict[Reference, _Watched] = {}
        self._held: dict[str, set[Reference]] = {}
        self._changed: set[str] = set()

    def take_changed(self, uid: str) -> bool:
        """Whether anything the pod refers to changed since this was last asked."""
        if uid not in self._changed:
            return False
        self._changed.discard(uid)
        return True

    def hold(self, uid: str, wanted: Iterable[Reference]) -> None:
        """Pod `uid` refers to exactly these from now on."""
        now = set(wanted)
        before = self._held.get(uid, set())
        for reference in now - before:
            watched = self._watched.get(reference)
            if watched is None:
                watched = self._watched[reference] = self._watch(reference)
            watched.users.add(uid)
        for reference in before - now:
            watched = self._watched[reference]
            watched.users.discard(uid)
            if not watched.users:
                watched.task.cancel()
                del self._watched[reference]
        if now:
            self._held[uid] = now
        else:
            self._held.pop(uid, None)
            self._changed.discard(uid)

    def _watch(self, reference: Reference) -> _Watched:
        kind: type[Any] = v1.ConfigMap if reference.kind == "ConfigMap" else v1.Secret
        source = TypedSource(paths.kind_path(kind.API, namespace=reference.namespace), kind)
        informer: Informer[Any] = Informer(
            self._client, source, field_selector=f"metadata.name={reference.name}", clock=self._clock
        )
        name = f"kubelet: watch {reference.kind} {reference.namespace}/{reference.name}"
        watched = _Watched(informer, self._group.create_task(informer.run(), name=name))

        def changed(_obj: object) -> None:
            for uid in watched.users:
                self._changed.add(uid)
                self._wake(uid)

        informer.on_change(changed)
        return watched

    async def sources(self, pod: v1.Pod) -> Sources:
        """The present objects. What the watch does not show (yet) is asked for once, so that a pod made right after its
        ConfigMap finds it."""
        config_maps: dict[str, v1.ConfigMap | None] = {}
        secrets: dict[str, v1.Secret | None] = {}
        for reference in sorted(self._held.get(pod.metadata.uid, ())):
            watched = self._watched[reference]
            try:
                async with asyncio.timeout(SYNC_LIMIT):
                    await watched.informer.synced()
            except TimeoutError:
                text = f"failed to sync {reference.kind.lower()} cache: timed out waiting for the condition"
                raise TimeoutError(text) from None
            found = watched.informer.get(reference.namespace, reference.name)
            if found is None:
                found = await self._get(reference)
            if reference.kind == "ConfigMap":
                config_maps[reference.name] = found
            else:
                secrets[reference.name] = found
        return Sources(config_maps, secrets)

    async def _get(self, reference: Reference) -> Any:
        kind: type[Any] = v1.ConfigMap if reference.kind == "ConfigMap" else v1.Secret
        try:
            return await self._client.get(kind, reference.name, namespace=reference.namespace)
        except NotFound:
            return None
