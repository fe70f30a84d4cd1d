"""`minictl up`, `status`, `down`: whole clusters. Imports nothing heavy: the budget of `up` is a second in all."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import click

from minikube_agents.network import removing
from minikube_py.cluster.launch import LaunchError, launch, stop
from minikube_py.cluster.layout import AlreadyRunning, Layout, clusters_root, lock_holder, take_lock
from minikube_py.cluster.spec import COMPONENTS, NETWORKS, PROXY_MODES, RUNTIMES, STORES, ClusterSpec, SpecError


def _layout(name: str, data_dir: str | None) -> Layout:
    return Layout(data_dir or clusters_root() / name)


def _option(*names: str, **kwargs: Any) -> Any:
    return click.option(*names, show_default=kwargs.pop("show_default", True), **kwargs)


class _List(click.ParamType):
    name = "list"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        return value if isinstance(value, tuple) else tuple(v.strip() for v in value.split(",") if v.strip())


_DEFAULT = ClusterSpec()


@click.command()
@_option("--name", default="minikube", help="Name of the cluster.")
@_option(
    "--data-dir",
    metavar="DIR",
    default=None,
    show_default=False,
    help="Where it keeps its data [default: a directory by its name].",
)
@_option("--listen", default=_DEFAULT.listen, metavar="ADDRESS:PORT", help="Where the API server listens; port 0 = any free one.")
@_option(
    "--kubeconfig",
    default="",
    metavar="FILE",
    show_default=False,
    help="Write the kubeconfig here [default: in the data directory].",
)
@_option("--nodes", default=_DEFAULT.nodes, type=int, help="How many nodes.")
@_option(
    "--runtime",
    default="",
    type=click.Choice(("", *RUNTIMES)),
    show_default=False,
    metavar="process|hollow",
    help="What runs the pods: real processes, or nothing (simulated) [default: process where this account can have namespaces].",
)
@_option("--store", default=_DEFAULT.store, type=click.Choice(STORES), help="What keeps the objects.")
@_option(
    "--network",
    default="",
    type=click.Choice(("", *NETWORKS)),
    show_default=False,
    metavar="host|private",
    help="Pods and ClusterIPs reachable from this host (needs root), or in a namespace of their own [default: host as root].",
)
@_option(
    "--proxy-mode",
    default="",
    type=click.Choice(("", *PROXY_MODES)),
    show_default=False,
    metavar="nftables|userspace",
    help="How Services reach pods [default: nftables where nft is installed].",
)
@_option("--components", default=",".join(COMPONENTS), type=_List(), metavar="LIST", help="Which components to run.")
@_option(
    "--token-auth-file",
    default="",
    metavar="FILE",
    show_default=False,
    help='Static tokens: lines of token,user,uid,"group1,group2".',
)
@_option(
    "--pod-cidr",
    default="",
    metavar="CIDR",
    show_default=False,
    help="Addresses of pods, a /24 a node [default: 10.244.0.0/16 or a free one].",
)
@_option(
    "--service-cidr",
    default="",
    metavar="CIDR",
    show_default=False,
    help="Addresses of Services [default: 10.96.0.0/16 or a free one].",
)
@_option(
    "--audit-log-path",
    "--audit-log",
    "audit_log",
    default="",
    metavar="FILE",
    show_default=False,
    help="Write an audit log (JSON lines).",
)
@_option(
    "--audit-policy-file",
    "--audit-policy",
    "audit_policy",
    default="",
    metavar="FILE",
    show_default=False,
    help="An audit.k8s.io/v1 Policy for the audit log [default: everything at level Metadata].",
)
@_option("--audit-log-maxage", default=0, metavar="DAYS", help="How long full audit logs are kept; 0 = for ever.")
@_option("--audit-log-maxbackup", default=0, metavar="COUNT", help="How many full audit logs are kept; 0 = all.")
@_option("--audit-log-maxsize", default=0, metavar="MEGABYTES", help="When an audit log is full; 0 = 100.")
@_option("--anonymous-auth", default=True, type=bool, help="Whether requests without credentials are let in.")
@_option(
    "--node-monitor-grace-period",
    default=_DEFAULT.node_monitor_grace_period,
    type=float,
    metavar="SECONDS",
    help="How long a node may be silent before it counts as not ready; kubelets report four times as often.",
)
@_option("--foreground", is_flag=True, show_default=False, help="Stay here and log to the terminal; Ctrl-C ends the cluster.")
@_option("--separate", is_flag=True, show_default=False, help="Run every component as a process of its own, over HTTPS.")
@_option("--timeout", default=60.0, metavar="SECONDS", help="How long to wait until it is ready.")
def up(foreground: bool, timeout: float, **options: Any) -> None:
    """Start a cluster and wait until the API and the nodes are ready.

    Kept data of the same name is used again. Prints how long it took and the line that points kubectl at it.
    """
    started = time.time()
    layout = _layout(options["name"], options["data_dir"])
    for key in ("token_auth_file", "kubeconfig", "audit_log", "audit_policy"):
        options[key] = os.path.abspath(options[key]) if options[key] else ""
    try:
        options["data_dir"] = str(layout.data)
        spec = ClusterSpec(**options)
        layout.make()
        os.close(take_lock(layout))
        spec.save(layout.spec)
    except (SpecError, AlreadyRunning, OSError) as error:
        raise click.ClickException(str(error)) from error
    if foreground:
        os.environ["MINIKUBE_PY_STARTED"] = repr(started)
        from minikube_py.cluster.__main__ import run

        raise click.exceptions.Exit(run(layout, report_fd=1))
    try:
        report = launch(spec, timeout=timeout)
    except LaunchError as error:
        raise click.ClickException(str(error)) from error
    for warning in report.get("warnings", ()):
        click.echo(f"warning: {warning}", err=True)
    nodes = report.get("nodes", 0)
    what = f"API at {report['url']}" + (f", {nodes} node{'s' if nodes != 1 else ''} Ready" if nodes else "")
    click.echo(f"cluster {spec.name} is up after {time.time() - started:.2f} s: {what}")
    click.echo(f"export KUBECONFIG={report['kubeconfig']}")


@click.command()
@click.option("--name", default=None, help="Only this cluster.")
@click.option("--data-dir", metavar="DIR", default=None, help="The cluster with this data directory.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(name: str | None, data_dir: str | None, output: str) -> None:
    """Show clusters: what runs, where, since when. Exit code 1 when the one asked for does not run."""
    asked = bool(name or data_dir)
    root = clusters_root()
    paths = (
        [Path(data_dir)]
        if data_dir
        else [root / name]
        if name
        else sorted(p for p in root.glob("*") if (p / "cluster.json").exists())
    )
    found = [_state(Layout(path)) for path in paths]
    if output == "json":
        click.echo(json.dumps(found, indent=1))
    elif not found:
        click.echo("no clusters; `minictl up` starts one")
    for state in found if output == "text" else ():
        click.echo(f"{state['name']}: {'running' if state['running'] else 'stopped'}")
        for key in ("url", "kubeconfig", "pid", "nodes", "network", "dns", "data"):
            if state.get(key) not in (None, "", []):
                value = state[key]
                click.echo(f"  {key:<11} {', '.join(value) if isinstance(value, list) else value}")
        for component, how in state.get("restarts", {}).items():
            click.echo(
                f"  {'restarted':<11} {component}: {how['times']} time{'s' if how['times'] != 1 else ''}, last {how['last']}"
            )
    if asked and not all(s["running"] for s in found):
        raise click.exceptions.Exit(1)


def _state(layout: Layout) -> dict[str, Any]:
    pid = lock_holder(layout)
    state: dict[str, Any] = {"name": layout.data.name, "running": pid is not None, "data": str(layout.data)}
    try:
        state["name"] = ClusterSpec.load(layout.spec).name
        if pid is not None:
            state |= json.loads(layout.state.read_text())
    except FileNotFoundError:
        return state
    except (SpecError, ValueError) as error:
        state["problem"] = str(error)
    return state


@click.command()
@click.option("--name", default="minikube", show_default=True, help="Name of the cluster.")
@click.option("--data-dir", metavar="DIR", default=None, help="The cluster with this data directory.")
@click.option("--all", "everything", is_flag=True, help="All clusters of this user.")
@click.option("--purge", is_flag=True, help="Also delete the data: objects, certificates, images, logs.")
def down(name: str, data_dir: str | None, everything: bool, purge: bool) -> None:
    """End a cluster: no process, link, namespace, mount, cgroup or table of it stays. Its data stays, without --purge."""
    layouts = [Layout(p) for p in sorted(clusters_root().glob("*"))] if everything else [_layout(name, data_dir)]
    for layout in layouts:
        if not layout.spec.exists():
            raise click.ClickException(f"there is no cluster on {layout.data}")
        from minikube_py.cluster.cleaning import clean

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            ran = stop(layout)
            for problem in clean(layout):
                click.echo(f"warning: could not be removed: {problem}", err=True)
        except (LaunchError, OSError) as error:
            raise click.ClickException(str(error)) from error
        if purge:
            removing.remove_tree(str(layout.data))
        click.echo(f"cluster on {layout.data} {'ended' if ran else 'was not running'}{', data deleted' if purge else ''}")
