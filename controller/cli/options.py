"""The options that commands share, and node names for a shell's completion."""

import functools
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from controller.api.values import parse_duration
from controller.cli.connection import Connection
from controller.cli.errors import CommandError
from controller.cli.kubeconfig import read
from controller.cli.resource import NODES
from controller.cli.table import FORMATS

Command = Callable[..., None]

COMPLETION_TIMEOUT: Final = 3.0
"""Seconds that somebody who has pressed the tabulator key is kept waiting at most."""


def connected(command: Command) -> Command:
    """Give a command --kubeconfig and --context, and a Connection as its first argument."""

    @click.option("--kubeconfig", metavar="FILE", help="Instead of $KUBECONFIG or ~/.kube/config.")
    @click.option("--context", metavar="NAME", help="Instead of the kubeconfig's current one.")
    @functools.wraps(command)
    def run(kubeconfig: str | None, context: str | None, **rest: Any) -> None:
        with Connection.open(read(kubeconfig, context)) as connection:
            command(connection, **rest)

    return run


output = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMATS),
    help="More columns, the objects themselves, or their names.",
)


def complete_nodes(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The names of nodes that begin so; none when the cluster cannot be asked."""
    chosen = context.params
    try:
        access = read(chosen.get("kubeconfig"), chosen.get("context"))
        with Connection.open(access, COMPLETION_TIMEOUT) as connection:
            names = [body["metadata"]["name"] for body in connection.find(NODES)]
    except CommandError:
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def as_span(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> timedelta | None:
    """Read an option's length of time, such as 90s, 5m or 1h30m, as the API's are read."""
    try:
        return parse_duration(value) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error
