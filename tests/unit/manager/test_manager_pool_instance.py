"""Names of a pool's instances: the same for the same gap, never the same for different ones."""

import re
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.instance import ChallengeInstance
from controller.api.pool import ChallengePool
from controller.manager import pool_instance
from tests.unit.manager.objects import pool_body


def pool(name: str = "web", **rest: object) -> ChallengePool:
    return ChallengePool.model_validate(pool_body(name, **rest))  # type: ignore[arg-type]  # as given


def first(of: ChallengePool, seed: str, count: int = 1) -> list[str]:
    return list(islice(pool_instance.names(of, seed, "0123abcd"), count))


POOL_NAMES = st.from_regex(r"\A[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?\Z")
SEEDS = st.from_regex(r"\A[A-Za-z0-9._-]{1,64}\Z")


@settings(max_examples=40)
@given(POOL_NAMES, SEEDS)
def test_a_name_is_one_label_of_a_dns_name(name: str, seed: str) -> None:
    last = list(islice(pool_instance.names(pool(name), seed, "0123abcd"), 1_001))[-1]
    assert len(last) <= 63
    assert re.fullmatch("[a-z0-9]([-a-z0-9]*[a-z0-9])?", last)
    assert pool_instance.revision_of(last) == "0123abcd"


def test_the_same_gap_has_the_same_name_and_another_one_another() -> None:
    assert first(pool(), "1", 3) == first(pool(), "1", 3)
    long = "a" * 60
    names = [
        name
        for of in (pool("a"), pool("a-1"), pool("a.1"), pool(f"{long}-b"), pool(f"{long}-c"))
        for seed in ("1", "11", "1-1")
        for name in first(of, seed, 12)
    ]
    assert len(set(names)) == len(names)


def test_a_pool_made_anew_by_the_same_name_has_other_names() -> None:
    assert first(pool(), "1") != first(pool(uid="another"), "1")


@pytest.mark.parametrize(
    ("seed", "label"),
    [("7", "7"), ("_7", None), ("7.", None), ("a" * 64, None), ("a" * 63, "a" * 63)],
)
def test_the_seed_is_a_label_where_it_can_be_one(seed: str, label: str | None) -> None:
    body = pool_instance.body(pool(), seed, first(pool(), seed)[0])
    assert body["metadata"]["labels"].get("challenge-controller.io/seed") == label
    assert body["spec"]["seed"] == seed


def test_the_instance_has_what_the_template_says_and_is_the_pools() -> None:
    template = {
        "metadata": {
            "labels": {"event": "finals", "challenge-controller.io/pool": "mine"},
            "annotations": {"note": "by hand"},
        },
        "spec": {
            "env": [{"name": "TEAM", "value": "blue"}],
            "flagSecretRef": {"name": "flag"},
            "nodeSelector": {"disk": "fast"},
        },
    }
    body = pool_instance.body(pool(template=template), "1", "web-x-0-0123abcd")
    assert body["metadata"]["labels"] == {
        "event": "finals",
        "challenge-controller.io/pool": "web",
        "challenge-controller.io/seed": "1",
        "challenge-controller.io/revision": "0123abcd",
    }
    assert body["metadata"]["annotations"] == {"note": "by hand"}
    read = ChallengeInstance.model_validate(body)
    assert (read.pool and read.pool.uid, read.spec.ttl, read.spec.challenge_ref) == (
        "uid-web",
        "0",
        pool().spec.challenge_ref,
    )
    assert read.spec.flag_secret_ref is not None
    assert read.spec.flag_secret_ref.key == "flag"
    assert (read.spec.env[0].name, read.spec.node_selector) == ("TEAM", {"disk": "fast"})
