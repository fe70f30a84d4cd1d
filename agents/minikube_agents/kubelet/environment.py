"""A container's environment: service variables, envFrom, env with valueFrom, `$(VAR)`. Pure over objects fetched before.

Source: the kubelet's documented order: service variables are visible to expansion and lose against the container's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from minikube_agents.kubelet import downward, service_environment
from minikube_agents.kubelet.downward import Surroundings
from minikube_agents.kubelet.expansion import expand
from minikube_agents.kubelet.pods import AnyContainer
from minikube_api.meta import names
from minikube_api.schema.typed import core_v1 as v1


class ConfigError(Exception):
    """CreateContainerConfigError: what the container's configuration refers to is not there."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The ConfigMaps and Secrets of the pod's namespace that it refers to; None = does not exist."""

    config_maps: Mapping[str, v1.ConfigMap | None] = field(default_factory=dict)
    secrets: Mapping[str, v1.Secret | None] = field(default_factory=dict)


def variables(
    pod: v1.Pod,
    container: AnyContainer,
    *,
    sources: Sources,
    services: Iterable[v1.Service],
    around: Surroundings,
    read_file: Callable[[str, str], bytes | None] = lambda _volume, _path: None,
) -> dict[str, str]:
    """Raises ConfigError. `read_file(volume, path)` reads from a volume of the pod (fileKeyRef, KEP-3721)."""
    links = pod.spec.enableServiceLinks is not False
    service_env = service_environment.variables(services, pod.metadata.namespace, links=links)
    env: dict[str, str] = {}
    for source in container.envFrom:
        env |= _from(pod, source, sources)

    def lookup(name: str) -> str | None:
        return env.get(name, service_env.get(name))

    for one in container.env:
        if one.valueFrom is None:
            env[one.name] = expand(one.value or "", lookup)
            continue
        value = _value_from(pod, container, one.valueFrom, sources, around, read_file)
        if value is not None:
            env[one.name] = value
    return service_env | env


def _from(pod: v1.Pod, source: v1.EnvFromSource, sources: Sources) -> dict[str, str]:
    prefix = source.prefix or ""
    if source.configMapRef is not None:
        name = source.configMapRef.name or ""
        found = sources.config_maps.get(name)
        if found is None:
            if source.configMapRef.optional:
                return {}
            raise ConfigError(f'configmap "{name}" not found')
        data: dict[str, str] = dict(found.data)
    elif source.secretRef is not None:
        name = source.secretRef.name or ""
        secret = sources.secrets.get(name)
        if secret is None:
            if source.secretRef.optional:
                return {}
            raise ConfigError(f'secret "{name}" not found')
        data = {key: value.decode(errors="surrogateescape") for key, value in secret.data.items()}
    else:
        return {}
    return {prefix + key: value for key, value in data.items() if not names.env_var_name(prefix + key)}


def _value_from(
    pod: v1.Pod,
    container: AnyContainer,
    source: v1.EnvVarSource,
    sources: Sources,
    around: Surroundings,
    read_file: Callable[[str, str], bytes | None],
) -> str | None:
    """None: an optional source that is not there; the variable is left out."""
    namespace = pod.metadata.namespace
    if (ref := source.configMapKeyRef) is not None:
        found = sources.config_maps.get(ref.name or "")
        if found is None:
            return _absent(ref.optional, f'configmap "{ref.name}" not found')
        if ref.key not in found.data:
            return _absent(ref.optional, f"couldn't find key {ref.key} in ConfigMap {namespace}/{ref.name}")
        return found.data[ref.key]
    if (ref := source.secretKeyRef) is not None:
        secret = sources.secrets.get(ref.name or "")
        if secret is None:
            return _absent(ref.optional, f'secret "{ref.name}" not found')
        if ref.key not in secret.data:
            return _absent(ref.optional, f"couldn't find key {ref.key} in Secret {namespace}/{ref.name}")
        return secret.data[ref.key].decode(errors="surrogateescape")
    try:
        if source.fieldRef is not None:
            return downward.field_value(pod, source.fieldRef.fieldPath, around)
        if source.resourceFieldRef is not None:
            return downward.resource_value(pod, source.resourceFieldRef, around, container.name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    if (file_ref := source.fileKeyRef) is not None:
        body = read_file(file_ref.volumeName, file_ref.path)
        value = parse_env_file(body).get(file_ref.key) if body is not None else None
        if value is None:
            text = f"environment variable key {file_ref.key!r} not found in file {file_ref.path!r}".replace("'", '"')
            return _absent(file_ref.optional, text)
        return value
    return ""


def _absent(optional: bool | None, message: str) -> None:
    if not optional:
        raise ConfigError(message)


def parse_env_file(body: bytes) -> dict[str, str]:
    """`KEY='value'` lines, comments and blank lines (the form of KEP-3721)."""
    env: dict[str, str] = {}
    for line in body.decode(errors="replace").splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#") or "=" not in stripped:
            continue
        key, _, value = stripped.partition("=")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        env[key.strip()] = value
    return env
