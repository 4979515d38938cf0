"""A warm slot is claimed once, and its ports go with it."""

import pytest

from controller.ledger import Ledger, LedgerConflict, PortsExhausted, Usage


def add(
    ledger: Ledger, slot: str, *names: str, template: str = "t1", now: int = 1
) -> dict[str, int]:
    return ledger.add_slot(slot, names, namespace="ns", challenge="web", template=template, now=now)


def claim(ledger: Ledger, slot: str, uid: str, now: int = 5) -> dict[str, int]:
    return ledger.claim_slot(slot, uid, namespace="ns", name=uid, challenge="web", now=now)


def test_a_slot_has_ports_of_its_own(ledger: Ledger) -> None:
    ports = add(ledger, "s1", "http", "nc")
    assert add(ledger, "s1", "http", "nc") == ports
    assert ledger.usage() == Usage(free=8, reserved=2, confirmed=0, quarantined=0)
    with pytest.raises(LedgerConflict):
        add(ledger, "s1", "http")
    with pytest.raises(PortsExhausted):
        add(ledger, "s2", *(f"p{i}" for i in range(9)))
    assert [slot.slot for slot in ledger.slots()] == ["s1"]


def test_a_claim_moves_the_ports_to_the_instance(ledger: Ledger) -> None:
    ports = add(ledger, "s1", "http", "nc")
    assert claim(ledger, "s1", "a") == ports
    assert claim(ledger, "s1", "a", now=6) == ports
    found = ledger.get("a")
    assert found is not None
    assert (found.ports, found.challenge, found.is_finalized) == (ports, "web", False)
    (slot,) = ledger.slots()
    assert (slot.instance, slot.claimed, slot.ports) == ("a", 5, ports)
    assert ledger.usage() == Usage(free=8, reserved=0, confirmed=2, quarantined=0)


def test_a_slot_is_claimed_once(ledger: Ledger) -> None:
    add(ledger, "s1", "http")
    claim(ledger, "s1", "a")
    with pytest.raises(LedgerConflict, match="is claimed by a"):
        claim(ledger, "s1", "b")
    with pytest.raises(LedgerConflict, match="is not in the ledger"):
        claim(ledger, "s9", "b")
    assert ledger.get("b") is None
    with pytest.raises(LedgerConflict, match="slot s1 is claimed"):
        add(ledger, "s1", "http")


def test_an_instance_with_ports_cannot_claim(ledger: Ledger) -> None:
    add(ledger, "s1", "http")
    ledger.reserve("a", ["http"], namespace="ns", name="a", now=1)
    with pytest.raises(LedgerConflict, match="has a row already"):
        claim(ledger, "s1", "a")
    assert ledger.slots()[0].instance is None


def test_warm_slots_are_the_unclaimed_of_that_template_oldest_first(ledger: Ledger) -> None:
    add(ledger, "young", "p", now=9)
    add(ledger, "old", "p", now=2)
    add(ledger, "other", "p", template="t2")
    add(ledger, "claimed", "p")
    claim(ledger, "claimed", "a")
    warm = ledger.warm_slots(namespace="ns", challenge="web", template="t1")
    assert [slot.slot for slot in warm] == ["old", "young"]


def test_dropping_a_warm_slot_frees_its_ports(ledger: Ledger) -> None:
    add(ledger, "s1", "http", "nc")
    for _ in range(2):
        ledger.drop_slot("s1", now=2)
        assert ledger.usage().free == 10
        assert ledger.slots() == []


def test_dropping_a_claimed_slot_leaves_the_ports_to_the_instance(ledger: Ledger) -> None:
    ports = add(ledger, "s1", "http")
    claim(ledger, "s1", "a")
    ledger.drop_slot("s1", now=6)
    found = ledger.get("a")
    assert found is not None
    assert found.ports == ports


def test_releasing_the_instance_drops_its_slot(ledger: Ledger) -> None:
    add(ledger, "s1", "http")
    claim(ledger, "s1", "a")
    ledger.release("a", now=6)
    assert ledger.slots() == []
    assert ledger.usage().free == 10


def test_a_claimed_port_can_be_swapped(ledger: Ledger) -> None:
    ports = add(ledger, "s1", "http", "nc")
    claim(ledger, "s1", "a")
    other = ledger.swap("a", "http", now=7, until=99, reason="in use")
    found = ledger.get("a")
    assert found is not None
    assert found.ports == {"http": other, "nc": ports["nc"]}
