"""What API server, ledger and engine say of a node's instances, compared: who is to be looked at.

Pure: plain data in, a plan out. It asks nobody and changes nothing. A plan is a hint: what is
amiss is looked at again by whoever puts it right, since the three were not read at one moment.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from controller.ledger import Instance as Row
from controller.reconcile.queue import Key
from controller.runtime import labels
from controller.runtime.containers import ContainerState

Object = dict[str, Any]
Inner = tuple[str, int, str]
"""A port as an instance has it inside: the container, its own port, and the protocol ("tcp")."""

UP: Final = ("running", "paused")
"""States of a container that is launched and has not ended."""
ENDED: Final = "exited"


@dataclass(frozen=True)
class Left:
    """An instance's folder, if it is here, and how many volumes the engine has of it."""

    key: Key
    folder: bool
    volumes: int


@dataclass(frozen=True)
class Seen:
    """What the three said, read in this order: objects, containers, rows, and what is left.

    A row is made before the first container and goes after the last, so that a container of a
    launch or a removal under way is never without one here.
    """

    objects: Mapping[str, Object]
    """The objects on this node by uid."""
    containers: Mapping[str, Sequence[ContainerState]]
    """The engine's containers by uid."""
    rows: Mapping[str, Row]
    """The ledger's rows by uid."""
    left: Mapping[str, Left] = field(default_factory=dict)
    """The folders and volumes of uids that have no object here."""


@dataclass(frozen=True)
class Orphan:
    """An instance that is not this node's, and what of it is here: kind → number."""

    key: Key
    kinds: Counter[str]

    def __str__(self) -> str:
        """What of it is here, in words."""
        return ", ".join(
            f"{number} {kind}{'s' if number > 1 else ''}" for kind, number in (+self.kinds).items()
        )


@dataclass(frozen=True)
class Plan:
    """Who is to be looked at, and why."""

    orphans: dict[str, Orphan] = field(default_factory=dict)
    """What is here of uids that have no object here."""
    unbooked: dict[str, Key] = field(default_factory=dict)
    """Whose containers run on ports that the ledger does not have for them."""
    crashed: dict[str, Key] = field(default_factory=dict)
    """Whose launch was cut off."""
    adopted: int = 0
    """Instances with an object, a row and containers that agree, and are left as they are."""


def compare(seen: Seen, *, begun_before: int, busy: Callable[[str], bool]) -> Plan:
    """Compare; a launch that began before that time (ms UTC) and did not end has crashed.

    ``busy`` tells of a uid whether somebody is at work on it, or waits for something to go on.
    """
    known = seen.rows.keys() | seen.containers.keys() | seen.left.keys()
    crashed = {
        uid: key_of(read)
        for uid, read in seen.objects.items()
        if _has_crashed(seen, uid, begun_before) and not busy(uid)
    }
    here = seen.objects.keys() & seen.containers.keys()
    unbooked = {
        uid: key_of(seen.objects[uid])
        for uid in here
        if not is_booked(seen.rows.get(uid), seen.containers[uid], told_names(seen.objects[uid]))
    }
    return Plan(
        orphans={uid: _orphan(seen, uid) for uid in sorted(known - seen.objects.keys())},
        unbooked=unbooked,
        crashed=crashed,
        adopted=len(here - unbooked.keys() - crashed.keys()),
    )


def _has_crashed(seen: Seen, uid: str, begun_before: int) -> bool:
    read, row = seen.objects[uid], seen.rows.get(uid)
    if row is None or read["metadata"].get("deletionTimestamp"):
        return False
    found = seen.containers.get(uid, ())
    return is_crashed(row, wanted_containers(read), found, begun_before=begun_before)


def is_booked(row: Row | None, found: Iterable[ContainerState], names: Mapping[Inner, str]) -> bool:
    """Whether the ledger has the instance, with all ports that its containers are bound to.

    ``names`` tells what a port is called in the ledger, where that is known: two that have changed
    places would send players to the wrong one.
    """
    if row is None:
        return False
    for state in found:
        for port in state.bindings:
            name = names.get((state.container, port.container_port, port.protocol))
            held = row.ports.values() if name is None else (row.ports.get(name),)
            if port.host_port not in held:
                return False
    return True


def told_names(read: Object) -> dict[Inner, str]:
    """What the object's status calls its ports; empty before it tells of any."""
    ports = (read.get("status") or {}).get("ports") or []
    return {
        (port["containerName"], port["containerPort"], port["protocol"].lower()): port["name"]
        for port in ports
    }


def is_crashed(
    row: Row, wanted: Sequence[str], found: Sequence[ContainerState], *, begun_before: int
) -> bool:
    """Whether the row is of a launch that began long ago, and of which nothing runs.

    A launch whose containers were all started has come to its end; what became of them since is
    for restartPolicy to judge.
    """
    if row.is_finalized or row.attempt_started is None or row.attempt_started > begun_before:
        return False
    if any(state.state in UP for state in found):
        return False
    ended = {state.container for state in found if state.state == ENDED}
    return not wanted or not set(wanted) <= ended


def wanted_containers(read: Object) -> list[str]:
    """The names of the containers of the template that was resolved for the object."""
    template = (read.get("status") or {}).get("template") or {}
    return [str(container["name"]) for container in template.get("containers") or []]


def running(containers: Mapping[str, Iterable[ContainerState]]) -> set[str]:
    """The uids of which a container runs or is paused, and is bound to its ports."""
    return {uid for uid, found in containers.items() if any(state.state in UP for state in found)}


def wrong_rows(
    rows: Mapping[str, Row], found: Mapping[str, Row], running: Iterable[str]
) -> set[str]:
    """The rows that stand in the way of what runs: uids.

    ``found`` are the rows that the containers call for, of instances whose own the ledger has
    lost, or has wrong; ``running`` the uids of which something runs. A port is bound by one
    container, so another row that has it is of an instance that is not bound to it.
    """
    ports = {port: uid for uid, row in found.items() for port in row.ports.values()}
    bound = set(running)
    others = {
        uid
        for uid, row in rows.items()
        if uid not in bound and any(ports.get(port, uid) != uid for port in row.ports.values())
    }
    return others | (found.keys() & rows.keys())


def key_of(read: Object) -> Key:
    """Where to read the object."""
    meta = read["metadata"]
    return Key(uid=meta["uid"], namespace=meta["namespace"], name=meta["name"])


def _orphan(seen: Seen, uid: str) -> Orphan:
    row, found, left = seen.rows.get(uid), seen.containers.get(uid, ()), seen.left.get(uid)
    kinds = Counter(container=len(found))
    if row is not None:
        kinds.update(row=1, port=len(row.ports))
    if left is not None:
        kinds.update(folder=int(left.folder), volume=left.volumes)
    return Orphan(_key(uid, row, left, found), +kinds)


def _key(uid: str, row: Row | None, left: Left | None, found: Sequence[ContainerState]) -> Key:
    if row is not None:
        return Key(uid=uid, namespace=row.namespace, name=row.name)
    if left is not None:
        return left.key
    marks = found[0].labels
    return Key(
        uid=uid,
        namespace=marks.get(labels.INSTANCE_NAMESPACE, ""),
        name=marks.get(labels.INSTANCE_NAME, ""),
    )
