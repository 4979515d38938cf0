"""`kubectl challenge nodes`: which node is full, slow or sick, at a glance."""

from datetime import datetime

import click

from controller.api.node import ChallengeNode, NodeResources
from controller.cli.connection import Connection
from controller.cli.lookup import get_node
from controller.cli.options import complete_nodes, connected, output
from controller.cli.resource import NODES
from controller.cli.state import node_state, parse, troubles
from controller.cli.table import Cell, Row, show_objects, show_table
from controller.cli.words import NONE, age, amount, part, printable

HEAD = ("NAME", "STATUS", "INSTANCES", "PORTS", "MEMORY", "LAUNCHING", "WAITING")
TAIL = ("ENGINE", "ADDRESS", "AGE")
WIDE = ("PORT-RANGE", "LAUNCHES-AT-ONCE", "IMAGES", "LABELS")


@click.command("nodes")
@click.argument("names", metavar="[NODE]...", nargs=-1, shell_complete=complete_nodes)
@output
@connected
def nodes(connection: Connection, names: tuple[str, ...], form: str | None) -> None:
    """Show nodes: state, what instances take of them, and the queue of launches.

    INSTANCES, PORTS and MEMORY are taken/allocatable. LAUNCHING are launches and removals at work,
    WAITING those in the queue. Nodes with something wrong are told below the table, on standard
    error.
    """
    named = [get_node(connection, name) for name in names]
    bodies = named or connection.find(NODES)
    if form in ("json", "yaml", "name"):
        show_objects(form, NODES, bodies, single=len(names) == 1)
        return
    if not bodies:
        click.echo("No nodes: no agent has registered itself yet", err=True)
        return
    found = [parse(ChallengeNode, body) for body in bodies]
    now = connection.now()
    head = HEAD + TAIL + (WIDE if form == "wide" else ())
    show_table(head, [_row(node, now, wide=form == "wide") for node in found])
    lines = [line for node in found for line in troubles(node, now)]
    if lines:
        click.echo("\n" + "\n".join(map(printable, lines)), err=True)


def _row(node: ChallengeNode, now: datetime, *, wide: bool) -> Row:
    status = node.status
    taken, most = (amounts or NodeResources() for amounts in (status.allocated, status.allocatable))
    word, style = node_state(node)
    row: list[Cell | str] = [
        node.metadata.name,
        Cell(word, style),
        part(taken.instances, most.instances),
        part(taken.ports, most.ports),
        part(amount(taken.memory), amount(most.memory)),
        str(status.launch.launching) if status.launch else NONE,
        str(status.launch.waiting) if status.launch else NONE,
        status.engine.version if status.engine else NONE,
        status.address or NONE,
        age(node.metadata.creation_timestamp, now),
    ]
    if wide:
        labels = ",".join(f"{key}={value}" for key, value in sorted(node.metadata.labels.items()))
        launches = node.spec.launch_concurrency
        row += [status.port_range or NONE, str(launches or NONE), str(len(status.images)), labels]
    return row
