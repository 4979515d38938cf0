"""A changed range of ports: free ports outside go, held ones stay until released, none is lost."""

from pathlib import Path

import pytest

from controller.ledger import Ledger, LedgerUnavailable, PortsExhausted, Quarantine, Usage


def reserve(ledger: Ledger, uid: str, *names: str) -> dict[str, int]:
    return ledger.reserve(uid, names, namespace="ns", name=uid, now=1)


def all_ports(ledger: Ledger) -> set[int]:
    """Take every free port, and tell all that are held."""
    for i in range(ledger.usage().free):
        reserve(ledger, f"filler-{i}", "p")
    with pytest.raises(PortsExhausted):
        reserve(ledger, "too-much", "p")
    assert ledger.check() == []
    return {port for instance in ledger.instances() for port in instance.ports.values()}


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("10000-10002", [10000, 10001, 10002]),
        ("7", [7]),
        (" 5 , 1-2", [1, 2, 5]),
        ("65535", [65535]),
    ],
)
def test_a_range_as_text(path: Path, text: str, ports: list[int]) -> None:
    with Ledger.open(path, text) as ledger:
        assert all_ports(ledger) == set(ports)


@pytest.mark.parametrize("text", ["", "x", "2-1", "0-5", "65536", "1-65536", "1-", "-1", "1--2"])
def test_a_wrong_range_is_refused_and_no_file_made(path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"range of ports|expected"):
        Ledger.open(path, text)
    assert not path.exists()


@pytest.mark.parametrize("ports", [[], [0], [65536], range(0)])
def test_wrong_numbers_are_refused(path: Path, ports: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Ledger.open(path, ports)


@pytest.mark.parametrize(
    "moved", ["10000-10019", "10005-10014", "20000-20009", "10002-10003", "9990-10020"]
)
def test_held_ports_stay_and_the_rest_is_the_new_range(path: Path, moved: str) -> None:
    with Ledger.open(path, "10000-10009", seed=1) as ledger:
        held = reserve(ledger, "a", "x", "y", "z")
    with Ledger.open(path, moved, seed=1) as ledger:
        assert reserve(ledger, "a", "x", "y", "z") == held
        assert ledger.check() == []
        low, high = map(int, moved.split("-"))
        assert all_ports(ledger) == set(range(low, high + 1)) | set(held.values())


def test_a_held_port_outside_vanishes_when_released_or_swapped(path: Path) -> None:
    with Ledger.open(path, "10000-10009", seed=1) as ledger:
        reserve(ledger, "a", "x")
        reserve(ledger, "b", "x")
    with Ledger.open(path, "20000-20009") as ledger:
        ledger.release("a", now=2)
        assert ledger.usage() == Usage(free=10, reserved=1, confirmed=0, quarantined=0)
        assert ledger.swap("b", "x", now=3) >= 20000
        assert ledger.usage() == Usage(free=9, reserved=1, confirmed=0, quarantined=0)
        assert ledger.check() == []


def test_a_port_put_aside_stays_aside_when_the_range_moves_away_and_back(path: Path) -> None:
    with Ledger.open(path, "10000-10009") as ledger:
        ledger.quarantine(10004, until=None, reason="cmgr")
        ledger.quarantine(10005, until=100, reason="sshd")
    with Ledger.open(path, "20000-20009") as ledger:
        assert ledger.check() == []
        assert len(ledger.quarantined()) == 2
        ledger.reserve("a", ["x"], namespace="ns", name="a", now=100)
        assert ledger.quarantined() == [Quarantine(10004, None, "cmgr")]
    with Ledger.open(path, "10000-10009") as ledger:
        assert ledger.check() == []
        assert 10004 not in all_ports(ledger)
        assert ledger.lift([10004]) == {10004}


def test_the_range_can_be_kept_but_not_invented(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="no such file"):
        Ledger.open(path, None)
    path.touch()
    with pytest.raises(LedgerUnavailable, match="no ledger yet"):
        Ledger.open(path, None)
    Ledger.open(path, "10000-10009").close()
    with Ledger.open(path, None) as ledger:
        assert ledger.usage().free == 10
