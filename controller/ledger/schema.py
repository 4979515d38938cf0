"""The tables of the ledger and the migrations that lead to them.

Responsible for the schema, its version, and nothing else: no row of data is read or written here.
A migration that was released is never edited, nor a constant that it is made of: a change is a new
migration at the end, with constants of its own. A file whose tables are not to the letter what its
migrations make is taken for a damaged one.
"""

from functools import cache

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

# "CHLG": tells a ledger from any other SQLite file (PRAGMA application_id).
APPLICATION_ID = 0x43484C47

MIGRATIONS = Migrations("challenge-controller.ledger")

# The ports of the range, one row each. `state` spells out the four states that usage() counts.
# `turn` is the place in the line of free ports, without meaning while the port is held.
# `in_range` = 0: outside the configured range, kept while held or put aside.
_PORTS = """
CREATE TABLE ports (
    port INTEGER PRIMARY KEY CHECK (port BETWEEN 1 AND 65535),
    turn INTEGER NOT NULL,
    instance TEXT REFERENCES instances (uid),
    slot TEXT REFERENCES slots (slot) ON DELETE SET NULL,
    name TEXT,
    confirmed INTEGER,
    quarantine TEXT,
    quarantine_until INTEGER,
    in_range INTEGER NOT NULL DEFAULT 1 CHECK (in_range IN (0, 1)),
    state TEXT GENERATED ALWAYS AS (
        CASE WHEN quarantine IS NOT NULL THEN 'quarantined'
             WHEN instance IS NULL AND slot IS NULL THEN 'free'
             WHEN confirmed IS NULL THEN 'reserved'
             ELSE 'confirmed' END) VIRTUAL,
    CHECK ((name IS NULL) = (instance IS NULL AND slot IS NULL)),
    CHECK (confirmed IS NULL OR instance IS NOT NULL),
    CHECK (quarantine_until IS NULL OR quarantine IS NOT NULL)
) STRICT
"""

# `port_count` is what the instance was promised: fewer rows in `ports` are a broken promise.
_INSTANCES = """
CREATE TABLE instances (
    uid TEXT NOT NULL PRIMARY KEY CHECK (uid <> ''),
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    challenge TEXT,
    port_count INTEGER NOT NULL CHECK (port_count >= 0),
    created INTEGER NOT NULL,
    attempt_started INTEGER,
    expires INTEGER
) STRICT, WITHOUT ROWID
"""

_SLOTS = """
CREATE TABLE slots (
    slot TEXT NOT NULL PRIMARY KEY CHECK (slot <> ''),
    namespace TEXT NOT NULL,
    challenge TEXT NOT NULL,
    template TEXT NOT NULL,
    port_count INTEGER NOT NULL CHECK (port_count >= 0),
    instance TEXT REFERENCES instances (uid) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    claimed INTEGER,
    CHECK ((instance IS NULL) = (claimed IS NULL))
) STRICT, WITHOUT ROWID
"""

# `first` and `last` are addresses as integers, both included. The owner is plain text: a shared
# network has no instance.
_SUBNETS = """
CREATE TABLE subnets (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL CHECK (last >= first),
    owner TEXT NOT NULL CHECK (owner <> ''),
    pool TEXT NOT NULL,
    allocated INTEGER NOT NULL,
    UNIQUE (owner, pool)
) STRICT
"""

# Where the search for a free subnet goes on, so that one just freed comes last.
_SUBNET_POOLS = """
CREATE TABLE subnet_pools (
    pool TEXT NOT NULL PRIMARY KEY,
    next INTEGER NOT NULL
) STRICT, WITHOUT ROWID
"""

