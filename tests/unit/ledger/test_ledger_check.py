"""check() finds every kind of damage that a foreign hand can do to the rows."""

import sqlite3
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from controller.ledger import Ledger, LedgerReader

# Instances are numbered in the order in which `make` reserves for them: a 1, b 2, c 3.
A = "instance = 1"
DAMAGE = [
    ("PortOfNoInstance", f"UPDATE ports SET instance = 99 WHERE {A} AND name = 'http'"),
    ("PortOfNoInstance", "UPDATE ports SET slot = 'ghost' WHERE slot = 's'"),
    (
        "InstanceWithoutItsPorts",
        f"UPDATE ports SET instance = NULL, name = NULL WHERE {A} AND name = 'http'",
    ),
    ("InstanceWithoutItsPorts", "UPDATE instances SET port_count = 3 WHERE uid = 'a'"),
    ("SlotWithoutItsPorts", "UPDATE ports SET slot = NULL, name = NULL WHERE slot = 's'"),
    ("PortOutsideRange", "INSERT INTO ports (port, turn) VALUES (9, 1)"),
    ("PortOutsideRange", "INSERT INTO ports (port, turn, in_range) VALUES (9, 1, 0)"),
    ("PortOutsideRange", f"UPDATE ports SET in_range = 0 WHERE {A} AND name = 'http'"),
    ("PortMissing", "DELETE FROM ports WHERE port = (SELECT max(port) FROM ports)"),
    ("PortState", f"UPDATE ports SET name = NULL WHERE {A} AND name = 'http'"),
    ("PortState", "UPDATE ports SET quarantine_until = 5 WHERE port = 10019"),
    ("SlotWithTwoOwners", "UPDATE ports SET instance = 2, name = 'x' WHERE slot = 'claimed'"),
    ("SlotWithTwoOwners", "UPDATE slots SET instance = 99 WHERE slot = 'claimed'"),
    (
        "SlotWithTwoOwners",
        "DROP INDEX slots_by_instance; INSERT INTO slots"
        " VALUES ('again', 'ns', 'web', 't', 0, 3, 1, 1)",
    ),
    ("SubnetsOverlap", "INSERT INTO subnets VALUES (176160769, 176160770, 'x', 'p', 1)"),
]


def make(path: Path) -> None:
    with Ledger.open(path, "10000-10019", seed=1) as ledger:
        ledger.reserve("a", ["http", "nc"], namespace="ns", name="a", now=1)
        ledger.reserve("b", ["http"], namespace="ns", name="b", now=1)
        for slot in ("s", "claimed"):
            ledger.add_slot(slot, ["http"], namespace="ns", challenge="web", template="t", now=1)
        ledger.claim_slot("claimed", "c", namespace="ns", name="c", now=1)
        ledger.allocate_subnet("a", pool=IPv4Network("10.128.0.0/24"), prefix=28, now=1)
        assert ledger.check() == []


@pytest.mark.parametrize(("kind", "damage"), DAMAGE)
def test_damage_is_found_and_named(path: Path, kind: str, damage: str) -> None:
    make(path)
    db = sqlite3.connect(path)
    # As only a foreign hand can: without the constraints that the ledger itself keeps.
    db.executescript(f"PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {damage}")
    db.close()
    with LedgerReader.open_read_only(path) as ledger:
        found = ledger.check()
    assert kind in {problem.kind for problem in found}, found
    assert all(problem.detail for problem in found)
    with Ledger.open(path, "10000-10019") as ledger:
        assert ledger.set_aside is not None
        assert ledger.check() == []
