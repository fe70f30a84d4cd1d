"""`minictl apply` and `minictl delete`: manifests from files, folders and standard input."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from minikube_api.client import paths
from minikube_api.client.raw import PATCH_TYPES
from minikube_api.meta.errors import NotFound
from minikube_py.cli.connection import Connection, ResourceInfo, connected

FIELD_MANAGER = "minictl"


def read_manifests(files: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Objects of YAML or JSON files, folders (their *.yaml, *.yml, *.json, sorted) and `-`; v1 Lists are unfolded."""
    import yaml

    for name in files:
        if name == "-":
            sources = [("standard input", sys.stdin.read())]
        else:
            path = Path(name)
            if not path.exists():
                raise click.ClickException(f'the path "{name}" does not exist')
            chosen = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml", ".json")) if path.is_dir() else [path]
            sources = [(str(p), p.read_text()) for p in chosen]
        for source, text in sources:
            try:
                trees = list(yaml.safe_load_all(text))
            except yaml.YAMLError as error:
                raise click.ClickException(f"error parsing {source}: {' '.join(str(error).split())}") from error
            for tree in trees:
                if tree is not None:
                    yield from _objects(tree, source)


def _objects(tree: Any, source: str) -> Iterator[dict[str, Any]]:
    if not isinstance(tree, dict) or not tree.get("apiVersion") or not tree.get("kind"):
        raise click.ClickException(f"error validating {source}: apiVersion and kind must be set")
    if tree["kind"] == "List" and tree["apiVersion"] == "v1":
        for item in tree.get("items") or ():
            yield from _objects(item, source)
        return
    if not (tree.get("metadata") or {}).get("name"):
        raise click.ClickException(f"error validating {source}: {tree['kind']} has no metadata.name")
    yield tree


_FILES = click.option("-f", "--filename", "files", multiple=True, metavar="FILE|DIR|-", help="Manifests; may be repeated.")


@click.command()
@_FILES
@click.option("--force-conflicts", is_flag=True, help="Take over fields that other managers own.")
@click.option("--dry-run", is_flag=True, help="Let the server check it without keeping it.")
@connected
async def apply(connection: Connection, files: tuple[str, ...], force_conflicts: bool, dry_run: bool) -> int:
    """Create or change objects by server-side apply."""
    if not files:
        raise click.UsageError("must specify --filename")
    query = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict", **({"dryRun": "All"} if dry_run else {})}
    if force_conflicts:
        query["force"] = "true"
    for tree in read_manifests(files):
        info, path = await _locate(connection, tree)
        before = await _version(connection, path)
        response = await connection.raw.send(
            "PATCH", path, query=query, headers={"content-type": PATCH_TYPES["apply"]}, body=orjson.dumps(tree)
        )
        after = orjson.loads(response.body)["metadata"].get("resourceVersion", "")
        outcome = "created" if response.status == 201 else "unchanged" if after == before else "configured"
        click.echo(f"{info.shown}/{tree['metadata']['name']} {outcome}{' (server dry run)' if dry_run else ''}")
    return 0


async def _locate(connection: Connection, tree: dict[str, Any]) -> tuple[ResourceInfo, str]:
    info = await connection.by_kind(tree["apiVersion"], tree["kind"])
    namespace = tree["metadata"].get("namespace") or connection.namespace
    return info, info.path(namespace, tree["metadata"]["name"])


async def _version(connection: Connection, path: str) -> str:
    try:
        return (await connection.raw.get(path))["metadata"].get("resourceVersion", "")
    except NotFound:
        return ""


@click.command()
@click.argument("what", nargs=-1, metavar="[TYPE NAME... | TYPE/NAME...]")
@_FILES
@click.option("-l", "--selector", default="", help="Label selector.")
@click.option("--all", "everything", is_flag=True, help="All objects of the type in the namespace.")
@click.option("--cascade", type=click.Choice(["background", "foreground", "orphan"]), default="background", show_default=True)
@click.option("--grace-period", type=int, default=None, metavar="SECONDS", help="Seconds a pod gets to end.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until they are gone.")
@connected
async def delete(
    connection: Connection,
    what: tuple[str, ...],
    files: tuple[str, ...],
    selector: str,
    everything: bool,
    cascade: str,
    grace_period: int | None,
    ignore_not_found: bool,
    wait: bool,
) -> int:
    """Delete objects by name, label or manifest."""
    targets: list[tuple[ResourceInfo, str]] = []
    for tree in read_manifests(files):
        info, path = await _locate(connection, tree)
        targets.append((info, path))
    for info, name in await connection.targets(what) if what else ():
        if name:
            targets.append((info, info.path(connection.namespace, name)))
        elif selector or everything:
            tree = await connection.raw.get(info.path(connection.namespace), query=paths.list_query(label_selector=selector))
            targets += [(info, info.path(connection.namespace, item["metadata"]["name"])) for item in tree["items"]]
        else:
            raise click.UsageError("resource(s) were provided, but no name was specified")
    if not what and not files:
        raise click.UsageError("must specify --filename, or a type and names")
    if not targets:
        click.echo("No resources found")
    options: dict[str, Any] = {"propagationPolicy": cascade.capitalize()}
    if grace_period is not None:
        options["gracePeriodSeconds"] = grace_period
    uids: dict[str, str] = {}
    for info, path in targets:
        try:
            answer = await connection.raw.delete(path, options)
        except NotFound:
            if ignore_not_found:
                continue
            raise
        uids[path] = (answer.get("metadata") or {}).get("uid") or (answer.get("details") or {}).get("uid", "")
        click.echo(f'{info.shown} "{path.rsplit("/", 1)[-1]}" deleted')
    for path, uid in uids.items() if wait else ():
        await _gone(connection, path, uid)
    return 0


async def _gone(connection: Connection, path: str, uid: str) -> None:
    """Wait until the object, or its successor of the same name, is another one."""
    while True:
        try:
            current = await connection.raw.get(path)
        except NotFound:
            return
        if uid and current["metadata"]["uid"] != uid:
            return
        await asyncio.sleep(0.2)
