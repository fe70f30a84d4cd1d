"""`minictl scale` and `minictl rollout`: changes to workloads."""

from __future__ import annotations

import datetime
from contextlib import aclosing
from typing import Any

import click
import orjson

from minikube_py.cli.connection import Connection, ResourceInfo, connected

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"


@click.command()
@click.argument("what", nargs=-1, metavar="TYPE/NAME...")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="How many.")
@connected
async def scale(connection: Connection, what: tuple[str, ...], replicas: int) -> int:
    """Set the number of replicas."""
    for info, name in await connection.targets(what):
        if not name:
            raise click.UsageError("a name is needed: TYPE/NAME or TYPE NAME")
        path = info.path(connection.namespace, name, "scale")
        await connection.raw.patch(path, {"spec": {"replicas": replicas}}, query={"fieldManager": "minictl"})
        click.echo(f"{info.shown}/{name} scaled")
    return 0


@click.group()
def rollout() -> None:
    """Follow, restart and take back rollouts."""


def verdict(kind: str, obj: dict[str, Any]) -> tuple[str, bool]:
    """What `rollout status` says of an object and whether it is done. Raises ClickException when it has failed. Pure."""
    spec, status, name = obj.get("spec", {}), obj.get("status", {}), obj["metadata"]["name"]
    if obj["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return f"Waiting for {kind.lower()} spec update to be observed...", False
    wanted = spec.get("replicas", 1)
    if kind == "Deployment":
        for condition in status.get("conditions", ()):
            if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
                raise click.ClickException(f'deployment "{name}" exceeded its progress deadline')
        updated, total, available = (status.get(k, 0) for k in ("updatedReplicas", "replicas", "availableReplicas"))
        start = f'Waiting for deployment "{name}" rollout to finish: '
        if updated < wanted:
            return f"{start}{updated} out of {wanted} new replicas have been updated...", False
        if total > updated:
            return f"{start}{total - updated} old replicas are pending termination...", False
        if available < updated:
            return f"{start}{available} of {updated} updated replicas are available...", False
        return f'deployment "{name}" successfully rolled out', True
    if kind == "DaemonSet":
        wanted, updated, available = (
            status.get(k, 0) for k in ("desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
        )
        start = f'Waiting for daemon set "{name}" rollout to finish: '
        if updated < wanted:
            return f"{start}{updated} out of {wanted} new pods have been updated...", False
        if available < wanted:
            return f"{start}{available} of {wanted} updated pods are available...", False
        return f'daemon set "{name}" successfully rolled out', True
    if kind == "StatefulSet":
        ready = status.get("readyReplicas", 0)
        if ready < wanted:
            return f"Waiting for {wanted - ready} pods to be ready...", False
        if status.get("updateRevision") != status.get("currentRevision"):
            return (
                f"waiting for statefulset rolling update to complete {status.get('updatedReplicas', 0)} pods at revision "
                f"{status.get('updateRevision')}...",
                False,
            )
        return (
            f"statefulset rolling update complete {status.get('currentReplicas', 0)} pods at revision "
            f"{status.get('currentRevision')}...",
            True,
        )
    raise click.ClickException(f"no status viewer has been implemented for {kind}")


async def _one(connection: Connection, what: tuple[str, ...]) -> tuple[ResourceInfo, str]:
    targets = await connection.targets(what)
    if len(targets) != 1 or not targets[0][1]:
        raise click.UsageError("exactly one workload is needed: TYPE/NAME")
    return targets[0]


@rollout.command()
@click.argument("what", nargs=-1, metavar="TYPE/NAME")
@click.option("--timeout", type=float, default=0, metavar="SECONDS", help="Give up after this long [default: never].")
@connected
async def status(connection: Connection, what: tuple[str, ...], timeout: float) -> int:
    """Wait until a rollout has finished."""
    import asyncio

    info, name = await _one(connection, what)
    said = ""
    try:
        async with asyncio.timeout(timeout or None):
            query = {"fieldSelector": f"metadata.name={name}"}
            await connection.raw.get(info.path(connection.namespace, name))
            async with aclosing(connection.raw.watch_events(info.path(connection.namespace), query=query)) as events:
                async for event in events:
                    text, done = verdict(info.kind, orjson.loads(bytes(event.object)))
                    if text != said:
                        click.echo(text)
                        said = text
                    if done:
                        return 0
    except TimeoutError:
        raise click.ClickException("timed out waiting for the condition") from None
    raise click.ClickException("the watch ended before the rollout had finished")


@rollout.command()
@click.argument("what", nargs=-1, metavar="TYPE/NAME")
@connected
async def restart(connection: Connection, what: tuple[str, ...]) -> int:
    """Replace all pods of a workload."""
    info, name = await _one(connection, what)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    annotations = {"kubectl.kubernetes.io/restartedAt": now.replace("+00:00", "Z")}
    patch = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    await connection.raw.patch(info.path(connection.namespace, name), patch, type="strategic", query={"fieldManager": "minictl"})
    click.echo(f"{info.shown}/{name} restarted")
    return 0


async def _revisions(connection: Connection, info: ResourceInfo, name: str) -> tuple[dict[str, Any], dict[int, dict[str, Any]]]:
    """The Deployment and its ReplicaSets by revision."""
    if info.kind != "Deployment":
        raise click.ClickException(f"no rollbacker has been implemented for {info.kind}")
    obj = await connection.raw.get(info.path(connection.namespace, name))
    sets = await connection.raw.get(f"/apis/apps/v1/namespaces/{connection.namespace}/replicasets")
    mine = [s for s in sets["items"] if any(o["uid"] == obj["metadata"]["uid"] for o in s["metadata"].get("ownerReferences", ()))]
    return obj, {int(s["metadata"].get("annotations", {}).get(REVISION, 0)): s for s in mine}


@rollout.command()
@click.argument("what", nargs=-1, metavar="TYPE/NAME")
@connected
async def history(connection: Connection, what: tuple[str, ...]) -> int:
    """List the revisions of a Deployment."""
    info, name = await _one(connection, what)
    _, revisions = await _revisions(connection, info, name)
    click.echo(f"{info.shown}/{name}\nREVISION  CHANGE-CAUSE")
    for revision in sorted(revisions):
        cause = revisions[revision]["metadata"].get("annotations", {}).get(CHANGE_CAUSE, "<none>")
        click.echo(f"{revision:<9} {cause}")
    return 0


@rollout.command()
@click.argument("what", nargs=-1, metavar="TYPE/NAME")
@click.option("--to-revision", type=int, default=0, help="Back to this revision [default: the one before].")
@connected
async def undo(connection: Connection, what: tuple[str, ...], to_revision: int) -> int:
    """Go back to an earlier revision of a Deployment."""
    info, name = await _one(connection, what)
    obj, revisions = await _revisions(connection, info, name)
    if obj["spec"].get("paused"):
        raise click.ClickException(
            f'you cannot rollback a paused deployment; resume it first with "minictl rollout resume {info.shown}/{name}"'
        )
    current = int(obj["metadata"].get("annotations", {}).get(REVISION, 0))
    earlier = [r for r in revisions if r < current]
    wanted = to_revision or max(earlier, default=0)
    if wanted not in revisions:
        raise click.ClickException(
            f"unable to find specified revision {to_revision} in history"
            if to_revision
            else f'no rollout history found for deployment "{name}"'
        )
    template = revisions[wanted]["spec"]["template"]
    (template["metadata"].get("labels") or {}).pop("pod-template-hash", None)
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    await connection.raw.patch(info.path(connection.namespace, name), patch, type="json", query={"fieldManager": "minictl"})
    click.echo(f"{info.shown}/{name} rolled back")
    return 0


async def _pause(connection: Connection, what: tuple[str, ...], paused: bool) -> int:
    info, name = await _one(connection, what)
    if info.kind != "Deployment":
        raise click.ClickException(f"{info.plural} do not support pausing")
    await connection.raw.patch(
        info.path(connection.namespace, name), {"spec": {"paused": paused}}, query={"fieldManager": "minictl"}
    )
    click.echo(f"{info.shown}/{name} {'paused' if paused else 'resumed'}")
    return 0


@rollout.command()
@click.argument("what", nargs=-1, metavar="TYPE/NAME")
@connected
async def pause(connection: Connection, what: tuple[str, ...]) -> int:
    """Stop a Deployment from rolling out changes."""
    return await _pause(connection, what, True)


@rollout.command()
@click.argument("what", nargs=-1, metavar="TYPE/NAME")
@connected
async def resume(connection: Connection, what: tuple[str, ...]) -> int:
    """Let a paused Deployment roll out again."""
    return await _pause(connection, what, False)
