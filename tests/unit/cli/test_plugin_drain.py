"""`kubectl challenge cordon`, `uncordon` and `drain`: what they write, and what they wait for."""

from typing import Any

import pytest

from controller.api.meta import FINALIZER
from tests.unit.cli.fake_api import NODES, instances, status
from tests.unit.cli.operator import FakeTime, Operator, ago, ahead, condition


def spec(operator: Operator, name: str = "node-1") -> Any:
    return operator.api.objects[f"{NODES}/{name}"]["spec"]


def test_cordon_and_uncordon_write_the_spec_once(operator: Operator) -> None:
    operator.node("node-1")
    operator.node("node-2", unschedulable=True, drain="All", launchConcurrency=3)

    done = operator("cordon", "node-1", "node-2")
    assert done.stdout.splitlines() == [
        "challengenode.challenge-controller.io/node-1 cordoned",
        "challengenode.challenge-controller.io/node-2 already cordoned",
    ]
    assert operator.api.changes() == [("PATCH", f"{NODES}/node-1")]
    assert spec(operator) == {"unschedulable": True}
    assert spec(operator, "node-2")["drain"] == "All"

    done = operator("uncordon", "node-2", "node-1")
    assert done.exit_code == 0
    assert spec(operator, "node-2") == {"unschedulable": False, "launchConcurrency": 3}
    assert operator("uncordon", "node-1").stdout.endswith("node-1 already uncordoned\n")


@pytest.mark.parametrize("command", ["cordon", "uncordon", "drain", "forget-node"])
def test_a_name_without_a_node_ends_with_3_and_tells_the_names(
    operator: Operator, command: str
) -> None:
    operator.node("node-1")
    done = operator(command, "nod-1")
    assert done.exit_code == 3
    assert done.stderr == "Error: There is no ChallengeNode 'nod-1'; there are node-1\n"


