"""`minictl`: the command line. Commands are imported when they run, so that `up` starts within its budget."""

from __future__ import annotations

import importlib
import os
import sys

import click

#: command -> module that holds a click command of that name (`exec` is `exec_`)
COMMANDS = {
    "up": "minikube_py.cli.clusters",
    "status": "minikube_py.cli.clusters",
    "down": "minikube_py.cli.clusters",
    "get": "minikube_py.cli.getting",
    "describe": "minikube_py.cli.getting",
    "apply": "minikube_py.cli.applying",
    "delete": "minikube_py.cli.applying",
    "logs": "minikube_py.cli.streams",
    "exec": "minikube_py.cli.streams",
    "scale": "minikube_py.cli.workloads",
    "rollout": "minikube_py.cli.workloads",
    "image": "minikube_py.cli.images",
}


class Lazy(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        return getattr(importlib.import_module(module), "exec_" if cmd_name == "exec" else cmd_name)


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="minikube-py", message="minictl %(version)s")
def cli() -> None:
    """A real Kubernetes cluster out of Python: start it, look at it, end it.

    `minictl up` starts a cluster and prints the line that points kubectl at it.
    """


def main() -> None:
    """Errors are one line on stderr and a non-zero exit; a broken pipe (`| head`) is no error."""
    try:
        # without standalone mode click gives an Exit's code back as the result
        sys.exit(cli(standalone_mode=False) or 0)
    except click.UsageError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        click.echo(f"Error: {' '.join(error.format_message().split())}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
