"""Which node an instance goes to, and what its user is told when there is none."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.api import reasons
from controller.api.challenge import TemplateSpec
from controller.manager.assignments import MemoryRule, memory_of
from controller.manager.nodes import Node, Nodes
from controller.manager.placement import (
    BACKLOG,
    Assigned,
    Assignments,
    Load,
    Refusal,
    choose,
    has_room,
    is_launched,
    ports_of,
)
from tests.unit.manager.objects import condition, instance, node_body, template

GIB = 2**30


def nodes(*bodies: dict[str, Any], launches: int = 2) -> Nodes:
    made = Nodes(lambda: None, launches)
    for body in bodies:
        made.observe(body, deleted=False)
    for node in made.by_name.values():
        node.alive = True
    return made


def chosen(
    among: Nodes,
    assigned: Assignments | None = None,
    ports: int = 1,
    memory: str = "",
    **spec: Any,
) -> str | Refusal:
    wanted = TemplateSpec.model_validate(template(ports, memory))
    return choose(instance("new", spec=spec), wanted, among, assigned or Assignments())


def loaded(node: str, count: int, *, launched: bool, ports: int = 1) -> Assignments:
    assigned = Assignments()
    for number in range(count):
        assigned.put(f"{node}-{number}", Assigned(node, ports, launched))
    return assigned


def test_without_any_node_the_message_says_so() -> None:
    assert chosen(nodes()) == Refusal(reasons.UNSCHEDULABLE, "There is no ChallengeNode")


def test_the_least_busy_node_is_chosen() -> None:
    among = nodes(node_body("a"), node_body("b"), node_body("c"))
    assigned = loaded("a", 3, launched=False)
    assigned.put("b-0", Assigned("b", 1, launched=False))
    assigned.put("c-0", Assigned("c", 1, launched=True))
    assert chosen(among, assigned) == "c"


def test_a_larger_gate_takes_more_of_what_is_to_be_launched() -> None:
    among = nodes(node_body("a"), node_body("b", launchConcurrency=16))
    assigned = loaded("a", 2, launched=False)
    for number in range(4):
        assigned.put(f"b-{number}", Assigned("b", 1, launched=False))
    assert chosen(among, assigned) == "b"


@pytest.mark.parametrize(
    ("body", "spec", "message"),
    [
        (node_body("a", unschedulable=True), {}, "1 cordoned"),
        (node_body("a", ready="False", reason="DockerUnavailable"), {}, "DockerUnavailable"),
        (node_body("a", instances=0), {}, "1 full"),
        (node_body("a", maxInstances=0), {}, "1 full"),
        (node_body("a", memory=2**29 - 1), {"memory": "512Mi"}, "1 out of memory"),
        (node_body("a"), {"nodeName": "z"}, "1 not the one in nodeName"),
        (node_body("a"), {"nodeSelector": {"gpu": "yes"}}, "1 not matching nodeSelector"),
        (
            node_body("a", labels={"gpu": "no"}),
            {"nodeSelector": {"gpu": "yes"}},
            "1 not matching nodeSelector",
        ),
    ],
)
def test_a_node_that_does_not_fit_is_passed_over_and_the_message_says_why(
    body: dict[str, Any], spec: dict[str, Any], message: str
) -> None:
    refusal = chosen(nodes(body), **spec)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reasons.UNSCHEDULABLE
    assert refusal.message.startswith("0/1 nodes are available: ")
    assert message in refusal.message
    if "nodeName" not in spec:
        also = node_body("good", labels={"gpu": "yes"})
        assert chosen(nodes(body, also), **spec) == "good"


def test_a_node_that_does_not_report_takes_nothing() -> None:
    among = nodes(node_body("a"))
    among.by_name["a"].alive = False
    refusal = chosen(among)
    assert isinstance(refusal, Refusal)
    assert refusal.message == "0/1 nodes are available: 1 not reporting"
    assert Node(among.by_name["a"].object).problem() == "not reporting"


def test_a_node_whose_disk_is_nearly_full_gets_nothing_new() -> None:
    body = node_body("a")
    body["status"]["conditions"].append(condition("DiskPressure", "True", "Low"))
    refusal = chosen(nodes(body))
    assert isinstance(refusal, Refusal)
    assert refusal.message == "0/1 nodes are available: 1 under disk pressure"
    body["status"]["conditions"][-1] = condition("DiskPressure", "False", "Available")
    assert chosen(nodes(body)) == "a"


def test_ports_are_counted_before_the_node_reports_them() -> None:
    among = nodes(node_body("a", ports=10))
    assert chosen(among, loaded("a", 3, launched=True, ports=3), ports=1) == "a"
    refusal = chosen(among, loaded("a", 3, launched=True, ports=3), ports=2)
    assert refusal == Refusal(reasons.PORTS_EXHAUSTED, "0/1 nodes are available: 1 out of ports")
    assert chosen(among, loaded("a", 10, launched=True, ports=1), ports=0) == "a"


def test_memory_is_what_limits_promise_times_the_overcommit() -> None:
    among = nodes(node_body("a", memory=GIB))
    half = Assignments(MemoryRule(overcommit=1.0))
    half.put("x", Assigned("a", 1, True, "", GIB // 2))
    assert chosen(among, half, memory="512Mi") == "a"
    assert chosen(among, half, memory="513Mi") == Refusal(
        reasons.UNSCHEDULABLE, "0/1 nodes are available: 1 out of memory"
    )
    half.memory = MemoryRule(overcommit=1.5)
    assert chosen(among, half, memory="1Gi") == "a"
    assert chosen(among, half, memory="1025Mi") != "a"


def test_a_container_without_a_limit_counts_with_the_rules_default_which_is_nothing() -> None:
    among = nodes(node_body("a", memory=GIB))
    assert chosen(among, Assignments(MemoryRule(overcommit=0.001))) == "a"
    assert chosen(among, Assignments(MemoryRule(default=GIB))) == "a"
    assert chosen(among, Assignments(MemoryRule(default=GIB + 1))) != "a"
    two = template(memory="100Mi")
    two["containers"].append({"name": "db", "image": "img:1"})
    parsed = TemplateSpec.model_validate(two)
    assert memory_of(parsed, GIB) == GIB + 100 * 2**20


def test_a_node_that_has_not_told_its_memory_is_not_filtered_by_it() -> None:
    assert chosen(nodes(node_body("a")), memory="16Ti") == "a"


def test_an_instance_takes_what_its_status_says_it_was_placed_with() -> None:
    assigned = Assignments()
    status: dict[str, Any] = {"nodeName": "a", "template": template(3, "1Gi")}
    taken = assigned.observed(instance("i", status=status), "a")
    assert taken == Assigned("a", 3, False, "", GIB)
    status["conditions"] = [condition("Expired", "True")]
    assert assigned.observed(instance("i", status=status), "a").memory == 0


def test_the_operators_limit_counts_before_the_agent_has_told_it() -> None:
    among = nodes(node_body("a", instances=100, maxInstances=3))
    assert chosen(among, loaded("a", 2, launched=True)) == "a"
    refusal = chosen(among, loaded("a", 3, launched=True))
    assert refusal == Refusal(reasons.UNSCHEDULABLE, "0/1 nodes are available: 1 full")


def test_the_nodes_are_counted_by_what_is_missing() -> None:
    among = nodes(
        node_body("a", unschedulable=True),
        node_body("b", unschedulable=True),
        node_body("c", ports=0),
    )
    assert chosen(among) == Refusal(
        reasons.PORTS_EXHAUSTED, "0/3 nodes are available: 2 cordoned, 1 out of ports"
    )


def test_a_node_gets_no_more_than_it_can_launch_in_a_while_and_the_rest_wait() -> None:
    among = nodes(node_body("a"), launches=2)
    almost = loaded("a", 2 * BACKLOG - 1, launched=False)
    assert chosen(among, almost) == "a"
    assert has_room(among, almost)
    full = loaded("a", 2 * BACKLOG, launched=False)
    refusal = chosen(among, full)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reasons.WAITING_FOR_NODE
    assert not has_room(among, full)


def test_the_reason_is_the_one_that_passes_by_itself() -> None:
    among = nodes(
        node_body("busy"), node_body("small", ports=0), node_body("c", unschedulable=True)
    )
    refusal = chosen(among, loaded("busy", 2 * BACKLOG, launched=False))
    assert refusal == Refusal(
        reasons.WAITING_FOR_NODE,
        "0/3 nodes are available: 1 cordoned, 1 launching as much as they can, 1 out of ports",
    )


@pytest.mark.parametrize(
    ("conditions", "meta", "expected"),
    [
        ([], {}, False),
        ([condition("Ready", "False", "WaitingForNode")], {}, False),
        ([condition("Ready", "False", "PullingImage")], {}, False),
        ([condition("Launched", "True"), condition("Ready", "False", "ProbePending")], {}, True),
        (
            [condition("Launched", "False"), condition("Ready", "False", "ImagePullFailed")],
            {},
            True,
        ),
        ([condition("Ready", "False", "SecretNotFound")], {}, True),
        ([condition("Ready", "False", "CapabilityNotAllowed")], {}, True),
        ([condition("Expired", "True")], {}, True),
        ([], {"deletionTimestamp": "2026-01-31T12:00:00Z"}, True),
    ],
)
def test_only_what_is_on_its_way_to_a_launch_keeps_others_waiting(
    conditions: list[dict[str, str]], meta: dict[str, str], expected: bool
) -> None:
    """Sixteen instances of an image that does not exist once kept everybody off a node."""
    assert is_launched(instance("a", status={"conditions": conditions}, **meta)) is expected


def test_a_retained_instance_has_no_ports() -> None:
    status: dict[str, Any] = {"template": template(3)}
    assert ports_of(instance("a", status=status)) == 3
    status["conditions"] = [condition("Expired", "True")]
    assert ports_of(instance("a", status=status)) == 0
    assert ports_of(instance("a")) == 0


ASSIGNED = st.builds(
    Assigned,
    st.sampled_from(["a", "b"]),
    st.integers(0, 3),
    st.booleans(),
    st.just(""),
    st.integers(0, 9),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("uvwxyz"), st.none() | ASSIGNED), max_size=40))
def test_the_counts_are_those_of_what_is_assigned(
    changes: list[tuple[str, Assigned | None]],
) -> None:
    assigned, expected = Assignments(), dict[str, Assigned]()
    for uid, to in changes:
        if to is None:
            assert assigned.drop(uid) == (expected.pop(uid, None) is not None)
        else:
            before = expected.get(uid)
            assert assigned.put(uid, to) == (before is not None and before != to)
            expected[uid] = to
    for name in "ab":
        here = [each for each in expected.values() if each.node == name]
        load = Load(
            instances=len(here),
            ports=sum(each.ports for each in here),
            unlaunched=sum(not each.launched for each in here),
            memory=sum(each.memory for each in here),
        )
        assert assigned.load(name) == load


NODE_SIZES = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), st.integers(1, 3)),
    min_size=1,
    max_size=4,
)
WANTED = st.lists(st.tuples(st.integers(0, 3), st.integers(6, 40)), max_size=60)
MIB = 2**20


@settings(max_examples=100, deadline=None)
@given(NODE_SIZES, WANTED, st.sampled_from([0.5, 1.0, 2.0]))
def test_no_node_is_ever_promised_more_than_it_has(
    sizes: list[tuple[int, int, int, int]], wanted: list[tuple[int, int]], overcommit: float
) -> None:
    bodies = [
        node_body(
            f"n{n}", instances=instances, ports=ports, memory=mem * 10 * MIB, launchConcurrency=gate
        )
        for n, (instances, ports, mem, gate) in enumerate(sizes)
    ]
    among, assigned = nodes(*bodies), Assignments(MemoryRule(overcommit=overcommit))
    for number, (ports, mem) in enumerate(wanted):
        parsed = TemplateSpec.model_validate(template(ports, f"{mem}Mi"))
        to = choose(instance("new"), parsed, among, assigned)
        if isinstance(to, str):
            assigned.put(f"i-{number}", Assigned(to, ports, False, "", mem * MIB))
        else:
            # Refused: then every node really lacks something.
            for n, (instances, most, memory, gate) in enumerate(sizes):
                load = assigned.load(f"n{n}")
                assert (
                    load.instances >= instances
                    or load.ports + ports > most
                    or load.memory + mem * MIB > memory * 10 * MIB * overcommit
                    or load.unlaunched >= BACKLOG * gate
                )
        for n, (instances, most, memory, gate) in enumerate(sizes):
            load = assigned.load(f"n{n}")
            assert load.instances <= instances
            assert load.ports <= most
            assert load.memory <= memory * 10 * MIB * overcommit
            assert load.unlaunched <= BACKLOG * gate


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(0, 150))
def test_equal_nodes_get_equal_shares(count: int, wanted: int) -> None:
    among = nodes(*(node_body(f"n{n}", instances=500, ports=500) for n in range(count)), launches=8)
    assigned, parsed = Assignments(), TemplateSpec.model_validate(template())
    for number in range(wanted):
        to = choose(instance("new"), parsed, among, assigned)
        assert isinstance(to, str) == (number < count * 8 * BACKLOG)
        if isinstance(to, str):
            assigned.put(f"i-{number}", Assigned(to, 1, False))
    loads = [assigned.load(f"n{n}").instances for n in range(count)]
    assert max(loads) - min(loads) <= 1
