"""The reading half of the public door: every question that changes nothing.

Responsible for one read transaction a question. Opened by itself it holds a read-only connection,
safe beside a running agent. It writes nothing.
"""

import sqlite3
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Self

from controller.ledger import check, instances, ports, slots, subnets
from controller.ledger.connection import Connection
from controller.ledger.errors import REBUILT, LedgerCorrupt, LedgerUnavailable
from controller.ledger.records import (
    Everything,
    Instance,
    Problem,
    Quarantine,
    Slot,
    Subnet,
    Totals,
    Usage,
)
from controller.ledger.schema import APPLICATION_ID, MIGRATIONS, unknown_migrations


class LedgerReader:
    """The questions to a ledger; close it, or use it as a context manager.

    Every method raises LedgerUnavailable when the file cannot be read.
    """

    def __init__(self, connection: Connection) -> None:
        """Take over the connection; use `open` instead."""
        self._connection = connection
        self.path = connection.path

    @classmethod
    def open_read_only(cls, path: str | Path, *, busy_timeout: float = 5.0) -> "LedgerReader":
        """Open an existing ledger for reading, also while an agent runs.

        Raises LedgerUnavailable when there is none or it has another schema version, and
        LedgerCorrupt when the file is no ledger.
        """
        file = Path(path)
        if not file.exists():
            raise LedgerUnavailable(file, "there is no such file", "name the agent's ledger")
        connection = Connection(file, busy_timeout=busy_timeout, read_only=True)
        try:
            _require_ledger(connection)
        except BaseException:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Close the file; once more is fine."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def get(self, uid: str) -> Instance | None:
        """The instance, or None when the ledger has no row for it."""
        with self._connection.read as db:
            return instances.get(db, uid)

    def instances(
        self, challenges: Iterable[str] | None = None, *, uids: Iterable[str] | None = None
    ) -> list[Instance]:
        """The instances of these challenges, or with these uids, or all; by uid, in one query.

        Raises ValueError when both are given.
        """
        if challenges is not None and uids is not None:
            raise ValueError("instances(): give challenges or uids, not both")
        # Before the transaction: what is iterated over might itself ask the ledger.
        challenges = None if challenges is None else list(challenges)
        uids = None if uids is None else list(uids)
        with self._connection.read as db:
            if challenges is not None:
                return instances.by_challenge(db, challenges)
            if uids is not None:
                return instances.by_uid(db, uids)
            return instances.everything(db)

    def uids(self) -> set[str]:
        """The uids of all instances."""
        with self._connection.read as db:
            return instances.uids(db)

    def unfinalized(self, *, attempt_before: int) -> list[Instance]:
        """The instances not finalized whose launch began before that time, the oldest first.

        `attempt_before` is in ms UTC. An instance whose launch has not begun is not among them.
        """
        with self._connection.read as db:
            return instances.unfinalized(db, attempt_before=attempt_before)

    def expired(self, now: int) -> list[Instance]:
        """The instances whose deadline (`set_expiry`) is at or before `now`, the oldest first."""
        with self._connection.read as db:
            return instances.expired(db, now=now)

    def ownerless_ports(self) -> set[int]:
        """The ports of instances that have no row: somebody has edited the file."""
        with self._connection.read as db:
            return ports.ownerless(db)

    def usage(self) -> Usage:
        """How many ports are free, reserved, confirmed and quarantined."""
        with self._connection.read as db:
            return ports.usage(db)

    def totals(self, *, pool: IPv4Network) -> Totals:
        """How many ports, instances and subnets of the pool are taken; 1 ms with 53,000 ports."""
        with self._connection.read as db:
            return Totals(
                ports=ports.totals(db),
                instances=instances.count(db),
                subnets=subnets.count(db, pool),
            )

    def quarantined(self) -> list[Quarantine]:
        """The ports put aside, ascending."""
        with self._connection.read as db:
            return ports.quarantined(db)

    def subnets(self) -> list[Subnet]:
        """The subnets given out, by address."""
        with self._connection.read as db:
            return subnets.everything(db)

    def slots(self) -> list[Slot]:
        """All warm slots, claimed ones too, by name."""
        with self._connection.read as db:
            return slots.everything(db)

    def warm_slots(self, *, namespace: str, challenge: str, template: str) -> list[Slot]:
        """The unclaimed slots of this challenge and template hash, the oldest first."""
        with self._connection.read as db:
            return slots.warm(db, namespace=namespace, challenge=challenge, template=template)

    def get_meta(self, key: str) -> str | None:
        """What was recorded under the key (engine ID, node name …), or None."""
        with self._connection.read as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", [key]).fetchone()
            return None if row is None else str(row[0])

    def meta(self) -> dict[str, str]:
        """Everything recorded about this ledger, its range and schema version included."""
        with self._connection.read as db:
            return dict(db.execute("SELECT key, value FROM meta ORDER BY key").fetchall())

    def everything(self) -> Everything:
        """All of it, as it was at one moment."""
        with self._connection.read as db:
            return Everything(
                meta=dict(db.execute("SELECT key, value FROM meta ORDER BY key").fetchall()),
                usage=ports.usage(db),
                instances=instances.everything(db),
                slots=slots.everything(db),
                subnets=subnets.everything(db),
                quarantined=ports.quarantined(db),
            )

    def check(self) -> list[Problem]:
        """Every invariant that does not hold; empty when the ledger is sound."""
        with self._connection.read as db:
            return check.check(db)


def _require_ledger(connection: Connection) -> None:
    """Refuse a file that is no ledger, or one of another schema version."""
    path = connection.path
    with connection.read as db:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        if application != APPLICATION_ID:
            raise LedgerCorrupt(path, "the file is no ledger", "name the agent's ledger")
        try:
            other = bool(unknown_migrations(db) or MIGRATIONS.pending(db))
        except (KeyError, sqlite3.OperationalError) as error:
            raise LedgerCorrupt(
                path,
                f"its schema is damaged ({error})",
                REBUILT,
            ) from error
        if other:
            raise LedgerUnavailable(
                path,
                "the file has another schema version than this program",
                "use the version of the running agent, or start the agent once to migrate it",
            )
