"""What an instance is promised: all of its ports or none, nobody else's, and no port leaks."""

from pathlib import Path

import pytest

from controller.ledger import (
    Instance,
    InstanceNotFound,
    Ledger,
    LedgerConflict,
    PortsExhausted,
    Usage,
)


def reserve(ledger: Ledger, uid: str, *names: str, now: int = 1) -> dict[str, int]:
    return ledger.reserve(uid, names, namespace="ns", name=f"name-{uid}", now=now)


def test_each_name_gets_a_port_of_the_range(ledger: Ledger) -> None:
    ports = reserve(ledger, "a", "http", "nc")
    assert list(ports) == ["http", "nc"]
    assert len(set(ports.values())) == 2
    assert set(ports.values()) <= set(range(10000, 10010))


def test_no_port_is_given_twice_and_the_last_one_too_is_given(ledger: Ledger) -> None:
    given = [port for i in range(10) for port in reserve(ledger, f"u{i}", "http").values()]
    assert sorted(given) == list(range(10000, 10010))
    with pytest.raises(PortsExhausted) as caught:
        reserve(ledger, "one-more", "http")
    assert (caught.value.wanted, caught.value.free) == (1, 0)


def test_all_ports_or_none(ledger: Ledger) -> None:
    reserve(ledger, "a", *(f"p{i}" for i in range(8)))
    with pytest.raises(PortsExhausted) as caught:
        reserve(ledger, "b", "x", "y", "z")
    assert (caught.value.wanted, caught.value.free) == (3, 2)
    assert ledger.get("b") is None
    assert ledger.usage() == Usage(free=2, reserved=8, confirmed=0, quarantined=0)


def test_the_same_reservation_again_gives_the_same_ports(ledger: Ledger) -> None:
    first = reserve(ledger, "a", "http", "nc")
    again = reserve(ledger, "a", "nc", "http", now=9)
    assert again == first
    assert list(again) == ["nc", "http"]
    assert ledger.usage().free == 8


def test_the_same_uid_with_other_names_is_a_conflict(ledger: Ledger) -> None:
    reserve(ledger, "a", "http")
    with pytest.raises(LedgerConflict, match=r"instance a holds ports named \['http'\]"):
        reserve(ledger, "a", "http", "nc")
    assert ledger.usage().free == 9


@pytest.mark.parametrize("names", [["a", "a"], ["a", ""], "http"])
def test_names_must_be_different_and_not_empty(ledger: Ledger, names: list[str]) -> None:
    with pytest.raises(ValueError, match="port names"):
        ledger.reserve("a", names, namespace="ns", name="n", now=1)


def test_an_instance_without_ports_has_a_row(ledger: Ledger) -> None:
    assert reserve(ledger, "a") == {}
    assert reserve(ledger, "a") == {}
    found = ledger.get("a")
    assert found is not None
    assert found.ports == {}


def test_the_row_tells_what_was_reserved(ledger: Ledger) -> None:
    ports = ledger.reserve("a", ["http"], namespace="ns", name="n", challenge="web", now=7)
    assert ledger.get("a") == Instance(
        uid="a", namespace="ns", name="n", challenge="web", ports=ports, created=7
    )


def test_release_frees_everything_and_may_be_repeated(ledger: Ledger) -> None:
    reserve(ledger, "a", "http", "nc")
    for _ in range(2):
        ledger.release("a", now=2)
        assert ledger.get("a") is None
        assert ledger.usage().free == 10


def test_a_released_port_goes_to_the_end_of_the_line(ledger: Ledger) -> None:
    released = reserve(ledger, "a", "http")["http"]
    ledger.release("a", now=2)
    order = [reserve(ledger, f"u{i}", "http")["http"] for i in range(10)]
    assert order[-1] == released


