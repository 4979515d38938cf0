"""The instances: their rows from the first reservation to the release.

Responsible for the rows of `instances`. Each function takes a connection that is inside a
transaction of its caller and never commits.
"""

import json
from collections.abc import Iterable
from typing import Any

from sqlite_utils import Database

from controller.ledger.errors import InstanceNotFound
from controller.ledger.records import Instance

_SELECT = """
SELECT uid, namespace, name, challenge, is_finalized, created, attempt_started, expires,
       (SELECT json_group_object(ports.name, ports.port) FROM ports
        WHERE ports.instance = instances.id)
FROM instances
"""
_INSERT = """
INSERT INTO instances (uid, namespace, name, challenge, port_count, is_finalized, created)
VALUES (?, ?, ?, ?, ?, 0, ?) ON CONFLICT (uid) DO NOTHING
"""
# CROSS JOIN is SQLite's own way to say which table comes first: the uids in the order given, which
# is mostly the one of the rows. `uid IN (…)` would sort them first, a third of the whole cost.
_UNFINALIZED_OF = """
FROM json_each(?) CROSS JOIN instances ON uid = value WHERE is_finalized = 0
"""
_FINALIZE = (
    f"UPDATE instances SET is_finalized = 1 WHERE id IN (SELECT instances.id {_UNFINALIZED_OF})"
)


def insert(
    db: Database,
    uid: str,
    *,
    namespace: str,
    name: str,
    challenge: str | None,
    port_count: int,
    now: int,
) -> int | None:
    """Add an unfinalized row; its number, or None when the uid has one, which is left as it is.

    The number is the file's own business: one that was released is given out again.
    """
    added = db.execute(_INSERT, [uid, namespace, name, challenge, port_count, now])
    return added.lastrowid if added.rowcount == 1 else None


def delete(db: Database, uid: str) -> None:
    """Remove the row; its ports must be given back before."""
    db.execute("DELETE FROM instances WHERE uid = ?", [uid])


def begin_attempt(db: Database, uid: str, *, now: int) -> None:
    """Stamp the start of a launch, the first or a later one; raises InstanceNotFound."""
    changed = db.execute(
        "UPDATE instances SET attempt_started = ?, is_finalized = 0 WHERE uid = ?", [now, uid]
    )
    _require(changed.rowcount, uid)


def withdraw_attempt(db: Database, uid: str) -> None:
    """Take the stamp back of one that is not finalized; the others are left as they are."""
    db.execute(
        "UPDATE instances SET attempt_started = NULL WHERE uid = ? AND is_finalized = 0", [uid]
    )


def set_expiry(db: Database, uid: str, *, expires: int | None) -> None:
    """Set the deadline, None for never; raises InstanceNotFound."""
    changed = db.execute("UPDATE instances SET expires = ? WHERE uid = ?", [expires, uid])
    _require(changed.rowcount, uid)


def _require(changed: int, uid: str) -> None:
    if changed == 0:
        raise InstanceNotFound(uid)


def find(db: Database, uid: str) -> int | None:
    """The number of the instance's row, None without one."""
    row = db.execute("SELECT id FROM instances WHERE uid = ?", [uid]).fetchone()
    return None if row is None else int(row[0])


def require(db: Database, uid: str) -> int:
    """The number of the instance's row; raises InstanceNotFound."""
    number = find(db, uid)
    if number is None:
        raise InstanceNotFound(uid)
    return number


def finalize(db: Database, uids: Iterable[str]) -> set[str]:
    """Mark as finalized; the uids that were not before."""
    wanted = dict.fromkeys(uids)
    listed = [json.dumps(list(wanted))]
    db.execute("SAVEPOINT finalize")
    marked = set(wanted)
    if db.execute(_FINALIZE, listed).rowcount < len(wanted):
        # Some are unknown, or were finalized before, and which ones it does not tell. That is rare,
        # and RETURNING would cost every batch more than the update itself.
        db.execute("ROLLBACK TO finalize")
        marked = {uid for (uid,) in db.execute(f"SELECT uid {_UNFINALIZED_OF}", listed)}
        db.execute(_FINALIZE, listed)
    db.execute("RELEASE finalize")
    return marked


def get(db: Database, uid: str) -> Instance | None:
    """One instance, or None."""
    found = _select(db, "WHERE uid = ?", [uid])
    return found[0] if found else None


def by_challenge(db: Database, challenges: Iterable[str]) -> list[Instance]:
    """The instances of these challenges, in one query, by uid."""
    return _select(
        db,
        "WHERE challenge IN (SELECT value FROM json_each(?)) ORDER BY uid",
        [_json(challenges)],
    )


def by_uid(db: Database, uids: Iterable[str]) -> list[Instance]:
    """The instances with these uids, in one query, by uid."""
    return _select(db, "WHERE uid IN (SELECT value FROM json_each(?)) ORDER BY uid", [_json(uids)])


def everything(db: Database) -> list[Instance]:
    """All instances, by uid."""
    return _select(db, "ORDER BY uid", [])


def uids(db: Database) -> set[str]:
    """The uids of all instances."""
    return {uid for (uid,) in db.execute("SELECT uid FROM instances")}


def count(db: Database) -> int:
    """How many there are."""
    (found,) = db.execute("SELECT count(*) FROM instances").fetchone()
    return int(found)


def unfinalized(db: Database, *, attempt_before: int) -> list[Instance]:
    """The unfinalized whose launch began before that time, the oldest first."""
    return _select(
        db,
        "WHERE is_finalized = 0 AND attempt_started < ? ORDER BY attempt_started",
        [attempt_before],
    )


def expired(db: Database, *, now: int) -> list[Instance]:
    """The instances whose deadline is reached, the oldest first."""
    return _select(db, "WHERE expires <= ? ORDER BY expires", [now])


def _json(texts: Iterable[str]) -> str:
    """The texts as one parameter: a list of any length without a statement of its own."""
    return json.dumps(sorted(set(texts)))


def _select(db: Database, where: str, parameters: list[Any]) -> list[Instance]:
    return [
        Instance(
            uid=uid,
            namespace=namespace,
            name=name,
            challenge=challenge,
            ports=json.loads(ports),
            is_finalized=bool(is_finalized),
            created=created,
            attempt_started=attempt_started,
            expires=expires,
        )
        for (
            uid,
            namespace,
            name,
            challenge,
            is_finalized,
            created,
            attempt_started,
            expires,
            ports,
        ) in db.execute(_SELECT + where, parameters)
    ]
