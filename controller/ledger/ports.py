"""The host ports: taking one, giving it back, putting it aside.

Responsible for the rows of `ports`. Each function takes a connection that is inside a transaction
of its caller and never commits.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Literal

from sqlite_utils import Database

from controller.ledger.errors import PortsExhausted
from controller.ledger.records import PortTotals, Quarantine, Usage
from controller.ledger.schema import FREE

# A port that comes free goes to the end of the line, so that late packets of the last player do not
# reach the next one's service.
END_OF_LINE = f"coalesce((SELECT turn FROM ports WHERE {FREE} ORDER BY turn DESC LIMIT 1), 0) + 1"
_FIRST_FREE = f"SELECT port FROM ports WHERE {FREE} ORDER BY turn LIMIT 1"
# Nearly always nothing is due: asking for it in the same query costs a reservation next to nothing.
_FIRST_FREE_AND_DUE = (
    f"SELECT ({_FIRST_FREE}), EXISTS ("
    "SELECT 1 FROM ports WHERE quarantine IS NOT NULL AND quarantine_until <= ?)"
)
_OF_UID = "(SELECT id FROM instances WHERE uid = ?)"
_TAKE = {
    holder: f"UPDATE ports SET {holder} = ?, name = ? WHERE port = ? AND {FREE}"
    for holder in ("instance", "slot")
}
_GIVE_BACK = (
    "UPDATE ports SET instance = NULL, slot = NULL, name = NULL, confirmed = NULL,"
    f" turn = {END_OF_LINE} WHERE "
)
_OWNERLESS = "instance IS NOT NULL AND instance NOT IN (SELECT id FROM instances)"
_END_QUARANTINE = (
    f"UPDATE ports SET quarantine = NULL, quarantine_until = NULL, turn = {END_OF_LINE} WHERE "
)
# Each from an index that holds little else: a scan of the table takes 5 ms at 53,001 ports.
_USAGE = f"""
SELECT (SELECT count(*) FROM ports INDEXED BY ports_free WHERE {FREE}),
       (SELECT count(*) FROM ports INDEXED BY ports_quarantined WHERE quarantine IS NOT NULL),
       (SELECT count(*) FROM ports),
       (SELECT count(*) FROM ports INDEXED BY ports_by_instance
        WHERE instance IS NOT NULL AND confirmed IS NOT NULL AND quarantine IS NULL)
"""
# What is held is counted in an index and the rest follows: 0.6 ms with 53,000 ports held, where the
# free and the confirmed ones take 2 and 16 ms.
_TOTALS = """
SELECT (SELECT count(*) FROM ports),
       (SELECT count(*) FROM ports INDEXED BY ports_by_instance WHERE instance IS NOT NULL)
       + (SELECT count(*) FROM ports INDEXED BY ports_by_slot
          WHERE slot IS NOT NULL AND instance IS NULL),
       (SELECT count(*) FROM ports INDEXED BY ports_quarantined
        WHERE quarantine IS NOT NULL AND instance IS NULL AND slot IS NULL),
       (SELECT count(*) FROM ports INDEXED BY ports_outside WHERE in_range = 0)
