"""What a simulated container does, as annotations of its pod tell it:

- `hollow.minikube.dev/exit-after`: seconds until every app container exits (default: never); `.../exit-after.NAME` for one container
- `hollow.minikube.dev/exit-code`: the code it exits with (default 0); `.../exit-code.NAME` for one container
- `hollow.minikube.dev/start-error`: the container can't be started, with this message; `.../start-error.NAME` for one container
- `hollow.minikube.dev/start-delay`: seconds that starting takes
- `hollow.minikube.dev/log`: what the container writes when it starts, `.../log.NAME` for one container

Without `.NAME` an annotation is about app containers; init containers exit with 0 at once unless theirs says otherwise.
What is no number makes the start fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from minikube_agents.runtime.contract import ContainerConfig

PREFIX = "hollow.minikube.dev/"
#: label by which the kubelet tells what a container is (init, sidecar, app, ephemeral)
TYPE_LABEL = "minikube.dev/container-type"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a pod's annotations tell one container to do."""

    exit_after: float | None = None
    exit_code: int = 0
    start_error: str = ""
    start_delay: float = 0.0
    log: str = ""

    @staticmethod
    def of(annotations: Mapping[str, str], container: ContainerConfig) -> Behaviour:
        if not annotations:
            return _DEFAULT
        is_app = container.labels.get(TYPE_LABEL, "app") == "app"

        def told(key: str) -> str | None:
            return annotations.get(f"{PREFIX}{key}.{container.name}", annotations.get(PREFIX + key) if is_app else None)

        after = told("exit-after")
        try:
            return Behaviour(
                exit_after=None if after is None else float(after),
                exit_code=int(told("exit-code") or 0),
                start_error=told("start-error") or "",
                start_delay=float(told("start-delay") or 0),
                log=told("log") or "",
            )
        except ValueError as error:
            return Behaviour(start_error=f"annotations {PREFIX}*: {error}")


_DEFAULT = Behaviour()
