"""Sees to it that a container's image is on the node: pull policy, back-off, events and waiting reasons."""

from __future__ import annotations

import re
from typing import Protocol

from minikube_agents.kubelet.backoff import Backoff
from minikube_agents.kubelet.observations import Problem
from minikube_agents.runtime.contract import Image, ImageNotFound, Runtime
from minikube_api.meta import durations
from minikube_api.meta.times import Clock

#: a reference: [registry[:port]/]path[:tag][@digest]
_REFERENCE = re.compile(
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d+)?/)?"
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
    r"(?::[\w][\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)


#: seconds that ErrImagePull stands before ImagePullBackOff takes its place
ERROR_SHOWN = 2.0


class ImageProblem(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class Tell(Protocol):
    def __call__(self, type: str, reason: str, message: str) -> None: ...


async def ensure(
    runtime: Runtime,
    image: str,
    policy: str,
    *,
    backoff: Backoff,
    clock: Clock,
    tell: Tell,
    failed_at: float = 0.0,
    why: str = "",
) -> Image:
    """The image, pulled if the policy asks for it. Raises ImageProblem with a time to try again.

    `failed_at`: when the last pull failed (epoch seconds), `why`: with which message.
    """
    if not _REFERENCE.fullmatch(image):
        text = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}": invalid reference format'
        tell("Warning", "InspectFailed", text)
        raise ImageProblem(Problem("InvalidImageName", text, clock.time() + 60))
    present = await runtime.image_status(image)
    if present is not None and policy != "Always":
        tell("Normal", "Pulled", f'Container image "{image}" already present on machine and can be accessed by the pod')
        return present
    if policy == "Never":
        text = f'Container image "{image}" is not present with pull policy of Never'
        tell("Warning", "ErrImageNeverPull", text)
        raise ImageProblem(Problem("ErrImageNeverPull", text, clock.time() + 60))
    left = backoff.wait(image, since=failed_at, now=clock.time())
    if left > 0:
        text = f'Back-off pulling image "{image}"' + (f": ErrImagePull: {why}" if why else "")
        tell("Normal", "BackOff", f'Back-off pulling image "{image}"')
        tell("Warning", "Failed", "Error: ImagePullBackOff")
        raise ImageProblem(Problem("ImagePullBackOff", text, clock.time() + left))
    tell("Normal", "Pulling", f'Pulling image "{image}"')
    started = clock.monotonic()
    try:
        pulled = await runtime.pull_image(image)
    except ImageNotFound as error:
        backoff.next(image, now=clock.time())
        text = str(error)
        tell("Warning", "Failed", f'Failed to pull image "{image}": {text}')
        tell("Warning", "Failed", "Error: ErrImagePull")
        raise ImageProblem(Problem("ErrImagePull", text, clock.time() + ERROR_SHOWN)) from error
    backoff.reset(image)
    took = durations.format(round(clock.monotonic() - started, 3))
    size = f" Image size: {pulled.size} bytes." if pulled.size else ""
    tell("Normal", "Pulled", f'Successfully pulled image "{image}" in {took} ({took} including waiting).{size}')
    return pulled
