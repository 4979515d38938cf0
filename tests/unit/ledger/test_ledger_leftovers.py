"""What nobody owns any more is given back; what was written wrong makes room for what runs."""

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
