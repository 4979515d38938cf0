"""In which state each instance is, counted."""

import pytest

from controller.manager.states import STATES, States, state_of
from tests.unit.manager.objects import condition, instance


@pytest.mark.parametrize(
    ("state", "node", "conditions", "deleting"),
    [
        ("pending", None, [], False),
        ("launching", "a", [condition("Ready", "False")], False),
        ("launching", "a", [], False),
        ("ready", "a", [condition("Ready", "True")], False),
        ("failed", "a", [condition("Ready", "False"), condition("Stalled", "True")], False),
        ("lost", "a", [condition("Ready", "Unknown")], False),
        ("suspended", "a", [condition("Suspended", "True")], False),
        ("expired", "a", [condition("Expired", "True")], False),
        ("expired", None, [condition("Expired", "True")], False),
        ("deleting", "a", [condition("Ready", "True")], True),
    ],
)
def test_each_instance_is_in_one_state(
    state: str, node: str | None, conditions: list[dict[str, str]], deleting: bool
) -> None:
    status = {"conditions": conditions} | ({"nodeName": node} if node else {})
    meta = {"deletionTimestamp": "2026-01-31T12:00:00Z"} if deleting else {}
    assert state_of(instance("x", status=status, **meta)) == state


def test_an_instance_counts_once_in_the_state_that_it_is_in_until_it_is_gone() -> None:
    states = States()
    states.observe(instance("x"))
    states.observe(instance("y"))
    up = {"nodeName": "a", "conditions": [condition("Ready", "True")]}
    for _ in range(2):
        states.observe(instance("x", status=up))
    counted = {state: states.count(state) for state in STATES}
    assert counted == dict.fromkeys(STATES, 0) | {"pending": 1, "ready": 1}
    for uid in ("uid-x", "uid-x", "uid-y", "unknown"):
        states.forget(uid)
    assert sum(states.count(state) for state in STATES) == 0
