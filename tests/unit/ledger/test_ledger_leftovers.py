"""What nobody owns any more is given back; what was written wrong makes room for what runs."""

import sqlite3
from contextlib import closing
from ipaddress import IPv4Network

from controller.ledger import Instance, Ledger

POOL = IPv4Network("10.64.0.0/24")


def reserve(ledger: Ledger, uid: str, *names: str) -> dict[str, int]:
    return ledger.reserve(uid, names or ("http",), namespace="ns", name=uid, now=1)


def runs(uid: str, **ports: int) -> Instance:
    return Instance(uid=uid, namespace="ns", name=uid, ports=ports)


def test_two_rows_that_were_written_the_wrong_way_round_are_put_right_at_once(
    ledger: Ledger,
) -> None:
    a, b = reserve(ledger, "a")["http"], reserve(ledger, "b")["http"]
    subnet = ledger.allocate_subnet("a", pool=POOL, prefix=28, now=1)
    found = [runs("a", http=b), runs("b", http=a)]
    assert ledger.restore(found, now=2, instead_of=["a", "b"]) == []
    assert {row.uid: dict(row.ports) for row in ledger.instances()} == {
        "a": {"http": b},
        "b": {"http": a},
    }
    assert [each.subnet for each in ledger.subnets()] == [subnet], "its network is still its own"


def test_without_making_room_a_held_port_is_not_taken_over(ledger: Ledger) -> None:
    held = reserve(ledger, "old")["http"]
    (problem,) = ledger.restore([runs("new", http=held)], now=2)
    assert "belongs to instance old" in problem.detail
    assert ledger.restore([runs("new", http=held)], now=2, instead_of=["old", "unknown"]) == []
    assert {row.uid for row in ledger.instances()} == {"new"}
    assert ledger.usage().free == 9


def test_subnets_go_back_whose_owners_have_no_row(ledger: Ledger) -> None:
    reserve(ledger, "a")
    for owner in ("a", "gone", "spare"):
        ledger.allocate_subnet(owner, pool=POOL, prefix=28, now=1)
    assert ledger.free_ownerless_subnets(keep=["spare"], now=2) == {"gone"}
    assert {each.owner for each in ledger.subnets()} == {"a", "spare"}
    assert ledger.free_ownerless_subnets(keep=["spare"], now=2) == set()


def test_warm_slots_go_with_their_ports_and_claimed_ones_stay(ledger: Ledger) -> None:
    for slot in ("claimed", "kept", "left"):
        ledger.add_slot(slot, ("x",), namespace="ns", challenge="web", template="t", now=1)
    ledger.claim_slot("claimed", "uid", namespace="ns", name="uid", now=2)
    assert ledger.drop_warm_slots(keep=["kept"], now=3) == {"left"}
    assert [slot.slot for slot in ledger.slots()] == ["claimed", "kept"]
    assert ledger.usage().free == 8


def edited(ledger: Ledger, statement: str) -> None:
    """Write into the file as a person does: without foreign keys."""
    with closing(sqlite3.connect(ledger.path)) as db, db:
        db.execute(statement)


def test_ports_of_a_row_that_somebody_has_deleted_are_freed_but_for_those_in_use(
    ledger: Ledger,
) -> None:
    held = reserve(ledger, "edited", "http", "nc")
    others = reserve(ledger, "other")
    edited(ledger, "DELETE FROM instances WHERE uid = 'edited'")
    assert {problem.kind for problem in ledger.check()} == {"PortOfNoInstance"}
    assert ledger.ownerless_ports() == set(held.values())
    assert ledger.free_ownerless_ports([held["http"], *others.values()], now=2) == {held["http"]}
    assert ledger.usage().free == 8
    assert ledger.restore([runs("edited", nc=held["nc"])], now=3) == []
    assert ledger.ownerless_ports() == set()
    assert ledger.usage().free == 8
