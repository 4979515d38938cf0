"""The three ways to reserve a host port that `hack/bench ledger` compares.

Each holds its ports for real: filled with N instances, N ports are taken in its file. All use a
write-ahead log and synchronous=NORMAL.
"""

import random
import sqlite3
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from controller.ledger import Ledger

RANGE = range(10000, 10000 + 53_001)
CHALLENGES = 20


class Contender(Protocol):
    """Reserves and releases one port for one instance."""

    name: str

    def fill(self, uids: Sequence[str]) -> None:
        """Reserve a port for each of them."""

    def reserve(self, uid: str) -> int:
        """Prepare the launch of one instance: its row, and a port."""

    def release(self, uid: str) -> None:
        """Take both back."""

    def taken(self) -> int:
        """How many ports are taken in the file."""

    def close(self) -> None:
        """Close the file."""


def number_of(uid: str) -> int:
    """One of a few challenges, evenly, as a number."""
    return int(uid[-4:], 16) % CHALLENGES


def challenge_of(uid: str) -> str:
    """The same as a name."""
    return f"challenge-{number_of(uid)}"


class OurLedger:
    """The controller's ledger."""

    name = "ledger"

    def __init__(self, path: Path, seed: int) -> None:
        """Start an empty file."""
        self.book = Ledger.open(path, RANGE, seed=seed)

    def fill(self, uids: Sequence[str]) -> None:
        """Reserve a port for each of them, as an agent does."""
        for uid in uids:
            self.reserve(uid)

    def reserve(self, uid: str) -> int:
        """One call of the ledger's."""
        challenge = challenge_of(uid)
        return self.book.reserve(
            uid, ["http"], namespace="ctf", name="web", challenge=challenge, now=1
        )["http"]

    def release(self, uid: str) -> None:
        """One call of the ledger's."""
        self.book.release(uid, now=2)

    def taken(self) -> int:
        """Ports reserved; fails when an invariant does not hold."""
        problems = self.book.check()
        if problems:
            raise AssertionError(problems)
        return len(RANGE) - self.book.usage().free

    def close(self) -> None:
        """Close the file."""
        self.book.close()


class Peer:
    """The algorithm of picoCTF/cmgr, written plainly: read all used ports, pick, insert, retry.

    As there, the instance's row is a transaction of its own before the port's, and the two tables
    have the columns and indexes of its `cmgr/database.go`.
    """

    name = "peer"

    def __init__(self, path: Path, seed: int) -> None:
        """Start an empty file."""
        self._chance = random.Random(seed)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            """
            PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;
            CREATE TABLE instances (
                id INTEGER PRIMARY KEY, lastsolved INTEGER, build INTEGER NOT NULL,
                created_at DATETIME DEFAULT CURRENT_TIMESTAMP,
                is_finalized INTEGER NOT NULL DEFAULT 0 CHECK (is_finalized IN (0, 1)));
            CREATE TABLE ports (
                instance INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
                name TEXT NOT NULL, port INTEGER NOT NULL CHECK (port > 0 AND port < 65536));
            CREATE INDEX instances_by_build ON instances (build);
            CREATE INDEX instances_by_creation ON instances (created_at);
            CREATE INDEX ports_by_instance ON ports (instance);
            CREATE INDEX ports_by_port ON ports (port);
            """
        )
        self._ids: dict[str, int] = {}

    def fill(self, uids: Sequence[str]) -> None:
        """Insert rows in one transaction: the same rows, without the wait."""
        ports = self._chance.sample(RANGE, len(uids))
        self._db.execute("BEGIN")
        for uid, port in zip(uids, ports, strict=True):
            self._insert_port(self._open(uid), port)
        self._db.execute("COMMIT")

    def _open(self, uid: str) -> int:
        row = self._db.execute(
            "INSERT INTO instances (build, lastsolved) VALUES (?, 0)", (number_of(uid),)
        )
        self._ids[uid] = row.lastrowid or 0
        return self._ids[uid]

    def _insert_port(self, instance: int, port: int) -> bool:
        inserted = self._db.execute(
            "INSERT INTO ports (instance, name, port) SELECT ?, 'http', ?"
            " WHERE NOT EXISTS (SELECT 1 FROM ports WHERE port = ?)",
            (instance, port, port),
        )
        return inserted.rowcount == 1

    def reserve(self, uid: str) -> int:
        """Insert the instance, read the used ports, go on from a random one to a free one."""
        instance = self._open(uid)
        rows = self._db.execute(
            "SELECT port FROM ports WHERE port BETWEEN ? AND ?", (RANGE[0], RANGE[-1])
        )
        used = {port for (port,) in rows}
        while len(used) < len(RANGE):
            port = self._chance.choice(RANGE)
            while port in used:
                port = port + 1 if port < RANGE[-1] else RANGE[0]
            if self._insert_port(instance, port):
                return port
            used.add(port)
        raise RuntimeError("all ports are in use")

    def release(self, uid: str) -> None:
        """Delete the instance; its port goes with it."""
        self._db.execute("DELETE FROM instances WHERE id = ?", (self._ids.pop(uid),))

    def taken(self) -> int:
        """Ports in the table."""
        return int(self._db.execute("SELECT count(DISTINCT port) FROM ports").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class Raw:
    """sqlite3 doing the least for the same promise, the port known beforehand.

    One row with the instance and its port, unique both, and a commit.
    """

    name = "raw"

    def __init__(self, path: Path, seed: int) -> None:
        """Start an empty file."""
        order = list(RANGE)
        random.Random(seed).shuffle(order)
        self._free = deque(order)
        self._held: dict[str, int] = {}
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            """
            PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
            CREATE TABLE reservations (
                uid TEXT PRIMARY KEY, namespace TEXT, name TEXT, challenge TEXT, created INTEGER,
                port INTEGER NOT NULL UNIQUE);
            """
        )

    def fill(self, uids: Sequence[str]) -> None:
        """Insert rows in one transaction."""
        self._db.execute("BEGIN")
        for uid in uids:
            self.reserve(uid)
        self._db.execute("COMMIT")

    def reserve(self, uid: str) -> int:
        """One insert."""
        port = self._held[uid] = self._free.pop()
        self._db.execute(
            "INSERT INTO reservations VALUES (?, 'ctf', 'web', ?, 1, ?)",
            (uid, challenge_of(uid), port),
        )
        return port

    def release(self, uid: str) -> None:
        """One delete."""
        self._free.appendleft(self._held.pop(uid))
        self._db.execute("DELETE FROM reservations WHERE uid = ?", (uid,))

    def taken(self) -> int:
        """Rows in the table."""
        return int(self._db.execute("SELECT count(*) FROM reservations").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()


CONTENDERS = (OurLedger, Peer, Raw)
