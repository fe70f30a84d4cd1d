"""Leader election over a coordination.k8s.io Lease, with client-go's rules (tools/leaderelection).

A candidate takes the lease when nobody holds it or when the holder's record has not changed for `lease_duration` by the
candidate's own clock (clocks of machines are never compared). The leader renews every `retry_period` and steps down when it
could not for `renew_deadline`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from minikube_api.client.client import Client
from minikube_api.meta import times
from minikube_api.meta.errors import NotFound, StatusError
from minikube_api.meta.times import SYSTEM, Clock
from minikube_api.schema.typed.coordination_v1 import Lease, LeaseSpec
from minikube_api.schema.typed.meta_v1 import ObjectMeta

log = logging.getLogger(__name__)

#: Waits between tries are stretched by up to this factor more, so that candidates do not move in step.
JITTER: Final = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class ElectionOptions:
    """Seconds. `lease_duration` > `renew_deadline` > 1.2 * `retry_period`, as client-go demands."""

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    release_on_cancel: bool = True

    def __post_init__(self) -> None:
        if self.lease_duration < 1:
            raise ValueError("leaseDuration must be greater than zero")
        if self.lease_duration <= self.renew_deadline:
            raise ValueError("leaseDuration must be greater than renewDeadline")
        if self.renew_deadline <= JITTER * self.retry_period:
            raise ValueError("renewDeadline must be greater than retryPeriod*JitterFactor")


class LeadershipLost(Exception):
    """The lease could not be renewed in time; what was led has been cancelled."""


class LeaderElector:
    """One candidate. `identity` must be unique among candidates (client-go: hostname_uuid)."""

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        identity: str,
        namespace: str = "kube-system",
        options: ElectionOptions | None = None,
        clock: Clock = SYSTEM,
        random: Callable[[], float] = random.random,
        on_new_leader: Callable[[str], None] | None = None,
    ) -> None:
        self.identity = identity
        self._client = client
        self._name = name
        self._namespace = namespace
        self._options = options or ElectionOptions()
        self._clock = clock
        self._random = random
        self._on_new_leader = on_new_leader
        self._observed: Lease | None = None
        self._observed_at = 0.0
        self._reported = ""

    @property
    def is_leader(self) -> bool:
        return self.leader == self.identity

    @property
    def leader(self) -> str:
        """Identity of the last leader seen, or ""."""
        return (self._observed.spec.holderIdentity if self._observed else "") or ""

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run `lead()`; returns when it returns. Raises LeadershipLost after cancelling it.

        When cancelled while leading, `lead()` is cancelled first and then the lease released, so the next leader need not wait.
        """
        await self._acquire()
        log.info("%s became leader of %s/%s", self.identity, self._namespace, self._name)
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew(), name=f"renew lease {self._name}")
                await lead()
                renewing.cancel()
        except BaseExceptionGroup as group:
            # not `except*`: what is raised inside one comes out in a group of its own before Python 3.11.5
            lost, others = group.split(LeadershipLost)
            if lost is None or others is not None:
                raise
            raise LeadershipLost(str(lost.exceptions[0])) from None
        finally:
            if self._options.release_on_cancel and self.is_leader:
                await self._release()

    async def _acquire(self) -> None:
        while not await self._try():
            await self._clock.sleep(self._options.retry_period * (1 + JITTER * self._random()))

    async def _renew(self) -> None:
        renewed = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._options.retry_period)
            if await self._try():
                renewed = self._clock.monotonic()
            elif not self.is_leader or self._clock.monotonic() - renewed >= self._options.renew_deadline:
                raise LeadershipLost(f"failed to renew lease {self._namespace}/{self._name}: timed out waiting for the condition")

    async def _try(self) -> bool:
        """One try to take or renew. Errors of the API count as a failed try."""
        try:
            async with asyncio.timeout(self._options.renew_deadline / 2):
                return await self._acquire_or_renew()
        except (StatusError, OSError) as error:
            log.warning("error retrieving or updating lease %s/%s: %s", self._namespace, self._name, error)
            return False

    async def _acquire_or_renew(self) -> bool:
        now = times.now_micro(self._clock)
        spec = LeaseSpec(
            holderIdentity=self.identity,
            leaseDurationSeconds=int(self._options.lease_duration),
            acquireTime=now,
            renewTime=now,
            leaseTransitions=0,
        )
        if self._observed is not None and self.is_leader and self._valid():
            # Nobody else may have written: skip the read (client-go's fast path). A conflict leads to the slow one.
            try:
                await self._write(self._observed, self._renewed(self._observed, spec))
                return True
            except StatusError as error:
                log.debug("optimistic renewal failed: %s", error)
        try:
            current = await self._client.get(Lease, self._name, namespace=self._namespace)
        except NotFound:
            metadata = ObjectMeta(name=self._name, namespace=self._namespace)
            self._observe(await self._client.create(Lease(metadata=metadata, spec=spec)))
            return True
        if self._observed is None or current.spec != self._observed.spec:
            self._observe(current)
        else:
            self._observed = current
        holder = current.spec.holderIdentity or ""
        if holder and holder != self.identity and self._valid():
            return False
        await self._write(current, self._renewed(current, spec))
        return True

    def _valid(self) -> bool:
        """Whether the observed record has changed within its lease duration."""
        assert self._observed is not None
        seconds = self._observed.spec.leaseDurationSeconds or 0
        return self._observed_at + seconds > self._clock.monotonic()

    def _renewed(self, current: Lease, spec: LeaseSpec) -> LeaseSpec:
        transitions = current.spec.leaseTransitions or 0
        if current.spec.holderIdentity == self.identity:
            return replace(spec, acquireTime=current.spec.acquireTime, leaseTransitions=transitions)
        return replace(spec, leaseTransitions=transitions + 1)

    async def _write(self, current: Lease, spec: LeaseSpec) -> None:
        self._observe(await self._client.update(replace(current, spec=spec)))

    def _observe(self, lease: Lease) -> None:
        self._observed = lease
        self._observed_at = self._clock.monotonic()
        if self.leader != self._reported:
            self._reported = self.leader
            if self._on_new_leader is not None:
                self._on_new_leader(self.leader)

    async def _release(self) -> None:
        assert self._observed is not None
        now = times.now_micro(self._clock)
        released = LeaseSpec(
            leaseDurationSeconds=1,
            renewTime=now,
            acquireTime=now,
            leaseTransitions=self._observed.spec.leaseTransitions or 0,
        )
        try:
            await self._write(self._observed, released)
        except (StatusError, OSError) as error:
            log.warning("failed to release lease %s/%s: %s", self._namespace, self._name, error)
