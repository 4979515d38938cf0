"""The ledger's public door: which instance holds which host port, on this node.

Responsible for one transaction a call (BEGIN IMMEDIATE), with one `now`; the tables themselves are
the business of ports, instances, slots and subnets. It must not know Docker or the API server.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from controller.ledger import inforce, instances, ports, rebuild, subnets
from controller.ledger import restore as restoring
from controller.ledger.connection import Connection
from controller.ledger.doors import SlotDoor, SubnetDoor
from controller.ledger.errors import LedgerConflict, LedgerUnavailable
from controller.ledger.filesystem import set_aside
from controller.ledger.names import distinct, same_ports
from controller.ledger.opening import Opened, open_file
from controller.ledger.portrange import parse_ports
from controller.ledger.records import Instance, Problem
from controller.ledger.watch import Loss


class Ledger(SlotDoor, SubnetDoor):
    """One node's book of ports, subnets and warm slots; safe for threads and processes.

    Every `now`, `until` and `expires` is in integer milliseconds UTC. Every method raises
    LedgerUnavailable when the file cannot be read or written, and has then changed nothing.
    """

    def __init__(self, opened: Opened) -> None:
        """Take over an open file; use `open` instead."""
        super().__init__(opened.connection)
        self.is_new = opened.is_new
        self.needs_restore = opened.pending
        self.set_aside = opened.aside

    @classmethod
    def open(
        cls,
        path: str | Path,
        ports: Iterable[int] | str | None,
        *,
        seed: int | str | None = None,
        busy_timeout: float = 5.0,
        wal: bool | None = True,
        synchronous: str = "NORMAL",
        sole_writer: bool = False,
    ) -> "Ledger":
        """Open the file, or start it; its folder must exist.

        `ports` is the range (`range(10000, 30000)` or "10000-29999", both ends included), unless
        `set_range` has set another one; None keeps the recorded one and needs a ledger that is
        there. Free ports outside a changed range go, held ones stay until they are released. `seed`
        fixes the order in which new ports are given out. `busy_timeout` (seconds) bounds the wait
        for other processes; `synchronous` is OFF, NORMAL, FULL or EXTRA. With `sole_writer` no
        other process brings the log into the file, as one does that opens it with `wal` True: then
        a file that is written over while it is open is noticed, and a log that is removed.

        A corrupt or foreign file is set aside: then `is_new` is True and `set_aside` names it.
        `needs_restore` stays True, over any number of starts, until `restore` was called. `wal`
        None leaves the file's journal mode as it is. Raises ValueError for a setting out of bounds
        and LedgerUnavailable.
        """
        wanted = None if ports is None else parse_ports(ports)
        file = Path(path).absolute()
        if wanted is None and not file.exists():
            raise LedgerUnavailable(file, "there is no such file", "start the agent first")

        def connect() -> Connection:
            return Connection(
                file,
                busy_timeout=busy_timeout,
                wal=wal,
                synchronous=synchronous,
                sole_writer=sole_writer,
            )

        return cls(open_file(connect, wanted, random.Random(seed)))

    def reserve(
        self,
        uid: str,
        names: Iterable[str],
        *,
        namespace: str,
        name: str,
        challenge: str | None = None,
        now: int,
    ) -> dict[str, int]:
        """Reserve a host port for each name, and a row for the instance: all or none.

        For the same uid and names it gives the same ports again. Raises PortsExhausted,
        LedgerConflict when the uid holds ports of other names, and ValueError for names that
        repeat or are empty.
        """
        wanted = distinct(names)
        with self._connection.write as db:
            number = instances.insert(
                db,
                uid,
                namespace=namespace,
                name=name,
                challenge=challenge,
                port_count=len(wanted),
                now=now,
            )
            if number is None:
                return same_ports(wanted, ports.held_by_instance(db, uid), f"instance {uid}")
            return ports.take(db, wanted, holder="instance", of=number, now=now)

    def release(self, uid: str, *, now: int) -> None:
        """Free the instance's ports and subnets, and drop its row and claimed slot.

        The ports go to the end of the line. For an unknown uid nothing happens.
        """
        with self._connection.write as db:
            ports.give_back_instance(db, uid)
            subnets.free(db, uid)
            instances.delete(db, uid)

    def free_ownerless_ports(self, among: Iterable[int], *, now: int) -> set[int]:
        """Free those of the ports that an instance without a row has; the ones that it freed."""
        among = list(among)
        with self._connection.write as db:
            return ports.give_back_ownerless(db, among)

    def confirm(self, uid: str, *, now: int) -> None:
        """Note that Docker holds all ports of the instance; raises InstanceNotFound."""
        with self._connection.write as db:
            ports.confirm(db, instances.require(db, uid), now=now)

    def quarantine(self, port: int, *, until: int | None, reason: str) -> None:
        """Put a port aside that a foreign program holds.

        Nobody gets it before `until`; with None not before it is lifted. An instance that holds it
        keeps it until `swap` or `release`. For one that is put aside already the new
        time and reason count. Raises LedgerConflict for a port that is not the ledger's, and
        ValueError without a reason.
        """
        if not reason:
            raise ValueError(f"port {port}: expected a reason to put it aside for")
        with self._connection.write as db:
            if not ports.put_aside(db, port, until=until, reason=reason):
                raise LedgerConflict(f"port {port} is not in the ledger: it cannot be put aside")

    def quarantine_free(
        self, ports_to_keep: Iterable[int], *, until: int | None, reason: str
    ) -> set[int]:
        """Put aside those of the ports that are free, in one transaction; the ones it put aside.

        Ports that are held, put aside already or not the ledger's are left as they are.
        """
        ports_to_keep = list(ports_to_keep)
        with self._connection.write as db:
            return ports.put_free_aside(db, ports_to_keep, until=until, reason=reason)

    def lift(self, ports_to_lift: Iterable[int]) -> set[int]:
        """End the quarantine of these ports; the ones that were put aside."""
        ports_to_lift = list(ports_to_lift)
        with self._connection.write as db:
            return ports.lift(db, ports_to_lift)

    def swap(
        self, uid: str, name: str, *, now: int, until: int | None = None, reason: str | None = None
    ) -> int:
        """Give the instance another port for the name, in place of one that cannot be bound.

        With a `reason` the old port is put aside until `until` in the same transaction; without,
        it stays put aside if `quarantine` did so, or goes to the end of the line. Raises
        PortsExhausted (the old port is then kept), InstanceNotFound, and LedgerConflict when the
        instance has no port of that name.
        """
        with self._connection.write as db:
            number = instances.require(db, uid)
            old = ports.held_by_instance(db, uid).get(name)
            if old is None:
                raise LedgerConflict(f"instance {uid} has no port named {name!r} to swap")
            if reason is not None:
                ports.put_aside(db, old, until=until, reason=reason)
            return ports.swap(db, number, name, old, now=now)

    def finalize(self, uids: Iterable[str], *, now: int) -> set[str]:
        """Mark the instances as finalized, in one transaction; the ones that it marked.

        Unknown uids and those finalized before are left out.
        """
        uids = list(uids)
        with self._connection.write as db:
            return instances.finalize(db, uids)

    def begin_attempt(self, uid: str, *, now: int) -> None:
        """Stamp `attempt_started`: a launch, or a relaunch, begins now.

        It alone unsets `is_finalized`. Raises InstanceNotFound.
        """
        with self._connection.write as db:
            instances.begin_attempt(db, uid, now=now)

    def withdraw_attempt(self, uid: str, *, now: int) -> None:
        """Take `attempt_started` back: nothing of that launch is left, and no other has begun.

        A finalized instance keeps it, and an unknown uid is left out.
        """
        with self._connection.write as db:
            instances.withdraw_attempt(db, uid)

    def set_expiry(self, uid: str, *, expires: int | None, now: int) -> None:
        """Set the deadline that `expired` looks at, None for never; raises InstanceNotFound."""
        with self._connection.write as db:
            instances.set_expiry(db, uid, expires=expires)

    def set_range(
        self, ports: Iterable[int] | str, *, override: bool, seed: int | str | None = None
    ) -> bool:
        """Change the range while instances run, as `open` does; whether it was another one.

        With `override` it is an operator's own, which goes before the one given at `open` until
        this is called without. Raises ValueError for a setting out of bounds.
        """
        wanted = parse_ports(ports)
        with self._connection.write as db:
            inforce.override(db, wanted if override else None)
            return inforce.set_range(db, wanted, random.Random(seed))

    @property
    def problem(self) -> str:
        """Why the file could not be read or written, until something was written; else empty."""
        return self._connection.problem

    def look(self) -> Loss:
        """What has become of the file under the open connection; `problem` has the words."""
        return self._connection.look()

    def put_back(self) -> Path | None:
        """Write the ledger to its path again when its file is away: nothing of it is lost.

        Returns where the file was moved to that lay there instead. Raises LedgerCorrupt when there
        is nothing left to write, and LedgerLost when it was written and this one cannot be used.
        """
        return self._connection.put_back()

    def give_up(self) -> Path | None:
        """Close the ledger, whose file is not to be believed, and set that aside; its new name.

        The next `open` starts a fresh one.
        """
        file = self._connection.path
        try:
            aside = set_aside(file, today=datetime.now(UTC)) if file.exists() else None
        except OSError as error:
            raise LedgerUnavailable(
                file, f"the file is bad and cannot be renamed ({error})", "move it away"
            ) from error
        self.close()
        return aside

    def probe(self, *, now: int) -> None:
        """Write something, to see whether the file can be written."""
        with self._connection.write as db:
            db.execute(
                "INSERT INTO meta (key, value) VALUES ('probed', ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [str(now)],
            )

    def set_meta(self, key: str, value: str) -> None:
        """Record a fact about this ledger: engine ID, node name, cluster uid, installation.

        Raises ValueError for the keys that the ledger itself keeps.
        """
        if key in (inforce.KEY, inforce.OVERRIDE, "schema_version", rebuild.KEY):
            raise ValueError(f"meta key {key!r} is the ledger's own")
        with self._connection.write as db:
            db.execute(
                "INSERT INTO meta (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [key, value],
            )

    def restore(
        self, found: Iterable[Instance], *, now: int, instead_of: Iterable[str] = ()
    ) -> list[Problem]:
        """Take over instances that run with the ports they hold, in one transaction.

        Before that the rows of `instead_of` go, and their ports; their subnets stay. Returns what
        could not be taken over, an instance whole or not at all; the rest is. Ports outside the
        range are kept until they are released. `needs_restore` is False from then on.
        """
        found, wrong = list(found), list(instead_of)
        with self._connection.write as db:
            rebuild.done(db)
            for uid in wrong:
                ports.give_back_instance(db, uid)
                instances.delete(db, uid)
            outcomes = [restoring.restore(db, instance, now=now) for instance in found]
        self.needs_restore = False
        return [problem for problem in outcomes if problem is not None]