def test_drain_waits_for_pools_and_leaves_players(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    operator.instance("echo-1", pool=True)
    operator.instance("echo-2", pool=True)
    operator.instance("alice", user="alice", status={"expirationTime": ahead(minutes=41)})
    operator.instance("old", condition("Expired", "True", "Expired"), ready="")
    operator.instance("elsewhere", node="node-2", pool=True)
    passing.events = {
        3.0: lambda: operator.remove("echo-1"),
        5.0: lambda: operator.remove("echo-2"),
    }

    done = operator("drain", "node-1")

    assert done.exit_code == 0
    assert spec(operator) == {"unschedulable": True, "drain": "Managed"}
    before, _, until = done.stdout.partition(" (until ")
    assert before.splitlines() == [
        "challengenode.challenge-controller.io/node-1 cordoned, draining",
        "node-1: 0 of 2 have left, 1 stays",
        "team/echo-1 has left node-1",
        "node-1: 1 of 2 have left, 1 stays",
        "team/echo-2 has left node-1",
        "node-1: 2 of 2 have left, 1 stays",
        "node-1 is drained: nothing that is to move is left",
        f"1 instance of players' stays, the last until {until.splitlines()[0][:-1]}; "
        "drain --force moves them:",
        "  team/alice  user alice  left: 41m",
    ]
    kept = "1 expired instance without containers kept (onExpiry: Retain)"
    assert until.splitlines()[1:] == [kept]


def test_drain_by_force_waits_for_players_too(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    moved = operator.instance("alice", user="alice")
    passing.events = {4.0: lambda: moved["status"].update(nodeName="node-2")}

    done = operator("drain", "--force", "node-1")

    assert done.exit_code == 0
    assert spec(operator) == {"unschedulable": True, "drain": "All"}
    assert "team/alice has left node-1" in done.stdout
    assert "stay" not in done.stdout
    assert passing.seconds >= 4


def test_one_that_leaves_at_once_is_named(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    moved = operator.instance("alice", user="alice")

    def quick(method: str, path: str) -> None:
        if method == "PATCH":
            moved["status"].update(nodeName="node-2")

    operator.api.before = quick
    done = operator("drain", "--force", "node-1")
    assert done.exit_code == 0
    assert "team/alice has left node-1\nnode-1: 1 of 1 have left\n" in done.stdout


def test_drain_waits_for_what_is_being_deleted(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    gone = {"deletionTimestamp": ago(seconds=1), "finalizers": [FINALIZER]}
    operator.instance("alice", meta=gone)
    passing.events = {7.0: lambda: operator.remove("alice")}
    assert operator("drain", "node-1").exit_code == 0
    assert passing.seconds >= 7


def test_one_that_is_placed_while_the_node_is_cordoned_is_waited_for(
    operator: Operator, passing: FakeTime
) -> None:
    operator.node("node-1")
    passing.events = {
        1.0: lambda: operator.instance("late", pool=True),
        9.0: lambda: operator.remove("late"),
    }
    done = operator("drain", "node-1")
    assert done.exit_code == 0
    assert "team/late has left node-1" in done.stdout


def test_a_drain_that_is_late_ends_with_4_and_tells_what_holds_it_up(
    operator: Operator, passing: FakeTime
) -> None:
    operator.node("node-1")
    operator.instance("echo-1", pool=True)
    operator.instance(
        "echo-2",
        pool=True,
        node="",
        ready="False",
        reason="Unschedulable",
        message="0/2 nodes: 1 cordoned, 1 out of ports",
    )

    done = operator("drain", "node-1", "--timeout", "80s")

    assert done.exit_code == 4
    held = (
        "still there: team/echo-1; of the same pools, not up: team/echo-2 "
        "(Unschedulable: 0/2 nodes: 1 cordoned, 1 out of ports)"
    )
    assert done.stdout.count(f"Nothing has left for 30 s; {held}") == 2
    assert done.stderr.startswith(
        f"Error: node-1 is not drained within 80s: 0 of 1 have left; {held}. It stays cordoned"
    )
    assert 80 <= passing.seconds < 83
    assert spec(operator)["drain"] == "Managed"


def test_drain_without_waiting_only_writes(operator: Operator) -> None:
    operator.node("node-1")
    operator.instance("echo-1", pool=True)
    assert operator("drain", "node-1", "--no-wait").exit_code == 0
    assert operator.api.requests == [("PATCH", f"{NODES}/node-1")]


def test_drain_ends_when_somebody_takes_it_back(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    operator.instance("echo-1", pool=True)
    passing.events = {3.0: lambda: operator("uncordon", "node-1")}
    done = operator("drain", "node-1")
    assert done.exit_code == 1
    assert "somebody has set spec.drain to nothing meanwhile, expected Managed" in done.stderr


def test_drain_outlives_an_outage_of_the_api_server(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    operator.instance("echo-1", pool=True)

    def outage() -> None:
        operator.api.before = lambda method, path: (503, "upstream is away")

    def back() -> None:
        operator.api.before = lambda method, path: None
        operator.remove("echo-1")

    passing.events = {3.0: outage, 6.0: back}
    done = operator("drain", "node-1", "--timeout", "30s")
    assert done.exit_code == 0
    assert "503 Service Unavailable" in done.stdout
    assert "trying again" in done.stdout
    operator.api.before = lambda method, path: None
    operator.instance("echo-1", pool=True)
    passing.events = {passing.seconds + 3: outage}
    assert operator("drain", "node-1", "--timeout", "30s").exit_code == 4


def test_a_refusal_while_draining_ends_it(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    operator.api.before = lambda method, path: (
        status(403, "Forbidden", "no") if path == instances() else None
    )
    done = operator("drain", "node-1")
    assert done.exit_code == 1
    assert "The right to list challengeinstances.challenge-controller.io" in done.stderr


def test_draining_a_silent_node_warns(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1", ready="Unknown", reason="NodeLost", message="silent since noon")
    done = operator("drain", "node-1")
    assert done.exit_code == 0
    assert "Warning: node-1 is not ready: NodeLost: silent since noon" in done.stderr


def test_who_stays_is_named_by_the_time_that_is_left(operator: Operator, passing: FakeTime) -> None:
    operator.node("node-1")
    for number in range(25):
        end = ahead(minutes=50 - number)
        operator.instance(f"i-{number:02}", user=f"u{number}", status={"expirationTime": end})
    operator.instance("forever", status={"readyTime": ago(minutes=1)})

    printed = operator("drain", "node-1").stdout.splitlines()

    assert "26 instances of players' stay, some for ever; drain --force moves them:" in printed
    named = [line.split()[0] for line in printed if line.startswith("  team/")]
    assert named == [f"team/i-{number:02}" for number in range(24, 4, -1)]
    assert printed[-1] == "  and 6 more: kubectl challenge list -A --node node-1"
