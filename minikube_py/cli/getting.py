"""`minictl get` and `minictl describe`: any resource, as the server renders it."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import click
import orjson

from minikube_api.client import paths
from minikube_api.client.raw import RawClient
from minikube_py.cli import describing, printing
from minikube_py.cli.connection import Connection, ResourceInfo, connected


@click.command()
@click.argument("what", nargs=-1, metavar="TYPE[,TYPE] [NAME...] | TYPE/NAME...")
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json", "yaml", "name"]), default="table", help="How to show them."
)
@click.option("-l", "--selector", default="", help="Label selector.")
@click.option("--field-selector", default="", help="Field selector.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@click.option("-w", "--watch", is_flag=True, help="Go on with changes.")
@click.option("--show-labels", is_flag=True, help="Add the labels as a column.")
@click.option("--no-headers", is_flag=True, help="Rows only.")
@connected
async def get(
    connection: Connection,
    what: tuple[str, ...],
    output: str,
    selector: str,
    field_selector: str,
    all_namespaces: bool,
    watch: bool,
    show_labels: bool,
    no_headers: bool,
) -> int:
    """Show objects."""
    targets = await connection.targets(what)
    query = paths.list_query(label_selector=selector, field_selector=field_selector)
    namespace = "" if all_namespaces else connection.namespace
    if watch:
        if len(targets) != 1:
            raise click.UsageError("you may only watch a single resource or type of resource at a time")
        return await _watch(connection, *targets[0], namespace, query, output, show_labels)
    if output in ("table", "wide"):
        return await _tables(connection.raw, targets, namespace, query, output == "wide", show_labels, not no_headers)
    objects: list[dict[str, Any]] = []
    single = len(targets) == 1 and bool(targets[0][1])
    for info, name in targets:
        tree = await connection.raw.get(info.path(namespace, name), query=query if not name else None)
        items = tree["items"] if not name else [tree]
        objects += [{"apiVersion": _api_version(info), "kind": info.kind, **item} for item in items]
        if output == "name":
            printing.echo([f"{info.shown}/{item['metadata']['name']}" for item in items])
    if output != "name":
        click.echo(printing.document(objects, output, single=single))
    return 0


def _api_version(info: ResourceInfo) -> str:
    return f"{info.group}/{info.version}" if info.group else info.version


async def _tables(
    raw: RawClient,
    targets: list[tuple[ResourceInfo, str]],
    namespace: str,
    query: dict[str, str],
    wide: bool,
    labels: bool,
    header: bool,
) -> int:
    """One table a resource, names merged into one; several resources are prefixed as kubectl does."""
    by_resource: dict[ResourceInfo, list[str]] = {}
    for info, name in targets:
        by_resource.setdefault(info, []).append(name)
    shown = False
    for info, names in by_resource.items():
        table: dict[str, Any] = {}
        for name in names:
            one = await raw.get(info.path(namespace, name), query=query if not name else None, accept=printing.TABLE)
            table = {**one, "rows": [*(table.get("rows") or ()), *(one.get("rows") or ())]}
        if not table.get("rows"):
            continue
        printer = printing.TablePrinter(
            wide=wide,
            namespaces=not namespace and info.namespaced,
            prefix=info.shown if len(by_resource) > 1 else "",
            labels=labels,
        )
        if shown:
            click.echo()
        printing.echo(printer.lines(table, header=header))
        shown = True
    if not shown:
        click.echo(
            "No resources found" + (f" in {namespace} namespace." if namespace and targets[0][0].namespaced else ""), err=True
        )
    return 0


async def _watch(
    connection: Connection, info: ResourceInfo, name: str, namespace: str, query: dict[str, str], output: str, labels: bool
) -> int:
    if name:
        query = {**query, "fieldSelector": f"metadata.name={name}"}
    accept = printing.TABLE if output in ("table", "wide") else ""
    printer = printing.TablePrinter(wide=output == "wide", namespaces=not namespace and info.namespaced, labels=labels)
    first = True
    async with aclosing(connection.raw.watch_events(info.path(namespace), query=query, accept=accept)) as events:
        async for event in events:
            obj = orjson.loads(bytes(event.object))
            if event.type == "BOOKMARK":
                continue
            if accept:
                printing.echo(printer.lines(obj, header=first))
                first = False
            elif output == "name":
                click.echo(f"{info.shown}/{obj['metadata']['name']}")
            else:
                click.echo(("---\n" if output == "yaml" else "") + printing.document([obj], output, single=True))
    return 0


@click.command()
@click.argument("what", nargs=-1, metavar="TYPE [NAME...] | TYPE/NAME...")
@click.option("-l", "--selector", default="", help="Label selector.")
@click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")
@connected
async def describe(connection: Connection, what: tuple[str, ...], selector: str, all_namespaces: bool) -> int:
    """Show objects in detail, with their events."""
    namespace = "" if all_namespaces else connection.namespace
    query = paths.list_query(label_selector=selector)
    texts = []
    for info, name in await connection.targets(what):
        tree = await connection.raw.get(info.path(namespace, name), query=query if not name else None)
        for obj in [tree] if name else tree["items"]:
            metadata = obj["metadata"]
            where = metadata.get("namespace", "default")
            selected = {"fieldSelector": f"involvedObject.uid={metadata['uid']}"}
            events = await connection.raw.get(f"/api/v1/namespaces/{where}/events", query=selected)
            texts.append(describing.describe({"kind": info.kind, **obj}, events["items"]))
    if not texts:
        click.echo("No resources found", err=True)
    click.echo("\n\n".join(texts))
    return 0
