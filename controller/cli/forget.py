"""`kubectl challenge forget-node`: a host that never comes back.

Deletes the node's Lease and its ChallengeNode; the manager then moves its instances, and lets those
go that were being deleted. Must not do so to a node that lives: by the Lease as it was watched, not
by clocks alone, and by a precondition on it in the end.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from typing import Final

import click

from controller.api.instance import ChallengeInstance
from controller.cli.connection import Connection, Object
from controller.cli.errors import Conflict, NotForgotten, NotFound
from controller.cli.lookup import no_such_node
from controller.cli.options import complete_nodes, connected
from controller.cli.question import confirm
from controller.cli.resource import INSTANCES, LEASES, NODES
from controller.cli.state import parse
from controller.cli.words import count
from controller.settings import Settings

LEASE_PREFIX: Final = "node-"
NAMESPACE: Final = str(Settings.model_fields["controller_namespace"].default)
DEFAULT_DURATION: Final = int(Settings.model_fields["node_lease_duration"].default)
MARGIN: Final = 2.0
"""Seconds that a renewal may be late: agents renew at a quarter of the Lease's duration."""


@click.command("forget-node")
@click.argument("name", metavar="NODE", shell_complete=complete_nodes)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--controller-namespace",
    "namespace",
    metavar="NAME",
    envvar="CHALLENGE_CONTROLLER_NAMESPACE",
    default=None,
    help=f"Where the node's Lease is (default: as its agent has said, or {NAMESPACE}).",
)
@connected
def forget_node(connection: Connection, name: str, yes: bool, namespace: str | None) -> None:
    """Give up a node whose host is gone for good.

    Its instances move to other nodes, also those whose Challenge says nodeLossPolicy: Wait, and
    those that were being deleted there are let go. Refused while its agent lives: stop that first.
    """
    node, lease = _find(connection, name, namespace)
    _refuse_if_fresh(connection, name, lease)
    if not yes:
        _ask(connection, name)
    if lease:
        click.echo(f"Watching whether {name} is silent …", err=True)
        _refuse_if_renewed(connection, name, lease)
    _delete(connection, name, node, lease)
    click.echo(f"{NODES.printed(name)} forgotten")


def _find(
    connection: Connection, name: str, namespace: str | None
) -> tuple[Object | None, Object | None]:
    """The ChallengeNode and its Lease; one of them can be missing after half of this command."""
    node = lease = None
    with suppress(NotFound):
        node = connection.get(NODES, name)
    said = ((node or {}).get("status") or {}).get("controllerNamespace")
    namespace = namespace or said or NAMESPACE
    with suppress(NotFound):
        lease = connection.get(LEASES, LEASE_PREFIX + name, namespace)
    if node is None and lease is None:
        raise no_such_node(connection, name)
    return node, lease


def _refuse_if_fresh(connection: Connection, name: str, lease: Object | None) -> None:
    renewed = _renewed(lease)
    if renewed is None:
        return
    silence = (connection.now() - renewed).total_seconds()
    if 0 <= silence <= _duration(lease):
        raise NotForgotten(
            f"The agent of {name} seems to live: it renewed its Lease {silence:.0f} s ago, "
            f"expected a silence of more than {_duration(lease)} s. Stop it for good first; "
            "to empty a node that lives, drain it"
        )


def _refuse_if_renewed(connection: Connection, name: str, lease: Object) -> None:
    """Look at the Lease for as long as a renewal can take: hosts' clocks can be wrong."""
    end = time.monotonic() + _duration(lease) / 4 + MARGIN
    while time.monotonic() < end:
        time.sleep(1.0)
        meta = lease["metadata"]
        try:
            now = connection.get(LEASES, meta["name"], meta["namespace"])
        except NotFound:
            return
        if now["spec"].get("renewTime") != (lease.get("spec") or {}).get("renewTime"):
            raise _lives(name)


def _delete(connection: Connection, name: str, node: Object | None, lease: Object | None) -> None:
    """The Lease first, if it is still the one watched; whether the node can go is tried before."""
    if node:
        only = {"uid": node["metadata"]["uid"]}
        connection.delete(NODES, name, preconditions=only, dry_run=True)
    if lease:
        meta = lease["metadata"]
        same = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        try:
            with suppress(NotFound):
                connection.delete(LEASES, meta["name"], meta["namespace"], preconditions=same)
        except Conflict as error:
            raise _lives(name) from error
    if node:
        with suppress(NotFound):
            connection.delete(NODES, name, preconditions=only)


def _ask(connection: Connection, name: str) -> None:
    bodies = connection.find(INSTANCES, fields=f"status.nodeName={name}")
    click.echo(summary(name, (parse(ChallengeInstance, body) for body in bodies)))
    confirm(f"Forget {name}, whose host never comes back?", NotForgotten(f"{name} is kept"))


def summary(name: str, instances: Iterable[ChallengeInstance]) -> str:
    """What forgetting a node does to those that are there."""
    found = list(instances)
    going = sum(1 for instance in found if instance.is_deleting)
    pools = sum(1 for instance in found if instance.is_pool_managed and not instance.is_deleting)
    players = len(found) - going - pools
    text = f"{name} has {count(len(found), 'instance')}"
    if players + pools:
        text += f": {players} of players' and {pools} of pools, which start anew on other nodes"
    return text + (f"; {going} being deleted, gone then" if going else "")


def _renewed(lease: Object | None) -> datetime | None:
    try:
        return datetime.fromisoformat(str(((lease or {}).get("spec") or {}).get("renewTime")))
    except ValueError:
        return None


def _duration(lease: Object | None) -> int:
    spec = (lease or {}).get("spec") or {}
    return int(spec.get("leaseDurationSeconds") or DEFAULT_DURATION)


def _lives(name: str) -> NotForgotten:
    return NotForgotten(
        f"The agent of {name} lives: it has renewed its Lease just now. Stop it for good first"
    )
