"""`kubectl challenge confirm-orphans`: what has vanished goes, if somebody says so."""

from tests.unit.cli.fake_api import NODES
from tests.unit.cli.operator import Operator, condition

ANNOTATION = "challenge-controller.io/orphans-confirmed"
UNTIL = "2026-01-31T12:10:00Z"


def holding(operator: Operator, name: str = "node-1") -> None:
    body = operator.node(
        name, condition("OrphansHeld", "True", "OrphansHeld", "8 have vanished: team/a\x1b")
    )
    since = "2026-01-31T12:00:00Z"
    body["status"]["orphans"] = {"instances": 8, "since": since, "until": UNTIL}


def confirmed(operator: Operator, name: str = "node-1") -> str | None:
    meta = operator.api.objects[f"{NODES}/{name}"]["metadata"]
    value: str | None = meta.get("annotations", {}).get(ANNOTATION)
    return value


def test_those_that_are_held_now_are_confirmed(operator: Operator) -> None:
    holding(operator)
    done = operator("confirm-orphans", "node-1", "--yes")
    assert (done.exit_code, done.stderr) == (0, "")
    printed = "challengenode.challenge-controller.io/node-1 orphans confirmed: 8 instances\n"
    assert done.stdout == printed
    assert confirmed(operator) == UNTIL


def test_it_says_what_goes_and_asks(operator: Operator) -> None:
    holding(operator)
    kept = operator("confirm-orphans", "node-1", answer="n\n")
    unanswered = operator("confirm-orphans", "node-1")
    assert (kept.exit_code, unanswered.exit_code, confirmed(operator)) == (5, 5, None)
    assert "8 have vanished: team/a\\x1b\n" in kept.stdout
    assert "the last of them until 2026-01-31 12:10 UTC" in kept.stdout
    assert "Tear down 8 instances on node-1 now? [y/N]:" in kept.stdout
    assert "nobody has answered; --yes answers" in unanswered.stderr
    assert operator("confirm-orphans", "node-1", answer="y\n").exit_code == 0
    assert confirmed(operator) == UNTIL


def test_a_node_that_holds_none_is_left_alone(operator: Operator) -> None:
    operator.node("node-1")
    done = operator("confirm-orphans", "node-1")
    assert (done.exit_code, operator.api.changes()) == (0, [])
    assert done.stdout == "challengenode.challenge-controller.io/node-1 holds no orphans\n"


def test_a_node_that_there_is_not_is_answered_with_those_that_there_are(
    operator: Operator,
) -> None:
    operator.node("node-1")
    done = operator("confirm-orphans", "node-2", "--yes")
    assert done.exit_code == 3
    assert "there are node-1" in done.stderr