def test_the_order_is_shuffled_and_the_seed_fixes_it(tmp_path: Path) -> None:
    orders = []
    for file, seed in (("one", 1), ("one-again", 1), ("two", 2)):
        with Ledger.open(tmp_path / file, range(10000, 10050), seed=seed) as ledger:
            orders.append([reserve(ledger, f"u{i}", "p")["p"] for i in range(50)])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_confirm_moves_the_ports_from_reserved_to_confirmed(ledger: Ledger) -> None:
    reserve(ledger, "a", "http", "nc")
    ledger.confirm("a", now=2)
    ledger.confirm("a", now=3)
    assert ledger.usage() == Usage(free=8, reserved=0, confirmed=2, quarantined=0)
    with pytest.raises(InstanceNotFound):
        ledger.confirm("nobody", now=2)


def test_finalize_tells_which_it_marked(ledger: Ledger) -> None:
    for uid in "abc":
        reserve(ledger, uid, "http")
    assert ledger.finalize(["a", "b", "unknown"], now=2) == {"a", "b"}
    assert ledger.finalize(["b", "c"], now=3) == {"c"}
    assert ledger.finalize(["b"], now=3) == set()
    assert all(instance.is_finalized for instance in ledger.instances())
    assert ledger.finalize([], now=4) == set()


def test_only_a_new_attempt_unsets_finalized(ledger: Ledger) -> None:
    reserve(ledger, "a", "http")
    ledger.begin_attempt("a", now=5)
    ledger.finalize(["a"], now=6)
    ledger.confirm("a", now=7)
    reserve(ledger, "a", "http", now=8)
    ledger.set_expiry("a", expires=99, now=9)
    found = ledger.get("a")
    assert found is not None
    assert found.is_finalized
    ledger.begin_attempt("a", now=10)
    found = ledger.get("a")
    assert found is not None
    assert (found.is_finalized, found.attempt_started, found.expires) == (False, 10, 99)
    with pytest.raises(InstanceNotFound):
        ledger.begin_attempt("nobody", now=11)


def test_unfinalized_lists_only_launches_that_began_before(ledger: Ledger) -> None:
    for uid, started in (("queued", None), ("old", 100), ("older", 50), ("new", 200), ("up", 10)):
        reserve(ledger, uid, "http")
        if started is not None:
            ledger.begin_attempt(uid, now=started)
    ledger.finalize(["up"], now=11)
    found = ledger.unfinalized(attempt_before=200)
    assert [instance.uid for instance in found] == ["older", "old"]


def test_expired_lists_deadlines_that_are_reached(ledger: Ledger) -> None:
    for uid, expires in (("b", 20), ("a", 10), ("later", 31), ("never", None)):
        reserve(ledger, uid, "http")
        ledger.set_expiry(uid, expires=expires, now=1)
    assert [instance.uid for instance in ledger.expired(30)] == ["a", "b"]
    ledger.set_expiry("a", expires=None, now=2)
    assert [instance.uid for instance in ledger.expired(20)] == ["b"]
    with pytest.raises(InstanceNotFound):
        ledger.set_expiry("nobody", expires=1, now=1)


def test_look_up_by_challenge_and_by_uid(ledger: Ledger) -> None:
    for uid, challenge in (("a", "web"), ("b", "pwn"), ("c", "web"), ("d", None)):
        ledger.reserve(uid, ["p"], namespace="ns", name=uid, challenge=challenge, now=1)
    assert [i.uid for i in ledger.instances(["web", "pwn", "none"])] == ["a", "b", "c"]
    assert [i.uid for i in ledger.instances(["web"])] == ["a", "c"]
    assert [i.uid for i in ledger.instances(uids=["d", "a", "x"])] == ["a", "d"]
    assert [i.uid for i in ledger.instances()] == ["a", "b", "c", "d"]
    assert ledger.instances([]) == []
    assert ledger.uids() == {"a", "b", "c", "d"}
    with pytest.raises(ValueError, match="not both"):
        ledger.instances(["web"], uids=["a"])


def test_meta_keeps_what_the_agent_records(ledger: Ledger, path: Path) -> None:
    assert ledger.get_meta("engine_id") is None
    ledger.set_meta("engine_id", "ABCD")
    ledger.set_meta("engine_id", "EFGH")
    with Ledger.open(path, None) as again:
        assert again.get_meta("engine_id") == "EFGH"
    assert ledger.get_meta("schema_version") == "3"
    with pytest.raises(ValueError, match="own"):
        ledger.set_meta("ports", "[]")
