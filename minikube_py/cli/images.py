"""`minictl image`: the images that the nodes of a cluster on this machine can run. The nodes share one store, locked by files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import click

from minikube_agents.network import starting
from minikube_agents.network.cluster import ClusterNetwork
from minikube_agents.network.starting import NetworkError
from minikube_agents.runtime.contract import RuntimeError_
from minikube_agents.runtime.images import ImageStore
from minikube_agents.shim.client import ShimClient, ShimError
from minikube_py.cluster.layout import Layout, clusters_root


def _store(name: str, data_dir: str | None) -> ImageStore:
    layout = Layout(data_dir or clusters_root() / name)
    if not layout.spec.exists():
        raise click.ClickException(f"there is no cluster on {layout.data}")
    return ImageStore(str(layout.images))


def _call(function: Callable[[], Any]) -> Any:
    try:
        result = function()
        return asyncio.run(result) if asyncio.iscoroutine(result) else result
    except (RuntimeError_, NetworkError, ShimError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@asynccontextmanager
async def _shim(name: str, data_dir: str | None) -> AsyncIterator[ShimClient]:
    """A node's shim: files of images belong to the nodes' user namespace, so it does what changes them."""
    layout = Layout(data_dir or clusters_root() / name)
    if starting.find(str(layout.data)) is None:
        raise NetworkError(f"the cluster on {layout.data} is not running, or has no nodes with pods as processes; start it first")
    network = await ClusterNetwork.connect(str(layout.data))
    try:
        nodes = await network.nodes()
        async with ShimClient(next(iter(nodes.values())).shim_path) as shim:
            yield shim
    finally:
        network.close()


def _cluster(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--data-dir", metavar="DIR", default=None, help="The cluster with this data directory.")(function)
    return click.option("--name", default="minikube", show_default=True, help="Name of the cluster.")(function)


@click.group()
def image() -> None:
    """Look after the images that pods can use: import, list, rm, alias."""


@image.command(name="import")
@click.argument("archives", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--tag", default="", help="Give the image this name [default: those in the archive].")
@_cluster
def import_(archives: tuple[str, ...], tag: str, name: str, data_dir: str | None) -> None:
    """Load docker-save or OCI archives."""
    store = _store(name, data_dir)

    async def load() -> None:
        async with _shim(name, data_dir) as shim:
            for archive in archives:
                for loaded in await store.load(shim, archive, tag):
                    click.echo(f"imported {', '.join(loaded.tags) or loaded.id}")

    _call(load)


@image.command(name="list")
@_cluster
def list_(name: str, data_dir: str | None) -> None:
    """List the images."""
    rows = [("IMAGE", "ID", "SIZE")]
    for found in _call(_store(name, data_dir).images):
        rows += [(tag, found.id.removeprefix("sha256:")[:12], f"{found.size / 1e6:.1f} MB") for tag in found.tags or ("<none>",)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    for row in rows:
        click.echo("   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@image.command()
@click.argument("images", nargs=-1, required=True)
@_cluster
def rm(images: tuple[str, ...], name: str, data_dir: str | None) -> None:
    """Remove images by name or id."""
    store = _store(name, data_dir)

    async def remove() -> None:
        async with _shim(name, data_dir) as shim:
            for text in images:
                if store.status(text) is None:
                    raise RuntimeError_(f'image "{text}" not found')
                await store.remove(shim, text)
                click.echo(f"removed {text}")

    _call(remove)


@image.command()
@click.argument("existing")
@click.argument("new")
@_cluster
def alias(existing: str, new: str, name: str, data_dir: str | None) -> None:
    """Let pods use EXISTING under the name NEW too (`host`, the machine's own files, is such an image)."""
    _call(lambda: _store(name, data_dir).alias(existing, new))
    click.echo(f"{new} is {existing}")
