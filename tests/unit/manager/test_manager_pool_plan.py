"""A pool's next step: a table of what there is, and what is to be done about it.

Each seed is written as its instances: `G` good, `L` leaving (its node is drained), `O` old; small
letters are not ready. A plan is `seed+n` for creates and the letters that are deleted.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api.challenge import Challenge
from controller.api.instance import ChallengeInstance
from controller.api.pool import ChallengePool
from controller.api.template import template_hash
from controller.api.values import rfc3339
from controller.manager import pool_instance
from controller.manager.pool_members import Member, Members
from controller.manager.pool_plan import Cordons, Line, Plan, plan, survey
from tests.unit.manager.objects import challenge_body, condition, pool_body
from tests.unit.reconcile.world import NOON

CORDONS = Cordons(frozenset({"sick", "cordoned"}), frozenset({"sick"}))


@cache
def challenge(image: str = "img:1") -> Challenge:
    return Challenge.model_validate(challenge_body(image=image))


NOW, BEFORE = (template_hash(challenge(image).spec.template) for image in ("img:1", "img:0"))


def instance(
    pool: ChallengePool, seed: str, ordinal: int, letter: str, **meta: Any
) -> ChallengeInstance:
    """An instance as the letter says it."""
    image = "img:0" if letter in "oO" else "img:1"
    template = challenge(image).spec.template
    revision = pool_instance.revision(pool, template_hash(template))
    names = pool_instance.names(pool, seed, revision)
    name = [next(names) for _ in range(ordinal + 1)][-1]
    body = pool_instance.body(pool, seed, name)
    body["metadata"] |= {
        "namespace": "team",
        "uid": f"{letter}-{seed}-{ordinal}",
        "creationTimestamp": rfc3339(NOON),
    } | meta
    status = {
        "nodeName": "sick" if letter in "lL" else "n1",
        "template": template.manifest(),
        "conditions": [condition("Ready", "True" if letter.isupper() else "False")],
    }
    return ChallengeInstance.model_validate(body | {"status": status})


def members(pool: ChallengePool, seeds: dict[str, str]) -> list[Member]:
    known = Members()
    for seed, letters in seeds.items():
        for ordinal, letter in enumerate(letters):
            known.observe(instance(pool, seed, ordinal, letter))
    return known.of("team/uid-web")


def planned(
    *lines: str, replicas: int = 2, surge: int = 1, unavailable: int = 0, creatable: bool = True
) -> Plan:
    """The plan for a pool with these seeds."""
    seeds = {str(number): letters for number, letters in enumerate(lines)}
    body = pool_body(seeds=tuple(seeds), replicas=replicas, surge=surge, unavailable=unavailable)
    pool = ChallengePool.model_validate(body)
    seen = survey(pool, NOW, members(pool, seeds), CORDONS)
    return plan(pool, seen, CORDONS, creatable=creatable)


def words(todo: Plan) -> str:
    made = [f"{seed}+{todo.create.count(seed)}" for seed in sorted(set(todo.create))]
    return " ".join([*made, *sorted(member.uid.rpartition("-")[0] for member in todo.delete)])


@pytest.mark.parametrize(
    ("lines", "options", "expected"),
    [
        # What is missing is made, what is too many goes, the unready first.
        (["", "G"], {}, "0+2 1+1"),
        (["GG", "Gg"], {}, ""),
        (["GGg", "GGG"], {}, "G-1 g-0"),
        (["GG", "gg"], {"replicas": 0}, "G-0 G-0 g-1 g-1"),
        # A roll with one too many: the new one first, then the old one goes.
        (["OO", "OO"], {}, "0+1"),
        (["OOg", "OO"], {}, ""),
        (["OOG", "OO"], {}, "0+1 O-0"),
        (["OG", "OO"], {}, "0+1"),
        (["GG", "OG"], {}, "1+1"),
        (["OO", "OO"], {"surge": 3}, "0+2 1+1"),
        # A roll within what may be missing.
        (["OO", "OO"], {"surge": 0, "unavailable": 1}, "0+1 O-0"),
        (["Og", "OO"], {"surge": 0, "unavailable": 1}, ""),
        (["OG", "OO"], {"surge": 0, "unavailable": 1}, "0+1 O-0"),
        (["OO", "OO"], {"surge": 0, "unavailable": 3}, "0+2 1+1 O-0 O-0 O-1"),
        # Old ones that serve nobody are in nobody's way.
        (["oo", "OO"], {}, "0+2 1+1 o-0 o-0"),
        # More ready in one seed do not make up for another.
        (["OOG", "oG"], {}, "0+1 1+1 O-0 o-1"),
        # A broken template keeps to its budget.
        (["Og", "Og"], {"surge": 0, "unavailable": 2}, ""),
        (["OOg", "OO"], {"surge": 1}, ""),
        # A drain: one at a time, and none before its successor is ready; maxSurge is not asked.
        (["LL", "LG"], {"surge": 0, "unavailable": 1}, "0+1"),
        (["LL", "LG"], {"surge": 5}, "0+1"),
        (["LLg", "LG"], {}, ""),
        (["LLG", "LG"], {}, "0+1 L-0"),
        (["Gl", "GG"], {}, "0+1"),
        (["Glg", "GG"], {}, "l-0"),
        # Scaled down meanwhile: what leaves goes, and what is old.
        (["LG", "GO"], {"replicas": 1}, "L-0 O-1"),
        (["LL", "GG"], {"replicas": 1}, "0+1 G-1 L-0"),
        # The node is to be kept after all: the successor goes that is not up.
        (["GGg", "GG"], {}, "g-0"),
        # Without a Challenge nothing is made.
        (["G", "GGG"], {"creatable": False}, "G-1"),
    ],
)
def test_the_next_step(lines: list[str], options: dict[str, Any], expected: str) -> None:
    assert words(planned(*lines, **options)) == expected


def test_each_seed_gets_its_first_before_any_gets_its_second() -> None:
    assert planned("", "", "").create == ["0", "1", "2", "0", "1", "2"]


def test_cordoned_ones_go_first_then_the_newest() -> None:
    pool = ChallengePool.model_validate(pool_body(seeds=("1",), replicas=1))
    known = Members()
    for ordinal, (second, node) in enumerate([(1, "n1"), (0, "cordoned"), (2, "n1")]):
        made = f"2026-01-31T12:00:0{second}Z"
        found = instance(pool, "1", ordinal, "G", creationTimestamp=made)
        found.status.node_name = node
        known.observe(found)

    def survivor(replicas: int) -> list[str]:
        pool.spec.replicas = replicas
        seen = survey(pool, NOW, known.of("team/uid-web"), CORDONS)
        plan(pool, seen, CORDONS, creatable=True)
        return [member.uid for member in seen.lines[0].good]

    assert survivor(2) == ["G-1-0", "G-1-2"]
    assert survivor(1) == ["G-1-0"]


def test_seeds_that_are_wanted_no_more_go_and_are_nobodys() -> None:
    pool = ChallengePool.model_validate(pool_body(seeds=("1",)))
    seen = survey(pool, NOW, members(pool, {"1": "GG", "gone": "Gg"}), CORDONS)
    assert words(plan(pool, seen, CORDONS, creatable=True)) == "G-gone g-gone"


@pytest.mark.parametrize(
    "change",
    [
        lambda pool: pool["spec"]["instanceTemplate"].update(metadata={"labels": {"a": "b"}}),
        lambda pool: pool["spec"]["instanceTemplate"].update(
            spec={"env": [{"name": "TEAM", "value": "blue"}]}
        ),
        lambda pool: pool["spec"]["instanceTemplate"].update(
            spec={"flagSecretRef": {"name": "flag"}}
        ),
    ],
)
def test_any_change_of_the_instance_template_makes_them_old(
    change: Callable[[dict[str, Any]], None],
) -> None:
    body = pool_body(seeds=("1",))
    before = members(ChallengePool.model_validate(body), {"1": "GG"})
    change(body)
    (line,) = survey(ChallengePool.model_validate(body), NOW, before, CORDONS).lines
    assert len(line.old) == 2


def test_what_is_none_of_the_template_makes_nothing_old() -> None:
    before = members(ChallengePool.model_validate(pool_body(seeds=("1",))), {"1": "GG"})
    other = ChallengePool.model_validate(pool_body(seeds=("2", "1"), replicas=7, surge=3))
    line = survey(other, NOW, before, CORDONS).lines[1]
    assert len(line.good) == 2


def test_one_with_the_right_name_and_something_else_in_it_is_old() -> None:
    """Somebody may write such a name and our ownerReference: it is no replica of ours."""
    pool = ChallengePool.model_validate(pool_body(seeds=("1",)))
    forged = instance(pool, "1", 0, "G")
    forged.spec.user = "mallory"
    known = Members()
    known.observe(forged)
    (line,) = survey(pool, NOW, known.of("team/uid-web"), CORDONS).lines
    assert (len(line.good), len(line.old)) == (0, 1)


def test_one_placed_with_a_later_template_than_it_was_created_for_is_old() -> None:
    pool = ChallengePool.model_validate(pool_body(seeds=("1",)))
    late = instance(pool, "1", 0, "G")
    late.status.template = challenge("img:0").spec.template
    known = Members()
    known.observe(late)
    (line,) = survey(pool, NOW, known.of("team/uid-web"), CORDONS).lines
    assert len(line.old) == 1


LETTERS = st.text("GgLlOo", max_size=6)


def ready(lines: list[Line]) -> list[int]:
    return [line.ready for line in lines]


@settings(max_examples=150, deadline=None)
@given(
    lines=st.lists(LETTERS, min_size=1, max_size=4),
    replicas=st.integers(0, 4),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
)
def test_no_plan_takes_more_from_players_than_it_may(
    lines: list[str], replicas: int, surge: int, unavailable: int
) -> None:
    """And none creates more than it may; whatever state a pool is found in."""
    seeds = {str(number): letters for number, letters in enumerate(lines)}
    body = pool_body(seeds=tuple(seeds), replicas=replicas, surge=surge, unavailable=unavailable)
    pool = ChallengePool.model_validate(body)
    seen = survey(pool, NOW, members(pool, seeds), CORDONS)
    before, over = ready(seen.lines), sum(max(0, len(x.live) - replicas) for x in seen.lines)
    todo = plan(pool, seen, CORDONS, creatable=True)
    after = ready(seen.lines)
    lost = sum(max(0, replicas - left) for left in after)
    was = sum(max(0, replicas - left) for left in before)
    assert lost <= max(was, unavailable)
    live = [len(line.live) + todo.create.count(line.seed) for line in seen.lines]
    assert sum(max(0, count - replicas) for count in live) <= max(over, surge, 1)
    assert all(count >= replicas for count in live)
    assert len({member.uid for member in todo.delete}) == len(todo.delete)
