"""The way from a command to the API server: which kubeconfig, which resource is meant, how errors are shown."""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from minikube_api.client import kubeconfig, paths
from minikube_api.client.raw import RawClient
from minikube_api.meta.errors import StatusError
from minikube_py.cluster.layout import Layout, clusters_root, lock_holder

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True, slots=True)
class ResourceInfo:
    """A served resource, as discovery lists it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    names: frozenset[str]
    verbs: frozenset[str]
    categories: frozenset[str]

    @property
    def shown(self) -> str:
        """`deployment.apps`, as kubectl prefixes names."""
        return f"{self.kind.lower()}.{self.group}" if self.group else self.kind.lower()

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        namespace = namespace if self.namespaced else ""
        return paths.resource_path(self.group, self.version, self.plural, namespace=namespace, name=name, subresource=subresource)


class Connection:
    """One command's access to a cluster."""

    def __init__(self, config: kubeconfig.Kubeconfig, namespace: str) -> None:
        self.config = config
        self.namespace = namespace or config.namespace
        self.transport = config.transport()
        self.raw = RawClient(self.transport, user_agent="minictl")
        self._resources: list[ResourceInfo] | None = None

    async def resources(self) -> list[ResourceInfo]:
        """Every resource in its group's preferred version first, core group first."""
        if self._resources is None:
            found: list[ResourceInfo] = []
            for root in ("/api", "/apis"):
                tree = await self.raw.get(root, accept=AGGREGATED)
                for item in tree["items"]:
                    group = item.get("metadata", {}).get("name", "")
                    for version in item["versions"]:
                        found += [_info(group, version["version"], r) for r in version.get("resources", ())]
            self._resources = found
        return self._resources

    async def resource(self, text: str) -> ResourceInfo:
        """`po`, `pods`, `deployments.apps`, `deployments.v1.apps`, `Pod`. Raises ClickException."""
        name, _, rest = text.lower().partition(".")
        for info in await self.resources():
            if name in info.names and rest in ("", info.group, f"{info.version}.{info.group}"):
                return info
        raise click.ClickException(f'the server doesn\'t have a resource type "{text}"')

    async def by_kind(self, api_version: str, kind: str) -> ResourceInfo:
        group, _, version = api_version.rpartition("/")
        for info in await self.resources():
            if (info.group, info.version, info.kind) == (group, version, kind):
                return info
        raise click.ClickException(f'no matches for kind "{kind}" in version "{api_version}"')

    async def targets(self, words: tuple[str, ...]) -> list[tuple[ResourceInfo, str]]:
        """`pods`, `pod a b`, `pod/a svc/b`, `pods,services`, `all`: resources with names; "" means all of the resource."""
        if not words:
            raise click.UsageError("You must specify the type of resource")
        if any("/" in word for word in words):
            pairs = [word.split("/", 1) for word in words]
            if any(len(pair) != 2 or not all(pair) for pair in pairs):
                raise click.UsageError(
                    "there is no need to specify a resource type as a separate argument when passing arguments in TYPE/NAME form"
                )
            return [(await self.resource(kind), name) for kind, name in pairs]
        infos = []
        for text in words[0].split(","):
            category = [r for r in await self.resources() if text in r.categories and "list" in r.verbs]
            infos += category or [await self.resource(text)]
        return [(info, name) for info in infos for name in (words[1:] or ("",))]


def _info(group: str, version: str, tree: dict[str, Any]) -> ResourceInfo:
    names = {
        tree["resource"],
        tree.get("singularResource", ""),
        tree["responseKind"]["kind"].lower(),
        *tree.get("shortNames", ()),
    }
    return ResourceInfo(
        group=group,
        version=version,
        plural=tree["resource"],
        kind=tree["responseKind"]["kind"],
        namespaced=tree["scope"] == "Namespaced",
        names=frozenset(names - {""}),
        verbs=frozenset(tree.get("verbs", ())),
        categories=frozenset(tree.get("categories", ())),
    )


def config_for(path: str | None, cluster: str | None) -> kubeconfig.Kubeconfig:
    """--kubeconfig, --cluster, $KUBECONFIG, the one cluster of this user that runs, ~/.kube/config; in this order. Raises ValueError."""
    if path:
        return kubeconfig.load(path)
    if cluster:
        return kubeconfig.load(Layout(clusters_root() / cluster).kubeconfig)
    if os.environ.get("KUBECONFIG"):
        return kubeconfig.load()
    running = [layout for p in sorted(clusters_root().glob("*")) if lock_holder(layout := Layout(p)) is not None]
    if len(running) == 1:
        return kubeconfig.load(running[0].kubeconfig)
    if len(running) > 1:
        raise ValueError(f"several clusters run ({', '.join(r.data.name for r in running)}): choose one with --cluster NAME")
    if not (Path.home() / ".kube" / "config").exists():
        raise ValueError("no cluster runs and there is no kubeconfig: start one with `minictl up`, or name one with --kubeconfig")
    return kubeconfig.load()


def describe_error(error: Exception) -> str:
    """One line, as kubectl words it."""
    if isinstance(error, StatusError):
        reason = error.status_reason
        return f"Error from server ({reason}): {error.message}" if reason else f"Error from server: {error.message}"
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    return str(error) or type(error).__name__


def connected(function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """A click command with the options of every API command; `function` gets a Connection first."""

    @click.option("--kubeconfig", metavar="FILE", default=None, help="Use this kubeconfig.")
    @click.option("--cluster", metavar="NAME", default=None, help="Use the cluster that `up --name NAME` made.")
    @click.option("-n", "--namespace", default="", help="The namespace [default: that of the kubeconfig].")
    @functools.wraps(function)
    def command(kubeconfig: str | None, cluster: str | None, namespace: str, **options: Any) -> None:
        async def call() -> Any:
            connection = Connection(config_for(kubeconfig, cluster), namespace)
            try:
                return await function(connection, **options)
            finally:
                await connection.transport.close()

        try:
            code = asyncio.run(call())
        except click.ClickException:
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        except (StatusError, OSError, ValueError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise click.ClickException(describe_error(error)) from error
        if code:
            raise click.exceptions.Exit(code)

    return command
