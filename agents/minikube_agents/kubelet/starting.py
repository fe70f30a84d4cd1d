"""Starts sandboxes and containers: volumes, files, image, environment, runtime calls, postStart. Failures become `Problem`s and events."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from minikube_agents.kubelet import admission, environment, hooks, images, launching, pod_files, pods, references
from minikube_agents.kubelet.downward import Surroundings
from minikube_agents.kubelet.environment import ConfigError, Sources
from minikube_agents.kubelet.hosting import Host
from minikube_agents.kubelet.images import ImageProblem
from minikube_agents.kubelet.observations import Memory, Observed, Problem
from minikube_agents.kubelet.pods import Member
from minikube_agents.kubelet.terminating import field_path
from minikube_agents.kubelet.volumes.mounting import VolumeFailure, mounts, pod_directory, read_only_volumes
from minikube_agents.runtime.contract import ContainerConfig, Image, Mount, RuntimeError_, SandboxStatus
from minikube_api.meta.errors import NotFound, StatusError
from minikube_api.schema.typed import core_v1 as v1

log = logging.getLogger(__name__)

#: seconds before what failed by configuration is tried again (the kubelet's sync period has jitter; changes wake it earlier)
RETRY = 10.0
FIRST_POD_RETRY, LAST_POD_RETRY = 0.5, 120.0


class Starter:
    """Starts of one pod."""

    def __init__(self, host: Host, memory: Memory) -> None:
        self._host = host
        self._memory = memory
        self.places: dict[str, Path] = {}
        self._sources = Sources()
        self.failures = 0

    # the pod

    async def create_sandbox(self, pod: v1.Pod, attempt: int) -> str | None:
        """The id of a new ready sandbox; None when volumes or the RuntimeClass are in the way (told already)."""
        host = self._host
        if host.references is not None:
            host.references.hold(pod.metadata.uid, references.of(pod))
        refused = admission.unsupported(pod)
        if refused:
            self.pod_problem(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {refused}")
            return None
        if not await self._runtime_class_known(pod) or not await self._set_up_volumes(pod, self._around(pod, ())):
            return None
        hostname = pods.hostname(pod, host.facts.name)
        if pod.spec.setHostnameAsFQDN:
            hostname = pod_files.domain_name(pod, hostname, host.cluster_dns.domain) or hostname
        config = launching.sandbox_config(
            pod,
            attempt=attempt,
            logs=host.options.logs,
            dns=pod_files.dns_config(pod, host.cluster_dns, host.node_dns),
            hostname=hostname,
        )
        return await host.runtime.run_sandbox(config)

    async def _runtime_class_known(self, pod: v1.Pod) -> bool:
        name = pod.spec.runtimeClassName
        if not name:
            return True
        try:
            found = await self._host.client.raw.get(f"/apis/node.k8s.io/v1/runtimeclasses/{name}")
        except NotFound:
            text = f'failed to get sandbox runtime: RuntimeClass "{name}" not found'
        else:
            handler = found["handler"]
            if handler in self._host.options.runtime_handlers or handler == self._host.runtime.name:
                return True
            text = f'failed to get sandbox runtime: no runtime for "{handler}" is configured'
        self.pod_problem(pod, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {text}")
        return False

    async def _set_up_volumes(self, pod: v1.Pod, around: Surroundings) -> bool:
        host = self._host
        if host.volumes is None or host.references is None:
            return True
        try:
            self._sources = await host.references.sources(pod)
            self.places = await host.volumes.set_up(pod, self._sources, around, host.clock.time())
        except (VolumeFailure, StatusError, OSError) as error:
            self.pod_problem(pod, "FailedMount", str(error))
            return False
        return True

    async def refresh_volumes(self, pod: v1.Pod, observed: Observed) -> None:
        """Running pods follow their ConfigMaps, Secrets, annotations and token renewals."""
        host = self._host
        if host.volumes is None or host.references is None or observed.sandbox is None:
            return
        if not pod.spec.volumes and self.places == {}:
            return
        host.references.hold(pod.metadata.uid, references.of(pod))
        try:
            self._sources = await host.references.sources(pod)
            around = self._around(pod, observed.sandbox.ips)
            self.places = await host.volumes.set_up(pod, self._sources, around, host.clock.time())
        except (VolumeFailure, StatusError, OSError) as error:
            host.recorder.event(pod, "Warning", "FailedMount", str(error))

    def pod_problem(self, pod: v1.Pod, reason: str, message: str) -> None:
        """The pod can't start yet: event, and another try later."""
        self._host.recorder.event(pod, "Warning", reason, message)
        delay = min(FIRST_POD_RETRY * 2**self.failures, LAST_POD_RETRY)
        self.failures += 1
        self._memory.problems[""] = Problem(reason, message, self._host.clock.time() + delay)

    def _around(self, pod: v1.Pod, pod_ips: tuple[str, ...]) -> Surroundings:
        ips = self._host.facts.host_ips if pods.host_network(pod) else pod_ips
        return Surroundings(ips, self._host.facts.host_ips, self._host.allocatable())

    # a container

    async def start(self, pod: v1.Pod, sandbox: SandboxStatus, one: Member, attempt: int, target_id: str) -> None:
        """Ends with the container running, or with a problem remembered."""
        problems, clock = self._memory.problems, self._host.clock
        path = field_path(pod, one.name)
        try:
            image = await self._image(pod, one, path)
            config = await self._config(pod, sandbox, one, attempt, image, target_id)
        except ImageProblem as error:
            problems[one.name] = error.problem
            return
        except (ConfigError, OSError, StatusError) as error:
            self._failed(pod, one, "CreateContainerConfigError", str(error), path)
            return
        try:
            container_id = await self._host.runtime.create_container(sandbox.id, config)
        except RuntimeError_ as error:
            reason = error.reason if error.reason.startswith("CreateContainer") else "CreateContainerError"
            self._failed(pod, one, reason, str(error), path)
            return
        self._host.recorder.event(pod, "Normal", "Created", "Container created", field_path=path)
        hook = one.container.lifecycle.postStart if one.container.lifecycle is not None else None
        if hook is not None:
            self._memory.hooks.add(container_id)
        try:
            await self._host.runtime.start_container(container_id)
        except RuntimeError_ as error:
            self._memory.hooks.discard(container_id)
            self._host.recorder.event(pod, "Warning", "Failed", f"Error: {error}", field_path=path)
            status = await self._host.runtime.container_status(container_id)
            # An ended container backs off by its restart policy; one that the runtime left unstarted waits here.
            retry_at = clock.time() + (0.0 if status.state == "exited" else RETRY)
            problems[one.name] = Problem("RunContainerError", str(error), retry_at)
            return
        problems.pop(one.name, None)
        self._host.recorder.event(pod, "Normal", "Started", "Container started", field_path=path)
        if config.cpu_limit or config.memory_limit:
            for text in getattr(self._host.runtime, "warnings", ()):
                self._host.recorder.event(pod, "Warning", "LimitsNotEnforced", text, field_path=path)
        self._memory.actual[one.name] = self._memory.allocated.get(one.name, one.container.resources)
        if hook is not None:
            name = f"kubelet: postStart of {one.name} in {pods.full_name(pod)}"
            self._host.group.create_task(self._post_start(pod, one, container_id, hook), name=name)

    def _failed(self, pod: v1.Pod, one: Member, reason: str, message: str, path: str) -> None:
        self._host.recorder.event(pod, "Warning", "Failed", f"Error: {message}", field_path=path)
        self._memory.problems[one.name] = Problem(reason, message, self._host.clock.time() + RETRY)

    async def _image(self, pod: v1.Pod, one: Member, path: str) -> Image:
        def tell(type: str, reason: str, message: str) -> None:
            self._host.recorder.event(pod, type, reason, message, field_path=path)

        memory, name = self._memory, one.container.image or ""
        failed_at, why = memory.failed_pulls.get(name, (0.0, ""))
        try:
            return await images.ensure(
                self._host.runtime, name, one.container.imagePullPolicy or "IfNotPresent",
                backoff=memory.pulls, clock=self._host.clock, tell=tell, failed_at=failed_at, why=why,
            )  # fmt: skip
        except ImageProblem as error:
            if error.problem.reason == "ErrImagePull":
                memory.failed_pulls[name] = (self._host.clock.time(), error.problem.message)
            raise

    async def _config(
        self, pod: v1.Pod, sandbox: SandboxStatus, one: Member, attempt: int, image: Image, target_id: str
    ) -> ContainerConfig:
        host = self._host
        refused = admission.unsupported_in(one)
        if refused:
            raise ConfigError(refused)
        granted = self._memory.allocated.get(one.name, one.container.resources)
        if host.volumes is None or host.references is None:
            return launching.container_config(
                pod, one, attempt=attempt, image=image, variables={}, mounts=(), target_id=target_id, resources=granted,
                termination_file=Path("/dev/null"),
            )  # fmt: skip
        around = self._around(pod, sandbox.ips)
        host.references.hold(pod.metadata.uid, references.of(pod))
        try:
            self._sources = await host.references.sources(pod)
            self.places = await host.volumes.set_up(pod, self._sources, around, host.clock.time())
        except VolumeFailure as error:
            raise ConfigError(str(error)) from error
        volumes = host.volumes
        variables = environment.variables(
            pod, one.container, sources=self._sources, services=host.services(), around=around,
            read_file=lambda volume, path: volumes.read_file(self.places, volume, path),
        )  # fmt: skip
        found = mounts(one.container, self.places, variables, read_only_volumes(pod))
        found += self._managed_files(pod, one, sandbox, found)
        return launching.container_config(
            pod, one, attempt=attempt, image=image, variables=variables, mounts=found, target_id=target_id,
            termination_file=self._termination_file(pod, one, attempt), resources=granted,
        )  # fmt: skip

    def _managed_files(self, pod: v1.Pod, one: Member, sandbox: SandboxStatus, found: list[Mount]) -> list[Mount]:
        """/etc/hosts, unless the container mounts something there itself."""
        if any(mount.container_path.rstrip("/") == "/etc/hosts" for mount in found):
            return []
        file = pod_directory(self._host.options.root, pod.metadata.uid) / "etc-hosts"
        if pods.host_network(pod):
            text = pod_files.host_network_hosts(pod, Path("/etc/hosts").read_text())
        else:
            hostname = pods.hostname(pod, self._host.facts.name)
            text = pod_files.etc_hosts(pod, sandbox.ips, hostname, self._host.cluster_dns.domain)
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
            file.chmod(0o644)
        return [Mount(host_path=str(file), container_path="/etc/hosts")]

    def _termination_file(self, pod: v1.Pod, one: Member, attempt: int) -> Path:
        directory = pod_directory(self._host.options.root, pod.metadata.uid) / "containers" / one.name
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / f"{attempt}"
        file.write_bytes(b"")
        file.chmod(0o666)
        return file

    async def _post_start(self, pod: v1.Pod, one: Member, container_id: str, hook: v1.LifecycleHandler) -> None:
        """A failed hook ends its container; policy decides what then."""
        memory, host = self._memory, self._host
        try:
            status = await host.runtime.container_status(container_id)
            await hooks.run(host, pod, status, hook)
        except (hooks.HookFailed, RuntimeError_) as error:
            host.recorder.event(
                pod, "Warning", "FailedPostStartHook", f"PostStartHook failed: {error}", field_path=field_path(pod, one.name)
            )
            memory.condemned[container_id] = "FailedPostStartHook"
        except asyncio.CancelledError:
            memory.hooks.discard(container_id)
            raise
        memory.hooks.discard(container_id)
        host.wake(pod.metadata.uid)
