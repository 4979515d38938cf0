"""`kubectl challenge confirm-orphans`: instances that have vanished are to go from their node.

Writes which ones, by the time until which the node holds them: those that vanish later are held
anew, whatever was confirmed before.
"""

import click

from controller.api import conditions
from controller.api.annotations import ORPHANS_CONFIRMED
from controller.api.meta import rfc3339
from controller.api.node import ChallengeNode, HeldOrphans
from controller.cli.connection import Connection
from controller.cli.errors import NotConfirmed
from controller.cli.lookup import get_node
from controller.cli.options import complete_nodes, connected
from controller.cli.question import confirm
from controller.cli.resource import NODES
from controller.cli.state import parse
from controller.cli.words import clock, count, printable, span


@click.command("confirm-orphans")
@click.argument("name", metavar="NODE", shell_complete=complete_nodes)
@click.option("--yes", is_flag=True, help="Do not ask.")
@connected
def confirm_orphans(connection: Connection, name: str, yes: bool) -> None:
    """Have a node tear down the instances that it holds as OrphansHeld.

    They run there, and the API server does not know them: a backup was restored, or finalizers were
    taken off. Without this they are held for 10 minutes (CHALLENGE_ORPHAN_HOLD). Those that vanish
    later are held anew.
    """
    node = parse(ChallengeNode, get_node(connection, name))
    held = node.status.orphans
    if held is None:
        click.echo(f"{NODES.printed(name)} holds no orphans")
        return
    if not yes:
        _ask(connection, node, held)
    annotations = {ORPHANS_CONFIRMED: rfc3339(held.until)}
    connection.patch(NODES, name, {"metadata": {"annotations": annotations}})
    click.echo(f"{NODES.printed(name)} orphans confirmed: {count(held.instances, 'instance')}")


def _ask(connection: Connection, node: ChallengeNode, held: HeldOrphans) -> None:
    name = node.metadata.name
    said = conditions.get(node.status.conditions, conditions.ORPHANS_HELD)
    if said is not None and said.message:
        click.echo(printable(said.message))
    since = span(connection.now() - held.since)
    click.echo(f"They have been held for {since}, the last of them until {clock(held.until)}")
    confirm(
        f"Tear down {count(held.instances, 'instance')} on {name} now?",
        NotConfirmed(f"{name} holds them"),
    )
