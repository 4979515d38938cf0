"""The range of a ledger at work is changed: held ports stay, and an operator's range lasts."""

import tempfile
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.ledger import Ledger, PortsExhausted, PortTotals, Totals

POOL = IPv4Network("10.213.0.0/26")


def reserve(ledger: Ledger, uid: str, *names: str) -> dict[str, int]:
    return ledger.reserve(uid, names, namespace="ns", name=uid, now=1)


def ports(ledger: Ledger) -> PortTotals:
    return ledger.totals(pool=POOL).ports


@pytest.mark.parametrize(
    ("moved", "inside"),
    [
        ("10000-10019", range(10000, 10020)),
        ("10005-10009", range(10005, 10010)),
        ("20000-20004", range(20000, 20005)),
        ("9995-10004", range(9995, 10005)),
    ],
)
def test_who_holds_ports_keeps_them_and_new_ones_are_of_the_new_range(
    path: Path, moved: str, inside: range
) -> None:
    with Ledger.open(path, "10000-10009", seed=1) as ledger:
        held = reserve(ledger, "a", "x", "y", "z")
        assert ledger.set_range(moved, override=True)
        assert reserve(ledger, "a", "x", "y", "z") == held
        new = [reserve(ledger, f"b{n}", "p")["p"] for n in range(ports(ledger).free)]
        assert set(new) == set(inside) - set(held.values())
        with pytest.raises(PortsExhausted):
            reserve(ledger, "c", "p")
        ledger.release("a", now=2)
        assert ports(ledger).total == len(inside)
        assert ledger.check() == []


def test_the_same_range_again_changes_nothing(path: Path) -> None:
    with Ledger.open(path, "10000-10009") as ledger:
        assert not ledger.set_range("10000-10009", override=True)
        assert not ledger.set_range(range(10000, 10010), override=False)


def test_an_operators_range_lasts_over_restarts_until_it_is_taken_back(path: Path) -> None:
    with Ledger.open(path, "10000-10009") as ledger:
        ledger.set_range("20000-20004", override=True)
    with Ledger.open(path, "10000-10019") as ledger:
        assert 20000 <= reserve(ledger, "a", "x")["x"] <= 20004
        assert ports(ledger) == PortTotals(total=5, held=1, aside=0)
        ledger.set_range("10000-10019", override=False)
        assert ports(ledger) == PortTotals(total=21, held=1, aside=0, outside=1)
    with Ledger.open(path, "10000-10009") as ledger:
        assert ports(ledger) == PortTotals(total=11, held=1, aside=0, outside=1)


@pytest.mark.parametrize("text", ["", "x", "2-1", "0-5", "1-65536"])
def test_a_wrong_range_changes_nothing(path: Path, text: str) -> None:
    with Ledger.open(path, "10000-10009") as ledger:
        with pytest.raises(ValueError, match=r"range of ports|expected"):
            ledger.set_range(text, override=True)
        assert ports(ledger).total == 10
    with Ledger.open(path, "10000-10019") as ledger:
        assert ports(ledger).total == 20


def test_the_keys_of_the_range_are_the_ledgers_own(path: Path) -> None:
    with (
        Ledger.open(path, "10000-10009") as ledger,
        pytest.raises(ValueError, match="ledger's own"),
    ):
        ledger.set_meta("ports_override", "[[1, 2]]")


def test_the_totals_count_each_port_once(path: Path) -> None:
    with Ledger.open(path, "10000-10019", seed=1) as ledger:
        held = reserve(ledger, "a", "x", "y")
        ledger.confirm("a", now=1)
        ledger.add_slot("s", ["p"], namespace="ns", challenge="c", template="t", now=1)
        ledger.add_slot("t", ["p"], namespace="ns", challenge="c", template="t", now=1)
        ledger.claim_slot("t", "b", namespace="ns", name="b", now=1)
        ledger.quarantine(held["x"], until=None, reason="held and put aside")
        ledger.quarantine_free(range(10000, 10005), until=None, reason="sshd")
        aside = len(ledger.quarantined()) - 1
        ledger.allocate_subnet("a", pool=POOL, prefix=27, now=1)
        ledger.allocate_subnet("other", pool=IPv4Network("10.9.0.0/24"), prefix=27, now=1)
        found = ledger.totals(pool=POOL)
        assert found == Totals(PortTotals(total=20, held=4, aside=aside), instances=2, subnets=1)
        assert found.ports.free == ledger.usage().free == 16 - aside


@settings(max_examples=30)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("reserve"), st.integers(0, 5), st.integers(1, 3)),
            st.tuples(st.just("release"), st.integers(0, 5), st.just(0)),
            st.tuples(st.just("range"), st.integers(1, 30), st.integers(1, 12)),
        ),
        max_size=25,
    )
)
def test_no_port_is_lost_or_given_twice_whatever_the_range_does(
    steps: list[tuple[str, int, int]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        inside, held = set(range(10, 20)), dict[str, set[int]]()
        with Ledger.open(Path(folder) / "ledger.db", "10-19", seed=1) as ledger:
            for what, number, size in steps:
                uid = f"i{number}"
                if what == "release":
                    ledger.release(uid, now=1)
                    held.pop(uid, None)
                elif what == "range":
                    inside = set(range(number, number + size))
                    ledger.set_range(sorted(inside), override=True)
                elif uid not in held:
                    try:
                        got = set(reserve(ledger, uid, *(f"p{n}" for n in range(size))).values())
                    except PortsExhausted:
                        continue
                    taken = set[int]().union(*held.values())
                    assert got <= inside - taken
                    held[uid] = got
                taken = set[int]().union(*held.values())
                free = len(inside - taken)
                outside = len(taken - inside)
                assert ports(ledger) == PortTotals(len(inside | taken), len(taken), 0, outside)
                assert ports(ledger).free == free
            assert ledger.check() == []
