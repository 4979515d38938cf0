"""Subnets never overlap, one just freed comes last, and a repeated request changes nothing."""

import random
from ipaddress import IPv4Network

import pytest

from controller.ledger import Ledger, LedgerConflict, Subnet, SubnetsExhausted

POOL = IPv4Network("10.64.0.0/24")


def allocate(ledger: Ledger, uid: str, prefix: int = 28, pool: IPv4Network = POOL) -> IPv4Network:
    return ledger.allocate_subnet(uid, pool=pool, prefix=prefix, now=1)


def test_every_subnet_of_the_pool_is_given_once(ledger: Ledger) -> None:
    given = [allocate(ledger, f"u{i}") for i in range(16)]
    assert given == list(POOL.subnets(new_prefix=28))
    with pytest.raises(SubnetsExhausted) as caught:
        allocate(ledger, "one-more")
    assert (caught.value.wanted, caught.value.pool) == (28, POOL)


def test_the_same_request_gives_the_same_subnet(ledger: Ledger) -> None:
    assert allocate(ledger, "a") == allocate(ledger, "a")
    assert len(ledger.subnets()) == 1
    with pytest.raises(LedgerConflict, match="a holds"):
        allocate(ledger, "a", prefix=27)


def test_a_subnet_just_freed_comes_last(ledger: Ledger) -> None:
    freed = allocate(ledger, "a")
    ledger.free_subnet("a", now=2)
    ledger.free_subnet("a", now=2)
    given = [allocate(ledger, f"u{i}") for i in range(16)]
    assert given[-1] == freed


def test_release_frees_the_subnet_with_the_ports(ledger: Ledger) -> None:
    ledger.reserve("a", ["http"], namespace="ns", name="n", now=1)
    allocate(ledger, "a")
    ledger.release("a", now=2)
    assert ledger.subnets() == []


def test_an_owner_may_have_one_of_each_pool(ledger: Ledger) -> None:
    other = IPv4Network("10.65.0.0/24")
    shared = allocate(ledger, "shared-0", prefix=24, pool=other)
    assert shared == other
    own = allocate(ledger, "shared-0")
    assert ledger.subnets() == [
        Subnet("shared-0", POOL, own),
        Subnet("shared-0", other, shared),
    ]


def test_the_first_preferred_subnet_that_is_free_is_given(ledger: Ledger) -> None:
    first, second = IPv4Network("10.64.0.64/28"), IPv4Network("10.64.0.128/28")
    elsewhere, other_size = IPv4Network("10.65.0.0/28"), IPv4Network("10.64.0.32/27")

    def preferring(owner: str) -> IPv4Network:
        wanted = [elsewhere, other_size, first, second]
        return ledger.allocate_subnet(owner, pool=POOL, prefix=28, now=1, prefer=wanted)

    assert [preferring("a"), preferring("b"), preferring("a")] == [first, second, first]
    assert preferring("c") not in (first, second, elsewhere)
    ledger.free_subnet("a", now=2)
    assert preferring("d") == first


def test_an_adopted_subnet_is_not_given_to_another(ledger: Ledger) -> None:
    taken = IPv4Network("10.64.0.0/25")
    for _ in range(2):
        ledger.adopt_subnet("a", pool=POOL, subnet=taken, now=1)
    assert allocate(ledger, "b") == IPv4Network("10.64.0.128/28")
    for subnet in (IPv4Network("10.64.0.64/28"), IPv4Network("10.64.0.0/16"), taken):
        with pytest.raises(LedgerConflict, match=r"(a|b) holds"):
            ledger.adopt_subnet("c", pool=IPv4Network("10.64.0.0/16"), subnet=subnet, now=1)


@pytest.mark.parametrize("prefix", [23, 31, 32])
def test_a_prefix_length_that_the_pool_cannot_hold(ledger: Ledger, prefix: int) -> None:
    with pytest.raises(ValueError, match="expected /24 to /30"):
        allocate(ledger, "a", prefix=prefix)


@pytest.mark.parametrize("seed", range(5))
def test_mixed_lengths_and_pools_never_overlap_and_fill_up(ledger: Ledger, seed: int) -> None:
    """Random sizes from nested pools; at the end a /30 fits exactly where a gap is left."""
    chance = random.Random(seed)
    nested = IPv4Network("10.64.0.64/26")
    held: dict[str, IPv4Network] = {}
    for step in range(200):
        uid = f"u{step}"
        if held and chance.random() < 0.4:
            gone = chance.choice(sorted(held))
            ledger.free_subnet(gone, now=step)
            del held[gone]
            continue
        pool = chance.choice([POOL, nested])
        prefix = chance.randint(27, 30)
        free = {
            candidate
            for candidate in pool.subnets(new_prefix=prefix)
            if not any(candidate.overlaps(other) for other in held.values())
        }
        try:
            held[uid] = allocate(ledger, uid, prefix=prefix, pool=pool)
        except SubnetsExhausted:
            assert not free, f"seed {seed}, step {step}"
        else:
            assert held[uid] in free, f"seed {seed}, step {step}"
    assert {s.owner: s.subnet for s in ledger.subnets()} == held
