"""`kubectl challenge list`: instances, whose they are, where they run, how long they still live."""

from datetime import datetime

import click

from controller.api.instance import ChallengeInstance
from controller.cli.connection import Connection, Object
from controller.cli.options import complete_nodes, connected, output
from controller.cli.resource import INSTANCES
from controller.cli.state import is_awaited, parse, readiness, time_left
from controller.cli.table import Cell, Row, show_objects, show_table
from controller.cli.words import NONE, age

HEAD = ("NAME", "USER", "CHALLENGE", "NODE", "ADDRESS", "READY", "REASON", "AGE", "LEFT")
WIDE = ("POOL", "SEED", "MESSAGE")


@click.command("list")
@click.option("-n", "--namespace", metavar="NAME", help="Instead of the context's.")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces.")
@click.option("--node", metavar="NODE", help="Those on this node.", shell_complete=complete_nodes)
@click.option("--user", metavar="USER", help="Those of this user.")
@click.option("--challenge", metavar="NAME", help="Those of this Challenge.")
@click.option("--not-ready", is_flag=True, help="Those that should be up and are not.")
@click.option("-l", "--selector", metavar="LABELS", default="", help="Those with these labels.")
@output
@connected
def list_instances(
    connection: Connection,
    namespace: str | None,
    all_namespaces: bool,
    node: str | None,
    user: str | None,
    challenge: str | None,
    not_ready: bool,
    selector: str,
    form: str | None,
) -> None:
    """Show instances of a namespace, or of all of them (-A).

    READY is a dash for one that is suspended or expired. LEFT is the time to its deadline: never,
    or a dash as long as it is not up yet. --not-ready leaves out what is suspended, expired or
    being deleted.
    """
    if namespace and all_namespaces:
        raise click.UsageError("-n and -A exclude each other: expected one of them")
    place = "" if all_namespaces else namespace or connection.access.namespace
    wanted = {"status.nodeName": node, "spec.challengeRef.name": challenge}
    fields = ",".join(f"{path}={_escaped(value)}" for path, value in wanted.items() if value)
    bodies = connection.find(INSTANCES, place, fields=fields, labels=selector)
    found = [
        (body, instance)
        for body, instance in ((body, parse(ChallengeInstance, body)) for body in bodies)
        if (not user or instance.spec.user == user) and (not not_ready or is_awaited(instance))
    ]
    if form in ("json", "yaml", "name"):
        kept: list[Object] = [body for body, _ in found]
        show_objects(form, INSTANCES, kept, single=False)
        return
    if not found:
        where = f"in namespace {place} (-A: in all of them)" if place else "in any namespace"
        click.echo(f"No such instances {where}", err=True)
        return
    wide = form == "wide"
    head = (("NAMESPACE",) if all_namespaces else ()) + HEAD + (WIDE if wide else ())
    now = connection.now()
    rows = [_row(instance, now, place=all_namespaces, wide=wide) for _, instance in found]
    show_table(head, rows)


def _row(instance: ChallengeInstance, now: datetime, *, place: bool, wide: bool) -> Row:
    meta, spec, status = instance.metadata, instance.spec, instance.status
    ready = readiness(instance)
    row: list[Cell | str] = [meta.namespace] if place else []
    row += [
        meta.name,
        spec.user or NONE,
        spec.challenge_ref.name if spec.challenge_ref else NONE,
        status.node_name or NONE,
        _endpoints(instance, wide=wide),
        Cell(ready.status, ready.style),
        ready.reason,
        age(meta.creation_timestamp, now),
        time_left(instance, now),
    ]
    if wide:
        pool = meta.controller.name if meta.controller and instance.is_pool_managed else NONE
        said = next((c.message for c in status.conditions if c.type == "Ready"), "")
        row += [pool, spec.seed or NONE, said]
    return row


def _endpoints(instance: ChallengeInstance, *, wide: bool) -> str:
    found = [port.endpoint for port in instance.status.ports]
    if wide or len(found) < 2:
        return ",".join(found) or NONE
    return f"{found[0]} +{len(found) - 1}"


def _escaped(value: str) -> str:
    """A value in a field selector."""
    return "".join(f"\\{letter}" if letter in "\\,=" else letter for letter in value)