_META = """
CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""

# What makes a port free, as the partial index and every query that is to use it must write it.
FREE = "instance IS NULL AND slot IS NULL AND quarantine IS NULL"

# A reservation writes one page for each index that it touches, so they hold only the rows that are
# looked for by them.
_INDEXES = (
    f"CREATE INDEX ports_free ON ports (turn) WHERE {FREE}",
    "CREATE UNIQUE INDEX ports_by_instance ON ports (instance, name) WHERE instance IS NOT NULL",
    "CREATE INDEX ports_by_slot ON ports (slot, name) WHERE slot IS NOT NULL",
    "CREATE INDEX ports_quarantined ON ports (quarantine_until) WHERE quarantine IS NOT NULL",
    "CREATE INDEX ports_outside ON ports (port) WHERE in_range = 0",
    "CREATE INDEX instances_by_challenge ON instances (challenge) WHERE challenge IS NOT NULL",
    "CREATE INDEX instances_by_expiry ON instances (expires) WHERE expires IS NOT NULL",
    "CREATE UNIQUE INDEX slots_by_instance ON slots (instance) WHERE instance IS NOT NULL",
    "CREATE INDEX slots_warm ON slots (namespace, challenge, template, created)"
    " WHERE instance IS NULL",
)


@MIGRATIONS(name="0001_tables")
def _create_tables(db: Database) -> None:
    for statement in (_META, _INSTANCES, _SLOTS, _PORTS, _SUBNETS, _SUBNET_POOLS, *_INDEXES):
        db.execute(statement)


@MIGRATIONS(name="0002_is_finalized")
def _add_is_finalized(db: Database) -> None:
    # The default makes rows from before this column count as finalized: they ran well under a
    # version that knew no crashed launches, and the collector must not take them for such.
    db.execute(
        "ALTER TABLE instances ADD COLUMN is_finalized INTEGER NOT NULL DEFAULT 1"
        " CHECK (is_finalized IN (0, 1))"
    )
    db.execute(
        "CREATE INDEX instances_unfinalized ON instances (attempt_started)"
        " WHERE is_finalized = 0 AND attempt_started IS NOT NULL"
    )


# From here on ports and slots name an instance by a number, not by its uid: numbers grow, so that
# a reservation appends to the index of ports and to the one of challenges, where a random uid had
# it read and write a page of its own in each, which made a full ledger slower than an empty one.
_NUMBERED_INSTANCES = """
CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    uid TEXT NOT NULL UNIQUE CHECK (uid <> ''),
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    challenge TEXT,
    port_count INTEGER NOT NULL CHECK (port_count >= 0),
    is_finalized INTEGER NOT NULL DEFAULT 0 CHECK (is_finalized IN (0, 1)),
    created INTEGER NOT NULL,
    attempt_started INTEGER,
    expires INTEGER
) STRICT
"""
_TO_UID = "instance TEXT REFERENCES instances (uid)"
_TO_ID = "instance INTEGER REFERENCES instances (id)"
_UNFINALIZED = (
    "CREATE INDEX instances_unfinalized ON instances (attempt_started)"
    " WHERE is_finalized = 0 AND attempt_started IS NOT NULL"
)


@MIGRATIONS(name="0003_numbered_instances")
def _number_instances(db: Database) -> None:
    indexes = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        " AND tbl_name IN ('instances', 'slots', 'ports')"
    ).fetchall()
    for (index,) in indexes:
        db.execute(f"DROP INDEX {index}")
    for table in ("instances", "slots", "ports"):
        db.execute(f"ALTER TABLE {table} RENAME TO old_{table}")
    for statement in (_NUMBERED_INSTANCES, _SLOTS, _PORTS):
        db.execute(statement.replace(_TO_UID, _TO_ID))
    db.execute(
        "INSERT INTO instances (uid, namespace, name, challenge, port_count, is_finalized, created,"
        " attempt_started, expires) SELECT uid, namespace, name, challenge, port_count,"
        " is_finalized, created, attempt_started, expires FROM old_instances ORDER BY created, uid"
    )
    # A uid without a row stays a broken reference, for the foreign keys to refuse: never a free
    # port.
    number = (
        "CASE WHEN instance IS NOT NULL"
        " THEN coalesce((SELECT id FROM instances WHERE uid = instance), -1) END"
    )
    db.execute(
        "INSERT INTO slots (slot, namespace, challenge, template, port_count, instance, created,"
        " claimed) SELECT slot, namespace, challenge, template, port_count,"
        f" {number}, created, claimed FROM old_slots"
    )
    db.execute(
        "INSERT INTO ports (port, turn, instance, slot, name, confirmed, quarantine,"
        f" quarantine_until, in_range) SELECT port, turn, {number}, slot, name, confirmed,"
        " quarantine, quarantine_until, in_range FROM old_ports"
    )
    for table in ("ports", "slots", "instances"):
        db.execute(f"DROP TABLE old_{table}")
    for statement in (*_INDEXES, _UNFINALIZED):
        db.execute(statement)


_OBJECTS = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master"
    " WHERE tbl_name <> '_sqlite_migrations' AND tbl_name NOT LIKE 'sqlite_stat%'"
)


def is_as_made(db: Database) -> bool:
    """Whether the file's tables and indexes are, to the letter, what its own migrations made.

    The file's must all be known (`unknown_migrations`). SQLite's checks do not read this text.
    """
    seen = frozenset(migration.name for migration in MIGRATIONS.applied(db))
    return frozenset(db.execute(_OBJECTS)) == _objects_after(seen)


@cache
def _objects_after(seen: frozenset[str]) -> frozenset[tuple[str, str, str, str | None]]:
    """The tables and indexes of an empty file that has been through these migrations."""
    with Database(memory=True) as fresh:
        ahead = [found.name for found in MIGRATIONS.pending(fresh) if found.name not in seen]
        MIGRATIONS.apply(fresh, stop_before=ahead)
        return frozenset(fresh.execute(_OBJECTS))


def unknown_migrations(db: Database) -> set[str]:
    """The migrations that the file has seen and this program does not know: it is newer."""
    with Database(memory=True) as empty:
        known = {migration.name for migration in MIGRATIONS.pending(empty)}
    return {migration.name for migration in MIGRATIONS.applied(db)} - known


def migrate(db: Database) -> None:
    """Bring the file to the newest schema; call it inside a transaction, so that all or none."""
    MIGRATIONS.apply(db)
    version = len(MIGRATIONS.applied(db))
    db.execute(
        "INSERT INTO meta (key, value) VALUES ('schema_version', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [str(version)],
    )
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
