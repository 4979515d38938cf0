"""The range of host ports in force: which rows `ports` has, and what the range was set by.

A range that an operator has set on the node goes before the one that the agent was started with,
also after a restart. Each function takes a connection that is inside a transaction of its caller
and never commits.
"""

import json
import random
from collections.abc import Sequence
from typing import Final

from sqlite_utils import Database

from controller.ledger.portrange import spans
from controller.ledger.ports import END_OF_LINE, drop_outside

KEY: Final = "ports"
"""Of the range in force, in `meta`."""
OVERRIDE: Final = "ports_override"
"""Of the operator's own range, in `meta`; empty, or not there, while there is none."""


def set_range(db: Database, wanted: Sequence[int], chance: random.Random) -> bool:
    """Make the ledger's ports those of `wanted` (ascending); whether they were others.

    New ones join the end of the line in random order; free ones outside go; those outside that are
    held or put aside stay until they come free.
    """
    recorded = json.dumps(spans(wanted))
    if _get(db, KEY) == recorded:
        return False
    everything = json.dumps(list(wanted))
    db.execute("UPDATE ports SET in_range = port IN (SELECT value FROM json_each(?))", [everything])
    drop_outside(db)
    known = {port for (port,) in db.execute("SELECT port FROM ports WHERE in_range = 1")}
    new = [port for port in wanted if port not in known]
    chance.shuffle(new)
    db.execute(
        f"INSERT INTO ports (port, turn) SELECT value, key + {END_OF_LINE} FROM json_each(?)",
        [json.dumps(new)],
    )
    _put(db, KEY, recorded)
    return True


def override(db: Database, wanted: Sequence[int] | None) -> None:
    """Note the operator's own range, None for none; `set_range` puts it in force."""
    if wanted is not None or _get(db, OVERRIDE):
        _put(db, OVERRIDE, "" if wanted is None else json.dumps(spans(wanted)))


def overriding(db: Database) -> list[int] | None:
    """The operator's own range, ascending; None when there is none."""
    recorded = _get(db, OVERRIDE)
    if not recorded:
        return None
    return [port for low, high in json.loads(recorded) for port in range(low, high + 1)]


def _get(db: Database, key: str) -> str | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
    return None if row is None else str(row[0])


def _put(db: Database, key: str, value: str) -> None:
    db.execute(
        "INSERT INTO meta (key, value) VALUES (?, ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [key, value],
    )
