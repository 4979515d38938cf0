"""`kubectl challenge drain`: says that instances are to leave a node, and watches them go.

The manager moves them, by `spec.drain`; this writes that field and reads. A drain goes on when the
command has ended, whatever the reason, until `uncordon`.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from controller.api import conditions
from controller.api.instance import ChallengeInstance
from controller.api.node import ChallengeNode
from controller.cli.connection import Connection
from controller.cli.cordon import set_spec
from controller.cli.display import Display
from controller.cli.errors import CommandError, TimedOut, Unreachable
from controller.cli.evacuation import Mode, Progress, Remaining, remaining
from controller.cli.lookup import get_node
from controller.cli.options import as_span, complete_nodes, connected
from controller.cli.resource import INSTANCES, NODES
from controller.cli.state import is_awaited, parse, readiness, time_left
from controller.cli.words import clock, count, printable, span

PERIOD: Final = 1.0
"""Seconds between two looks."""
STUCK: Final = 30.0
"""Seconds without one that leaves, after which it is told what is waited for."""
SHOWN: Final = 20
"""Instances named in one message at most."""
FOREVER: Final = datetime.max.replace(tzinfo=UTC)


@click.command("drain")
@click.argument("name", metavar="NODE", shell_complete=complete_nodes)
@click.option(
    "--force", is_flag=True, help="Move players' instances too: they get another address."
)
@click.option(
    "--timeout",
    metavar="DURATION",
    callback=as_span,
    help="Wait no longer, such as 5m; 0: no limit.",
)
@click.option("--no-wait", is_flag=True, help="Say that it is to be drained, and end.")
@connected
def drain(
    connection: Connection, name: str, force: bool, timeout: timedelta | None, no_wait: bool
) -> None:
    """Cordon a node and have instances leave it.

    Instances of pools are replaced on other nodes, each new one up before the old one goes.
    Players' instances live out their time, unless --force moves them. Ends when nothing that is to
    move is left; `uncordon` takes it all back.
    """
    mode: Mode = "All" if force else "Managed"
    limit = timeout.total_seconds() if timeout else None
    watch = Watch(connection, name, mode, limit)
    if not no_wait:
        watch.begin()
    set_spec(connection, name, {"unschedulable": True, "drain": mode})
    click.echo(f"{NODES.printed(name)} cordoned, draining")
    if no_wait:
        return
    _warn_of_silence(parse(ChallengeNode, get_node(connection, name)))
    found = watch.run()
    click.echo(f"{name} is drained: nothing that is to move is left")
    for line in stay_lines(found, connection.now()):
        click.echo(line)


def _warn_of_silence(node: ChallengeNode) -> None:
    ready = conditions.get(node.status.conditions, conditions.READY)
    if ready is None or ready.status != "True":
        reason = f": {ready.reason}: {printable(ready.message)}" if ready else ""
        click.echo(
            f"Warning: {node.metadata.name} is not ready{reason}\n"
            "While it does not report, its instances move by the rules for lost nodes alone, or by "
            "forget-node",
            err=True,
        )


class Watch:
    """Looks at a node's instances until nothing that is to move is left."""

    def __init__(self, connection: Connection, name: str, mode: Mode, limit: float | None) -> None:
        """`limit` is in seconds."""
        self._connection = connection
        self._name = name
        self._mode: Mode = mode
        self._progress = Progress()
        self._started = self._changed = time.monotonic()
        self._deadline = self._started + limit if limit else None

    def begin(self) -> None:
        """See what is there before anything moves: the first can have left within a second."""
        self._progress.look(self._find())
        self._progress.quiet = 0  # before it is cordoned, finding nothing says nothing

    def run(self) -> Remaining:
        """Watch; returns what is left on the node. Raises TimedOut, CommandError."""
        with Display(self._name) as display:
            while True:
                try:
                    found = self._look(display)
                except Unreachable as error:  # an API server that restarts: the drain goes on
                    display.say(f"{error.message}; trying again")
                    self._check_time(None)
                else:
                    if self._progress.is_over:
                        return found
                    self._check_time(found)
                time.sleep(PERIOD)

    def _look(self, display: Display) -> Remaining:
        self._check_node()
        found = self._find()
        gone = self._progress.look(found)
        display.show(gone, self._progress.moved, self._progress.total, len(found.staying))
        now = time.monotonic()
        if gone:
            self._changed = now
        elif found.to_move and now - self._changed >= STUCK:
            self._changed = now
            display.say(f"Nothing has left for {STUCK:.0f} s; {self._waited_for(found)}")
        return found

    def _find(self) -> Remaining:
        bodies = self._connection.find(INSTANCES, fields=f"status.nodeName={self._name}")
        return remaining([parse(ChallengeInstance, body) for body in bodies], self._mode)

    def _check_node(self) -> None:
        node = parse(ChallengeNode, get_node(self._connection, self._name))
        if node.spec.drain != self._mode:
            raise CommandError(
                f"{self._name} is no longer drained like this: somebody has set spec.drain to "
                f"{node.spec.drain or 'nothing'} meanwhile, expected {self._mode}"
            )

    def _check_time(self, found: Remaining | None) -> None:
        if self._deadline is None or time.monotonic() < self._deadline:
            return
        waited = f"; {self._waited_for(found)}" if found else ""
        raise TimedOut(
            f"{self._name} is not drained within {span(self._spent())}: {self._progress.moved} of "
            f"{self._progress.total} have left{waited}. It stays cordoned and the drain goes on: "
            "say it again to watch, or uncordon"
        )

    def _spent(self) -> timedelta:
        return timedelta(seconds=time.monotonic() - self._started)

    def _waited_for(self, found: Remaining) -> str:
        """What has not left, and which of the pools' new instances are not up, and why."""
        text = f"still there: {_names(found.to_move)}"
        pools = {
            (owner.uid, instance.metadata.namespace)
            for instance in found.to_move
            if instance.is_pool_managed and (owner := instance.metadata.controller)
        }
        waiting = []
        for namespace in sorted({namespace for _, namespace in pools}):
            for body in self._connection.find(INSTANCES, namespace):
                other = parse(ChallengeInstance, body)
                owner = other.metadata.controller
                if owner and (owner.uid, namespace) in pools and is_awaited(other):
                    waiting.append(other)
        if waiting:
            text += f"; of the same pools, not up: {_names(waiting, reason=True)}"
        return text


