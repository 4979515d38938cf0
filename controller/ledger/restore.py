"""Rebuilding the ledger from what runs: Docker's labels and the API server know it.

Responsible for taking instances over with the ports that they hold already; it asks nobody, and
starts or stops nothing. It takes a connection that is inside a transaction of its caller.
"""

import json
import sqlite3
from collections.abc import Mapping

from sqlite_utils import Database

from controller.ledger import instances, ports
from controller.ledger.portrange import HIGHEST_PORT, LOWEST_PORT
from controller.ledger.records import Instance, Problem

_INSERT = """
INSERT INTO instances (uid, namespace, name, challenge, port_count, is_finalized, created,
                       attempt_started, expires)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO NOTHING
"""


def restore(db: Database, instance: Instance, *, now: int) -> Problem | None:
    """Take over one instance with all its ports; what stands in the way, and then none of it.

    The same one once more changes nothing. A port outside the range is kept until it is released;
    a quarantine of its ports ends, since the instance itself holds them.
    """
    held = ports.held_by_instance(db, instance.uid)
    if instances.find(db, instance.uid) is not None:
        if held == dict(instance.ports):
            return None
        return _conflict(instance, f"the ledger has it with the ports {held}")
    ports.give_back_ownerless(db, instance.ports.values())
    if refusal := _out_of_bounds(instance) or _holders(db, instance):
        return _conflict(instance, refusal)
    db.execute("SAVEPOINT restore")
    try:
        _insert(db, instance, now=now)
    except sqlite3.IntegrityError as error:
        db.execute("ROLLBACK TO restore")
        return _conflict(instance, str(error))
    finally:
        db.execute("RELEASE restore")
    return None


def _out_of_bounds(instance: Instance) -> str:
    """What no port can be, in words; empty when all are ports."""
    found: Mapping[str, object] = instance.ports  # read from labels and objects: it may be anything
    for name, port in found.items():
        if not isinstance(port, int) or not LOWEST_PORT <= port <= HIGHEST_PORT:
            return f"port {name} is {port!r}: expected {LOWEST_PORT} to {HIGHEST_PORT}"
    return ""


def _holders(db: Database, instance: Instance) -> str:
    """Who holds the instance's ports instead, in words; empty when nobody does."""
    rows = db.execute(
        "SELECT port, coalesce('instance ' || (SELECT uid FROM instances WHERE id = instance),"
        " 'slot ' || slot) FROM ports"
        " WHERE port IN (SELECT value FROM json_each(?))"
        " AND (instance IS NOT NULL OR slot IS NOT NULL) ORDER BY port",
        [json.dumps(list(instance.ports.values()))],
    ).fetchall()
    if len(set(instance.ports.values())) < len(instance.ports):
        return f"one port has two names in {dict(instance.ports)}"
    return ", ".join(f"port {port} belongs to {holder}" for port, holder in rows)


def _insert(db: Database, instance: Instance, *, now: int) -> None:
    db.execute(
        _INSERT,
        [
            instance.uid,
            instance.namespace,
            instance.name,
            instance.challenge,
            len(instance.ports),
            int(instance.is_finalized),
            instance.created or now,
            instance.attempt_started,
            instance.expires,
        ],
    )
    number = instances.require(db, instance.uid)
    for name, port in instance.ports.items():
        ports.hold(db, port, instance=number, name=name, now=now)


def _conflict(instance: Instance, why: str) -> Problem:
    return Problem(
        "NotRestored", f"instance {instance.uid} ({instance.namespace}/{instance.name}): {why}"
    )
