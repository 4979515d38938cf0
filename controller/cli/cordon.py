"""`kubectl challenge cordon` and `uncordon`: whether nodes get new instances."""

from collections.abc import Callable

import click

from controller.api.node import ChallengeNode
from controller.cli.connection import Connection, Object
from controller.cli.errors import NotFound
from controller.cli.lookup import get_node, no_such_node
from controller.cli.options import complete_nodes, connected
from controller.cli.resource import NODES
from controller.cli.state import parse

names_argument = click.argument(
    "names", metavar="NODE...", nargs=-1, required=True, shell_complete=complete_nodes
)


@click.command("cordon")
@names_argument
@connected
def cordon(connection: Connection, names: tuple[str, ...]) -> None:
    """Give nodes no new instances; those they have stay."""
    _each(connection, names, {"unschedulable": True}, "cordoned", _is_cordoned)


@click.command("uncordon")
@names_argument
@connected
def uncordon(connection: Connection, names: tuple[str, ...]) -> None:
    """Give nodes new instances again; this ends a drain too."""
    change = {"unschedulable": False, "drain": None}
    _each(connection, names, change, "uncordoned", lambda node: not _is_cordoned(node))


def set_spec(connection: Connection, name: str, change: Object) -> Object:
    """Change a node's spec; returns the node. Raises NotFound, which lists those there are."""
    try:
        return connection.patch(NODES, name, {"spec": change})
    except NotFound as error:
        raise no_such_node(connection, name) from error


def _is_cordoned(node: ChallengeNode) -> bool:
    return node.spec.unschedulable


def _each(
    connection: Connection,
    names: tuple[str, ...],
    change: Object,
    word: str,
    is_so: Callable[[ChallengeNode], bool],
) -> None:
    """Change the nodes one after another; the first that fails ends it."""
    for name in names:
        already = is_so(parse(ChallengeNode, get_node(connection, name)))
        if not already:
            set_spec(connection, name, change)
        click.echo(f"{NODES.printed(name)} {'already ' if already else ''}{word}")