def _names(
    instances: "list[ChallengeInstance] | tuple[ChallengeInstance, ...]", reason: bool = False
) -> str:
    words = [
        f"{instance.key} ({_why(instance)})" if reason or instance.is_deleting else instance.key
        for instance in instances[:SHOWN]
    ]
    more = len(instances) - SHOWN
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _why(instance: ChallengeInstance) -> str:
    said = conditions.get(instance.status.conditions, conditions.READY)
    found = readiness(instance)
    message = said.message if said and said.reason == found.reason else ""
    return printable(f"{found.reason}: {message}" if message else found.reason)


def stay_lines(found: Remaining, now: datetime) -> list[str]:
    """Who stays on a drained node, how long, and what can be done about it."""
    lines = []
    if found.staying:
        ends = [instance.status.expiration_time for instance in found.staying]
        known = [end for end in ends if end is not None]
        last = f"the last until {clock(max(known))}" if len(known) == len(ends) else "some for ever"
        lines.append(
            f"{count(len(found.staying), 'instance')} of players' "
            f"{'stays' if len(ends) == 1 else 'stay'}, {last}; drain --force moves them:"
        )
        order = sorted(found.staying, key=lambda i: (i.status.expiration_time or FOREVER, i.key))
        for instance in order[:SHOWN]:
            end = instance.status.expiration_time
            until = f" (until {clock(end)})" if end else ""
            user = f"  user {instance.spec.user}" if instance.spec.user else ""
            lines.append(f"  {instance.key}{user}  left: {time_left(instance, now)}{until}")
        if len(order) > SHOWN:
            node = order[0].status.node_name
            more = len(order) - SHOWN
            lines.append(f"  and {more} more: kubectl challenge list -A --node {node}")
    if found.at_rest:
        number = count(len(found.at_rest), "expired instance")
        lines.append(f"{number} without containers kept (onExpiry: Retain)")
    return lines
