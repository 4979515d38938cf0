"""The warm slots: launched ahead with ports of their own, claimed by one instance each.

Responsible for the rows of `slots`. Each function takes a connection that is inside a transaction
of its caller and never commits.
"""

import json

from sqlite_utils import Database

from controller.ledger.errors import LedgerConflict
from controller.ledger.records import Slot

_SELECT = """
SELECT slot, namespace, challenge, template,
       (SELECT uid FROM instances WHERE id = slots.instance), created, claimed,
       (SELECT json_group_object(ports.name, ports.port) FROM ports WHERE ports.slot = slots.slot)
FROM slots
"""


def insert(
    db: Database,
    slot: str,
    *,
    namespace: str,
    challenge: str,
    template: str,
    port_count: int,
    now: int,
) -> bool:
    """Add an unclaimed slot; False when there is one of that name, which is left as it is."""
    added = db.execute(
        "INSERT INTO slots (slot, namespace, challenge, template, port_count, created)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (slot) DO NOTHING",
        [slot, namespace, challenge, template, port_count, now],
    )
    return added.rowcount == 1


def is_claimed(db: Database, slot: str) -> bool:
    """Whether an instance has claimed the slot."""
    found = db.execute("SELECT 1 FROM slots WHERE slot = ? AND instance IS NOT NULL", [slot])
    return found.fetchone() is not None


def claim(db: Database, slot: str, uid: str, *, number: int, now: int) -> None:
    """Give slot and ports to the instance, whose row has this number.

    Raises LedgerConflict when there is no such slot, or another instance has it.
    """
    claimed = db.execute(
        "UPDATE slots SET instance = ?, claimed = ? WHERE slot = ? AND instance IS NULL",
        [number, now, slot],
    )
    if claimed.rowcount == 0:
        held = get(db, slot)
        state = "is not in the ledger" if held is None else f"is claimed by {held.instance}"
        raise LedgerConflict(f"slot {slot} {state}: {uid} cannot claim it")
    db.execute("UPDATE ports SET instance = ?, confirmed = ? WHERE slot = ?", [number, now, slot])


def delete(db: Database, slot: str) -> None:
    """Remove the slot; ports claimed with it stay with their instance."""
    db.execute("DELETE FROM slots WHERE slot = ?", [slot])


def unclaimed(db: Database) -> set[str]:
    """The names of the slots that no instance has claimed."""
    return {slot for (slot,) in db.execute("SELECT slot FROM slots WHERE instance IS NULL")}


def get(db: Database, slot: str) -> Slot | None:
    """One slot, or None."""
    return next(iter(_select(db, "WHERE slot = ?", [slot])), None)


def warm(db: Database, *, namespace: str, challenge: str, template: str) -> list[Slot]:
    """The unclaimed slots of this challenge and template, the oldest first."""
    return _select(
        db,
        "WHERE instance IS NULL AND namespace = ? AND challenge = ? AND template = ?"
        " ORDER BY created",
        [namespace, challenge, template],
    )


def everything(db: Database) -> list[Slot]:
    """All slots, by name."""
    return _select(db, "ORDER BY slot", [])


def _select(db: Database, where: str, parameters: list[str]) -> list[Slot]:
    return [
        Slot(
            slot=slot,
            namespace=namespace,
            challenge=challenge,
            template=template,
            ports=json.loads(ports),
            instance=instance,
            created=created,
            claimed=claimed,
        )
        for slot, namespace, challenge, template, instance, created, claimed, ports in db.execute(
            _SELECT + where, parameters
        )
    ]
