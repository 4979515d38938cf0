"""A port that a foreign program holds is put aside, and another one taken in its place."""

import pytest

from controller.ledger import (
    InstanceNotFound,
    Ledger,
    LedgerConflict,
    PortsExhausted,
    Quarantine,
    Usage,
)


def reserve(ledger: Ledger, uid: str, *names: str, now: int = 1) -> dict[str, int]:
    return ledger.reserve(uid, names, namespace="ns", name=uid, now=now)


def test_nobody_gets_a_port_before_its_time(ledger: Ledger) -> None:
    ledger.quarantine(10003, until=100, reason="sshd")
    assert ledger.quarantined() == [Quarantine(port=10003, until=100, reason="sshd")]
    assert ledger.usage() == Usage(free=9, reserved=0, confirmed=0, quarantined=1)
    given = [reserve(ledger, f"u{i}", "p", now=99)["p"] for i in range(9)]
    assert 10003 not in given
    with pytest.raises(PortsExhausted):
        reserve(ledger, "late", "p", now=99)
    assert reserve(ledger, "late", "p", now=100) == {"p": 10003}
    assert ledger.quarantined() == []


def test_a_lapsed_port_goes_to_the_end_of_the_line(ledger: Ledger) -> None:
    ledger.quarantine(10003, until=100, reason="sshd")
    assert [reserve(ledger, f"u{i}", "p", now=200)["p"] for i in range(10)][-1] == 10003


def test_without_a_time_it_stays_until_it_is_lifted(ledger: Ledger) -> None:
    ledger.quarantine(10003, until=None, reason="cmgr")
    reserve(ledger, "a", *(f"p{i}" for i in range(9)), now=2**50)
    assert ledger.lift([10003, 10004, 77]) == {10003}
    assert reserve(ledger, "b", "p") == {"p": 10003}


def test_a_port_that_is_not_the_ledgers_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerConflict, match="port 22 is not in the ledger"):
        ledger.quarantine(22, until=100, reason="sshd")


def test_swap_puts_another_port_in_its_place(ledger: Ledger) -> None:
    ports = reserve(ledger, "a", "http", "nc")
    ledger.quarantine(ports["http"], until=100, reason="foreign listener")
    assert ledger.get("a").ports == ports  # type: ignore[union-attr] # it was just reserved
    other = ledger.swap("a", "http", now=2)
    assert other not in ports.values()
    found = ledger.get("a")
    assert found is not None
    assert found.ports == {"http": other, "nc": ports["nc"]}
    assert ledger.quarantined() == [Quarantine(ports["http"], 100, "foreign listener")]
    assert ledger.usage() == Usage(free=7, reserved=2, confirmed=0, quarantined=1)


def test_swap_with_a_reason_puts_the_old_port_aside_itself(ledger: Ledger) -> None:
    old = reserve(ledger, "a", "http")["http"]
    ledger.swap("a", "http", now=2, until=50, reason="in use")
    assert ledger.quarantined() == [Quarantine(old, 50, "in use")]


def test_swap_without_quarantine_frees_the_old_port(ledger: Ledger) -> None:
    old = reserve(ledger, "a", "http")["http"]
    assert ledger.swap("a", "http", now=2) != old
    assert ledger.usage().free == 9
    assert [reserve(ledger, f"u{i}", "p")["p"] for i in range(9)][-1] == old


@pytest.mark.parametrize("reason", ["in use", None])
def test_swap_keeps_the_old_port_when_none_is_free(ledger: Ledger, reason: str | None) -> None:
    ports = reserve(ledger, "a", *(f"p{i}" for i in range(10)))
    with pytest.raises(PortsExhausted) as caught:
        ledger.swap("a", "p0", now=2, until=50, reason=reason)
    assert (caught.value.wanted, caught.value.free) == (1, 0)
    found = ledger.get("a")
    assert found is not None
    assert found.ports == ports
    assert ledger.quarantined() == []


def test_swap_needs_an_instance_with_a_port_of_that_name(ledger: Ledger) -> None:
    with pytest.raises(InstanceNotFound):
        ledger.swap("nobody", "http", now=1)
    reserve(ledger, "a", "http")
    with pytest.raises(LedgerConflict, match="no port named 'nc'"):
        ledger.swap("a", "nc", now=1)


def test_a_port_put_aside_while_held_stays_aside_after_the_release(ledger: Ledger) -> None:
    port = reserve(ledger, "a", "http")["http"]
    ledger.quarantine(port, until=100, reason="sshd")
    ledger.release("a", now=2)
    assert ledger.usage() == Usage(free=9, reserved=0, confirmed=0, quarantined=1)
    assert reserve(ledger, "b", *(f"p{i}" for i in range(10)), now=100)
