"""Conditions change in place, tell whether they changed, and keep their transition times."""

from datetime import UTC, datetime, timedelta

from controller.api import conditions
from controller.api.conditions import MESSAGE_LIMIT, READY, SCHEDULED, Condition

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def _ready(status: conditions.Status = "False", reason: str = "Launched") -> list[Condition]:
    found: list[Condition] = []
    conditions.set_condition(found, READY, status, reason, "why", now=NOON, observed_generation=1)
    return found


def test_first_one() -> None:
    found: list[Condition] = []

    assert conditions.set_condition(
        found, READY, "True", "Ready", "up", now=NOON, observed_generation=3
    )

    assert [condition.manifest() for condition in found] == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "message": "up",
            "lastTransitionTime": "2026-01-31T12:00:00Z",
            "observedGeneration": 3,
        }
    ]


def test_same_again_changes_nothing() -> None:
    found = _ready()

    assert not conditions.set_condition(
        found, READY, "False", "Launched", "why", now=LATER, observed_generation=1
    )
    assert found == _ready()


def test_other_reason_keeps_the_time() -> None:
    found = _ready()

    assert conditions.set_condition(
        found, READY, "False", "ProbeFailing", now=LATER, observed_generation=1
    )
    assert (found[0].reason, found[0].message) == ("ProbeFailing", "")
    assert found[0].last_transition_time == NOON


def test_other_status_moves_the_time() -> None:
    found = _ready()

    assert conditions.set_condition(found, READY, "True", "Ready", now=LATER, observed_generation=1)
    assert found[0].last_transition_time == LATER


def test_other_generation_is_a_change() -> None:
    found = _ready()

    assert conditions.set_condition(
        found, READY, "False", "Launched", "why", now=LATER, observed_generation=2
    )
    assert (found[0].observed_generation, found[0].last_transition_time) == (2, NOON)


def test_parts_of_a_second_are_no_change_on_the_way_to_the_api_server_and_back() -> None:
    found: list[Condition] = []
    now = NOON.replace(microsecond=123456)
    conditions.set_condition(found, READY, "True", "Ready", now=now, observed_generation=1)

    assert [Condition.model_validate(condition.manifest()) for condition in found] == found


def test_long_message_is_cut() -> None:
    found: list[Condition] = []
    for length in (MESSAGE_LIMIT, MESSAGE_LIMIT + 1):
        conditions.set_condition(
            found, READY, "False", "LaunchFailed", "é" * length, now=NOON, observed_generation=1
        )
        assert len(found[0].message) == MESSAGE_LIMIT
    assert found[0].message.endswith("é…")


def test_get_remove_is_true() -> None:
    found = _ready("True", "Ready")

    assert conditions.get(found, READY) is found[0]
    assert conditions.get(found, SCHEDULED) is None
    assert conditions.is_true(found, READY)
    assert not conditions.is_true(found, SCHEDULED)
    assert not conditions.is_true(_ready("Unknown"), READY)
    assert conditions.remove(found, READY)
    assert not conditions.remove(found, READY)
    assert found == []
