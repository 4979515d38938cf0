"""The invariants of the ledger, in SQL: what must be true after every transaction.

Responsible for finding what is broken; it repairs nothing. The schema's own constraints forbid most
of it: a finding means a damaged file, a foreign hand, or a bug.
"""

from sqlite_utils import Database

from controller.ledger.records import Problem

# The range's spans; none where a damaged value is no JSON, which PortMissing then tells.
_SPANS = "json_each(CASE WHEN json_valid(meta.value) THEN meta.value ELSE '[]' END) AS span"

# kind → a query whose every row is one finding, already in words.
_INVARIANTS = {
    "PortOfNoInstance": """
        SELECT 'port ' || port || ' belongs to instance number ' || instance
               || ', which has no row'
        FROM ports WHERE instance IS NOT NULL AND instance NOT IN (SELECT id FROM instances)
        UNION ALL
        SELECT 'port ' || port || ' belongs to slot ' || slot || ', which has no row'
        FROM ports WHERE slot IS NOT NULL AND slot NOT IN (SELECT slot FROM slots)""",
    "InstanceWithoutItsPorts": """
        SELECT 'instance ' || uid || ' (' || namespace || '/' || name || ') has '
               || (SELECT count(*) FROM ports WHERE instance = id) || ' of its '
               || port_count || ' ports'
        FROM instances WHERE port_count <> (SELECT count(*) FROM ports WHERE instance = id)""",
    "SlotWithoutItsPorts": """
        SELECT 'slot ' || slots.slot || ' has '
               || (SELECT count(*) FROM ports WHERE ports.slot = slots.slot) || ' of its '
               || port_count || ' ports'
        FROM slots WHERE instance IS NULL
        AND port_count <> (SELECT count(*) FROM ports WHERE ports.slot = slots.slot)""",
    "PortOutsideRange": f"""
        SELECT 'port ' || port || ' is outside the range and ' || state
        FROM ports WHERE (in_range = 0 AND state = 'free') OR in_range <> EXISTS (
            SELECT 1 FROM meta, {_SPANS} WHERE meta.key = 'ports'
            AND port BETWEEN span.value ->> 0 AND span.value ->> 1)""",
    "PortMissing": f"""
        SELECT 'the range has ' || wanted || ' ports, the ledger has ' || found || ' of them'
        FROM (SELECT coalesce(sum((span.value ->> 1) - (span.value ->> 0) + 1), 0) AS wanted,
                     (SELECT count(*) FROM ports WHERE in_range = 1) AS found
              FROM meta, {_SPANS} WHERE meta.key = 'ports')
        WHERE wanted <> found""",
    # The table's own CHECK constraints, which SQLite does not look at on a read-only connection.
    "PortState": """
        SELECT 'port ' || port || ' is ' || state || ' with name '
               || coalesce(name, 'none') || ' and quarantine ' || coalesce(quarantine, 'none')
        FROM ports WHERE (name IS NULL) <> (instance IS NULL AND slot IS NULL)
        OR (confirmed IS NOT NULL AND instance IS NULL)
        OR (quarantine_until IS NOT NULL AND quarantine IS NULL)""",
    "SlotWithTwoOwners": """
        SELECT 'slot ' || slots.slot || ' belongs to instance number '
               || coalesce(slots.instance, 'none') || ', its port ' || ports.port || ' to '
               || coalesce(ports.instance, 'none')
        FROM slots JOIN ports ON ports.slot = slots.slot
        WHERE slots.instance IS NOT ports.instance
        UNION ALL
        SELECT 'instance number ' || instance || ' has ' || count(*) || ' slots'
        FROM slots WHERE instance IS NOT NULL GROUP BY instance HAVING count(*) > 1
        UNION ALL
        SELECT 'slot ' || slot || ' belongs to instance number ' || instance
               || ', which has no row'
        FROM slots WHERE instance IS NOT NULL AND instance NOT IN (SELECT id FROM instances)""",
    "SubnetsOverlap": """
        SELECT 'subnet of ' || owner || ' overlaps the one before it, at address ' || first
        FROM (SELECT owner, first, lag(last) OVER (ORDER BY first) AS before FROM subnets)
        WHERE before >= first""",
    "SubnetShape": """
        SELECT 'subnet of ' || owner || ' at address ' || first || ' is no network'
        FROM subnets WHERE (last - first + 1) & (last - first) <> 0
        OR first % (last - first + 1) <> 0 OR first < 0 OR last >= 4294967296""",
}


def damage(db: Database) -> list[str]:
    """What SQLite itself finds broken in the file; empty when it is sound.

    The full check, not PRAGMA quick_check: an index that disagrees with its table would give a
    held port to somebody else.
    """
    return [row for (row,) in db.execute("PRAGMA integrity_check") if row != "ok"]


def broken_invariants(db: Database) -> list[Problem]:
    """Every broken invariant of the rows; empty when all hold."""
    return [
        Problem(kind, detail)
        for kind, query in _INVARIANTS.items()
        for (detail,) in db.execute(query)
    ]


def read_everything(db: Database) -> None:
    """Read every text once; raises sqlite3.OperationalError where a byte of one is damaged.

    SQLite's own checks do not look at the encoding.
    """
    for table in ("meta", "instances", "slots", "ports", "subnets", "subnet_pools"):
        for _ in db.execute(f"SELECT * FROM {table}"):
            pass


def check(db: Database) -> list[Problem]:
    """All of it: damage to the file, and broken invariants."""
    return [Problem("Damaged", detail) for detail in damage(db)] + broken_invariants(db)
