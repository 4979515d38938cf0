"""No query that a running agent makes walks a whole table: SQLite's own plans say so."""

import re
from ipaddress import IPv4Network
from pathlib import Path

from controller.ledger import Ledger

TABLES = ("ports", "instances", "slots", "subnets", "subnet_pools", "meta")
POOL = IPv4Network("10.64.0.0/16")


def every_call_of_an_agent(ledger: Ledger) -> None:
    """Each method in each of its branches, but for those that list or count everything."""
    ledger.reserve("a", ["http", "nc"], namespace="ns", name="a", challenge="web", now=1)
    ledger.reserve("a", ["http", "nc"], namespace="ns", name="a", challenge="web", now=1)
    ledger.confirm("a", now=1)
    ledger.begin_attempt("a", now=1)
    ledger.set_expiry("a", expires=9, now=1)
    ledger.finalize(["a"], now=2)
    ledger.swap("a", "http", now=2, until=3, reason="in use")
    ledger.quarantine(10001, until=3, reason="in use")
    ledger.reserve("b", ["http"], namespace="ns", name="b", now=5)
    ledger.quarantine_free([10002], until=None, reason="cmgr")
    ledger.lift([10002])
    ledger.add_slot("s", ["http"], namespace="ns", challenge="web", template="t", now=1)
    ledger.warm_slots(namespace="ns", challenge="web", template="t")
    ledger.claim_slot("s", "c", namespace="ns", name="c", now=2)
    ledger.drop_slot("s", now=3)
    ledger.quarantined()
    ledger.adopt_subnet("net", pool=POOL, subnet=IPv4Network("10.64.9.0/28"), now=1)
    for uid in ("a", "b"):
        ledger.allocate_subnet(uid, pool=POOL, prefix=28, now=1)
    ledger.free_subnet("b", now=2)
    ledger.set_meta("engine_id", "X")
    ledger.get_meta("engine_id")
    ledger.get("a")
    ledger.instances(["web"])
    ledger.instances(uids=["a"])
    ledger.unfinalized(attempt_before=9)
    ledger.expired(9)
    ledger.release("a", now=3)


def recorded_statements(ledger: Ledger) -> set[str]:
    statements: set[str] = set()
    connection = ledger._connection._db.conn  # type: ignore[union-attr] # it is open
    connection.set_trace_callback(statements.add)
    every_call_of_an_agent(ledger)
    connection.set_trace_callback(None)
    return {s for s in statements if s.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE")}


def test_no_query_scans_a_table(path: Path) -> None:
    with Ledger.open(path, "10000-10999", seed=1) as ledger:
        statements = recorded_statements(ledger)
        assert len(statements) > 40
        db = ledger._connection._db
        assert db is not None
        for statement in statements:
            for row in db.execute("EXPLAIN QUERY PLAN " + statement):
                scanned = re.match(r"SCAN (\w+)(.*)", row[3])
                # The line of free ports is read from one of its ends, one entry of it.
                one_entry = scanned and "ports_free" in scanned[2] and "LIMIT 1" in statement
                # Indexes of the few ports outside the range, or put aside: all of them are wanted.
                few = ("ports_outside", "ports_quarantined")
                none_wanted = scanned and any(name in scanned[2] for name in few)
                if scanned and scanned[1] in TABLES and not one_entry and not none_wanted:
                    raise AssertionError(f"{row[3]}: {statement}")


def test_deleting_an_instance_looks_its_children_up(path: Path) -> None:
    """The foreign keys' own look-ups show in the byte code only: no cursor starts at the top."""
    with Ledger.open(path, "10000-10999", seed=1) as ledger:
        db = ledger._connection._db
        assert db is not None
        names = dict(db.execute("SELECT rootpage, name FROM sqlite_master").fetchall())
        cursors: dict[int, str] = {}
        rewound = []
        for _, opcode, p1, p2, *_ in db.execute("EXPLAIN DELETE FROM instances WHERE uid = 'a'"):
            if opcode == "Init":  # the next program, of a foreign key's action, begins
                cursors = {}
            if opcode in ("OpenRead", "OpenWrite"):
                cursors[p1] = names[p2]
            if opcode in ("Rewind", "Last"):
                rewound.append(cursors.get(p1, "a temporary table"))
        assert not [name for name in rewound if name.startswith(TABLES)]
