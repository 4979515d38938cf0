"""The plan of a seed is always the same, and asks for nothing that its users could not ask for."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from hack.chaosrun.kinds import FAULTS
from hack.chaosrun.load import Book
from hack.chaosrun.manifests import challenges, instance
from hack.chaosrun.plan import BRIEF, LONG, MOST_SHIFT, Plan, Step, draw

NODES = ("node-1", "node-2")


def a_plan(seed: int = 7, seconds: float = 600, instances: int = 12, **options: object) -> Plan:
    return draw(seed, seconds=seconds, instances=instances, nodes=NODES, **options)  # type: ignore[arg-type] # what is left is `faults`


def test_the_plan_of_a_seed_is_always_the_same_and_another_seeds_is_not() -> None:
    assert a_plan() == a_plan()
    assert a_plan() != a_plan(8)


def test_which_faults_are_chosen_does_not_change_the_load() -> None:
    alone = a_plan(faults=("link-cut",))
    assert alone.load == a_plan().load
    assert {step.kind for step in alone.faults} == {"link-cut"}
    assert a_plan(faults=()).faults == ()


def test_a_long_run_has_every_kind_of_fault_and_of_load() -> None:
    plan = a_plan(seconds=3600)
    assert {step.kind for step in plan.faults} == set(FAULTS)
    kinds = {"create", "delete", "suspend", "resume", "renew", "node"}
    assert {step.kind for step in plan.load} == kinds
    assert {step.value for step in plan.load if step.kind == "create"} == {"", "short", "retain"}
    assert {step.shape for step in plan.load} >= {"single", "pair", "ref", "ref-pair", "volume"}


@pytest.mark.parametrize("seed", range(5))
def test_users_touch_only_what_they_have_and_have_no_more_than_allowed(seed: int) -> None:
    live: dict[str, int] = {}
    suspended: set[int] = set()
    most = 0
    for step in a_plan(seed).load:
        if step.kind == "create" and not step.value:
            assert step.target not in live
            live[step.target] = step.number
        elif step.kind in ("delete", "suspend", "resume", "renew"):
            assert live[step.target] == step.number
        if step.kind == "delete":
            del live[step.target]
        if step.kind == "suspend":
            assert step.number not in suspended
            suspended.add(step.number)
        if step.kind == "resume":
            suspended.remove(step.number)
        most = max(most, len(live))
    assert 6 <= most <= 12 + 4, "some launch only to be deleted"


def test_a_name_comes_again_at_once_as_another_instance() -> None:
    load = a_plan().load
    again = [
        (one, two)
        for one, two in pairwise(load)
        if (one.kind, two.kind) == ("delete", "create") and one.target == two.target
    ]
    assert again
    assert all(one.at == two.at and one.number != two.number for one, two in again)


def test_nobody_touches_those_that_end_by_themselves() -> None:
    load = a_plan().load
    brief = {step.target for step in load if step.value in ("short", "retain")}
    assert brief
    assert [step.kind for step in load if step.target in brief] == ["create"] * len(brief)
    assert {step.ttl for step in load if step.target in brief} == {BRIEF}


def test_never_are_both_nodes_cordoned_and_in_the_end_none_is() -> None:
    for seed in range(5):
        cordoned: set[str] = set()
        for step in a_plan(seed).load:
            if step.value.startswith("unschedulable"):
                (cordoned.add if step.value.endswith("true") else cordoned.discard)(step.target)
            assert len(cordoned) < len(NODES)
        assert cordoned == set()


def test_two_faults_of_one_part_never_overlap() -> None:
    for seed in range(5):
        ends: dict[str, float] = {}
        for step in sorted(a_plan(seed).faults, key=lambda step: step.at):
            part = FAULTS[step.kind].part
            assert step.at >= ends.get(part, 0.0)
            ends[part] = step.at + step.seconds


def test_a_clock_jumps_both_ways_and_not_as_far_as_a_life_lasts() -> None:
    jumps = {int(s.value) for s in a_plan(seconds=7200).faults if s.kind == "clock-jump"}
    assert min(jumps) < 0 < max(jumps)
    assert max(map(abs, jumps)) <= MOST_SHIFT < LONG


def test_the_book_has_what_was_created_and_not_deleted_as_it_was_asked_for_last() -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    book = Book("n")
    for number, value in ((1, ""), (2, ""), (3, "short")):
        book.created(Step(0, "create", f"i{number}", value=value, number=number), f"u{number}")
    book.changed(Step(1, "suspend", "i1", number=1), now)
    book.changed(Step(1, "renew", "i1", ttl=LONG, number=1), now)
    book.deleted(2)
    first, brief = book.wanted()
    assert (first.uid, first.state, first.may_be_gone) == ("u1", "Suspended", False)
    assert first.lives_until == now + timedelta(seconds=LONG - MOST_SHIFT - 2)
    assert (brief.uid, brief.may_be_gone) == ("u3", True)


def test_each_shape_is_an_instance_that_tells_its_step() -> None:
    names = {body["metadata"]["name"] for body in challenges()}
    for step in (s for s in a_plan().load if s.kind == "create"):
        body = instance(step)
        assert body["metadata"]["labels"] == {"chaos-step": str(step.number)}
        spec = body["spec"]
        assert ("template" in spec) != ("challengeRef" in spec)
        assert "template" in spec or spec["challengeRef"]["name"] in names