"""


def take(
    db: Database,
    names: Sequence[str],
    *,
    holder: Literal["instance", "slot"],
    of: int | str,
    now: int,
) -> dict[str, int]:
    """Give the instance (by its number) or the slot (by its name) one free port for each name.

    Raises PortsExhausted when there are not enough; the caller's transaction must then roll back.
    """
    taken: dict[str, int] = {}
    for name in names:
        port = first_free(db, now=now)
        if port is None:
            raise PortsExhausted(wanted=len(names), free=len(taken))
        _take_one(db, port, holder=holder, of=of, name=name)
        taken[name] = port
    return taken


def _take_one(
    db: Database, port: int, *, holder: Literal["instance", "slot"], of: int | str, name: str
) -> None:
    if db.execute(_TAKE[holder], [of, name, port]).rowcount != 1:
        # Only a damaged index can offer a port that its own row says is held.
        error = sqlite3.DatabaseError(f"port {port} is free in the index, held in the table")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def first_free(db: Database, *, now: int) -> int | None:
    """The port whose turn it is, quarantines that are over included; None when none is free."""
    port, due = db.execute(_FIRST_FREE_AND_DUE, [now]).fetchone()
    if due:
        _lapse(db, now=now)
        (port,) = db.execute(f"SELECT ({_FIRST_FREE})").fetchone()
    return None if port is None else int(port)


def _lapse(db: Database, *, now: int) -> None:
    """End the quarantines whose time is over."""
    db.execute(_END_QUARANTINE + "quarantine IS NOT NULL AND quarantine_until <= ?", [now])
    drop_outside(db)


def held_by_instance(db: Database, uid: str) -> dict[str, int]:
    """The ports that the instance holds: port name → host port."""
    return dict(
        db.execute(f"SELECT name, port FROM ports WHERE instance = {_OF_UID}", [uid]).fetchall()
    )


def held_by_slot(db: Database, slot: str) -> dict[str, int]:
    """The ports that were reserved for the slot: port name → host port."""
    return dict(db.execute("SELECT name, port FROM ports WHERE slot = ?", [slot]).fetchall())


def give_back_instance(db: Database, uid: str) -> None:
    """Free the ports of an instance."""
    db.execute(_GIVE_BACK + f"instance = {_OF_UID}", [uid])
    drop_outside(db)


def give_back_slot(db: Database, slot: str) -> None:
    """Free the ports of a slot, but for those that an instance has claimed with it."""
    db.execute(_GIVE_BACK + "slot = ? AND instance IS NULL", [slot])
    drop_outside(db)


def ownerless(db: Database) -> set[int]:
    """The ports of instances that have no row.

    The foreign keys forbid them; a program that writes into the file without can leave some.
    """
    query = f"SELECT port FROM ports INDEXED BY ports_by_instance WHERE {_OWNERLESS}"
    return {port for (port,) in db.execute(query)}


def give_back_ownerless(db: Database, among: Iterable[int]) -> set[int]:
    """Free those of the ports that an instance without a row has; the ones that it freed."""
    query = (
        f"SELECT port FROM ports WHERE port IN (SELECT value FROM json_each(?)) AND {_OWNERLESS}"
    )
    left = {port for (port,) in db.execute(query, [json.dumps(list(among))])}
    for port in left:
        db.execute(_GIVE_BACK + "port = ?", [port])
    if left:
        drop_outside(db)
    return left


def drop_outside(db: Database) -> None:
    """Forget the ports outside the range that nothing holds any more."""
    # The index is named, since the planner would rather walk the line of free ports.
    db.execute(f"DELETE FROM ports INDEXED BY ports_outside WHERE in_range = 0 AND {FREE}")


def confirm(db: Database, instance: int, *, now: int) -> None:
    """Note that Docker holds the ports of the instance."""
    db.execute(
        "UPDATE ports SET confirmed = ? WHERE instance = ? AND confirmed IS NULL", [now, instance]
    )


def hold(db: Database, port: int, *, instance: int, name: str, now: int) -> None:
    """Record that the instance holds this very port already, in the range or not."""
    db.execute(
        "INSERT INTO ports (port, turn, instance, name, confirmed, in_range)"
        " VALUES (?, 0, ?, ?, ?, 0)"
        " ON CONFLICT (port) DO UPDATE SET instance = excluded.instance, name = excluded.name,"
        " confirmed = excluded.confirmed, quarantine = NULL, quarantine_until = NULL",
        [port, instance, name, now],
    )


def put_aside(db: Database, port: int, *, until: int | None, reason: str) -> bool:
    """Mark the port, free or held; False when the ledger has no such port."""
    found = db.execute(
        "UPDATE ports SET quarantine = ?, quarantine_until = ? WHERE port = ?",
        [reason, until, port],
    )
    return found.rowcount == 1


def put_free_aside(
    db: Database, ports: Iterable[int], *, until: int | None, reason: str
) -> set[int]:
    """Mark those of the ports that are free; the ones that it marked."""
    rows = db.execute(
        "UPDATE ports SET quarantine = ?, quarantine_until = ?"
        f" WHERE port IN (SELECT value FROM json_each(?)) AND {FREE} RETURNING port",
        [reason, until, json.dumps(sorted(set(ports)))],
    ).fetchall()
    return {port for (port,) in rows}


def lift(db: Database, ports: Iterable[int]) -> set[int]:
    """End the quarantine of these ports, whatever its time; the ones that were put aside."""
    lifted = db.execute(
        _END_QUARANTINE
        + "port IN (SELECT value FROM json_each(?)) AND quarantine IS NOT NULL RETURNING port",
        [json.dumps(sorted(set(ports)))],
    ).fetchall()
    drop_outside(db)
    return {port for (port,) in lifted}


def quarantined(db: Database) -> list[Quarantine]:
    """The ports put aside, ascending."""
    rows = db.execute(
        "SELECT port, quarantine_until, quarantine FROM ports INDEXED BY ports_quarantined"
        " WHERE quarantine IS NOT NULL"
    )
    found = [Quarantine(port=port, until=until, reason=reason) for port, until, reason in rows]
    return sorted(found, key=lambda aside: aside.port)


def swap(db: Database, instance: int, name: str, old: int, *, now: int) -> int:
    """Give the instance another port for the name; raises PortsExhausted when none is free."""
    # Chosen before the old one is given back: it must not be the same.
    port = first_free(db, now=now)
    if port is None:
        raise PortsExhausted(wanted=1, free=0)
    db.execute(_GIVE_BACK + "port = ?", [old])
    _take_one(db, port, holder="instance", of=instance, name=name)
    drop_outside(db)
    return port


def usage(db: Database) -> Usage:
    """How many ports are in which state."""
    free, quarantined, total, confirmed = db.execute(_USAGE).fetchone()
    return Usage(
        free=free,
        reserved=total - free - quarantined - confirmed,
        confirmed=confirmed,
        quarantined=quarantined,
    )


def totals(db: Database) -> PortTotals:
    """How many ports there are, held and put aside: at little cost, however many."""
    total, held, aside, outside = db.execute(_TOTALS).fetchone()
    return PortTotals(total=total, held=held, aside=aside, outside=outside)
