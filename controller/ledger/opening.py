"""Opening a ledger for writing: a sound file at the newest schema, with the wanted range.

Responsible for what happens before the first request: a corrupt or foreign file is set aside and a
fresh one started, older schemas are migrated, the range of ports is brought up to date.
"""

import dataclasses
import logging
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from controller.ledger import check, inforce, rebuild
from controller.ledger.connection import Connection
from controller.ledger.errors import REBUILT, LedgerCorrupt, LedgerUnavailable
from controller.ledger.filesystem import set_aside
from controller.ledger.schema import (
    APPLICATION_ID,
    MIGRATIONS,
    is_as_made,
    migrate,
    unknown_migrations,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """An open file.

    `is_new` when this call has made it, `pending` when nobody has rebuilt it since it was made,
    `aside` where a bad one was moved to.
    """

    connection: Connection
    is_new: bool
    pending: bool
    aside: Path | None = None


def open_file(
    connect: Callable[[], Connection], wanted: Sequence[int] | None, chance: random.Random
) -> Opened:
    """Open by `connect`; None for `wanted` keeps the recorded range and touches no bad file.

    Raises LedgerUnavailable, and LedgerCorrupt when `wanted` is None and the file is bad.
    """
    try:
        return _open(connect, wanted, chance)
    except LedgerCorrupt as error:
        if wanted is None:
            raise
        aside = _move_away(error) if error.is_at_path() else None
    opened = _open(connect, wanted, chance)
    return dataclasses.replace(opened, aside=aside)


def _move_away(error: LedgerCorrupt) -> Path:
    try:
        aside = set_aside(error.path, today=datetime.now(UTC))
    except OSError as refusal:
        raise LedgerUnavailable(
            error.path, f"the file is bad and cannot be renamed ({refusal})", "move it away"
        ) from error
    _logger.error("%s. Set aside as %s; a fresh ledger is started", error, aside)
    return aside


def _open(
    connect: Callable[[], Connection], wanted: Sequence[int] | None, chance: random.Random
) -> Opened:
    connection = connect()
    try:
        with connection.write as db:
            is_new = _is_empty(db)
            if not is_new:
                _require_sound(connection.path, db)
                _require_migrated(connection.path, db, wanted)
            elif wanted is None:
                raise LedgerUnavailable(
                    connection.path, "the file has no ledger yet", "start the agent first"
                )
            _migrate(connection.path, db)
            if not is_new:
                _require_invariants(connection.path, db)
            if wanted is not None:
                inforce.set_range(db, inforce.overriding(db) or wanted, chance)
            if is_new:
                rebuild.ask_for(db)
            pending = rebuild.is_pending(db)
    except BaseException as error:
        if isinstance(error, LedgerCorrupt):
            error.inode = connection.identity
        connection.close()
        raise
    return Opened(connection, is_new, pending)


def _is_empty(db: Database) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None


def _require_migrated(path: Path, db: Database, wanted: Sequence[int] | None) -> None:
    """Leave it to the agent to migrate: one of an older version may be at work on the file."""
    if wanted is None and MIGRATIONS.pending(db):
        raise LedgerUnavailable(
            path,
            "an older version of this program has made the file",
            "use the version of the running agent, or start the agent once to migrate it",
        )


def _migrate(path: Path, db: Database) -> None:
    try:
        migrate(db)
    except sqlite3.IntegrityError as error:
        # Rows that a newer schema's constraints refuse are such as no transaction of ours left.
        raise LedgerCorrupt(path, f"its rows contradict each other ({error})", REBUILT) from error


def _require_invariants(path: Path, db: Database) -> None:
    """Refuse rows that no transaction of ours can have left: the file was damaged or edited."""
    check.read_everything(db)
    problems = check.broken_invariants(db)
    if problems:
        first = f"{problems[0].kind}: {problems[0].detail}"
        raise LedgerCorrupt(path, f"{len(problems)} invariant(s) do not hold ({first})", REBUILT)


def _require_sound(path: Path, db: Database) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise LedgerCorrupt(path, "the file is another program's database", REBUILT)
    try:
        broken = check.damage(db)
        newer = set() if broken else unknown_migrations(db)
        as_made = bool(broken or newer) or is_as_made(db)
    except (KeyError, sqlite3.OperationalError) as error:
        # SQLITE_ERROR: a table or column that our SQL names is not there. Any other is translated.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) != sqlite3.SQLITE_ERROR:
            raise
        raise LedgerCorrupt(path, f"its schema is damaged ({error})", REBUILT) from error
    if broken:
        raise LedgerCorrupt(path, f"the file is damaged ({broken[0]})", REBUILT)
    if newer:
        raise LedgerUnavailable(
            path,
            f"a newer version wrote it (schema {', '.join(sorted(newer))})",
            "run that version again, or move the file away to have it rebuilt",
        )
    if not as_made:
        raise LedgerCorrupt(path, "its tables are not those of a ledger", REBUILT)
