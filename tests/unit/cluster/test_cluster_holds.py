"""Retry-After: how long nothing more is sent, and about what."""

import pytest

from controller.cluster.client import INSTANCES, LEASES, NAMESPACES, SECRETS
from controller.cluster.errors import ApiUnavailable, from_status
from controller.cluster.holds import LONGEST, Holds


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def refuse(holds: Holds, path: str, retry_after: float | None, status: int = 429) -> None:
    holds.note(path, from_status(status, {}, retry_after))


def held(holds: Holds, path: str) -> float:
    """Seconds for which a path is held; 0 when it is not."""
    try:
        holds.check(path)
    except ApiUnavailable as error:
        return error.retry_after or 0.0
    return 0.0


def test_whoever_is_held_knows_that_nothing_was_sent() -> None:
    holds = Holds(Clock())
    refuse(holds, INSTANCES.path(), 7.0, 503)
    with pytest.raises(ApiUnavailable) as caught:
        holds.check(INSTANCES.path())
    assert caught.value.status == 429


@pytest.mark.parametrize("status", [429, 503])
def test_a_resource_is_left_alone_until_its_time_and_no_longer(status: int) -> None:
    clock = Clock()
    holds = Holds(clock)
    refuse(holds, INSTANCES.path("a", "team", "status"), 7.0, status)
    assert held(holds, INSTANCES.path("b", "other")) == 7.0
    assert held(holds, INSTANCES.path()) == 7.0
    clock.now += 6.0
    assert held(holds, INSTANCES.path()) == 1.0
    clock.now += 1.0
    assert held(holds, INSTANCES.path()) == 0.0


def test_other_resources_are_asked_for_meanwhile() -> None:
    """The Leases above all: a node that is silent is lost."""
    holds = Holds(Clock())
    refuse(holds, INSTANCES.path("a", "team"), 7.0)
    refuse(holds, SECRETS.path("s", "team"), 7.0)
    for path in (LEASES.path("node-1", "system"), NAMESPACES.path("kube-system")):
        assert held(holds, path) == 0.0
    assert held(holds, SECRETS.path("t", "other")) == 7.0


def test_a_refusal_that_names_no_time_holds_nobody() -> None:
    holds = Holds(Clock())
    refuse(holds, INSTANCES.path(), None)
    refuse(holds, INSTANCES.path(), 7.0, 409)
    assert held(holds, INSTANCES.path()) == 0.0


def test_nobody_is_silenced_for_a_day() -> None:
    holds = Holds(Clock())
    refuse(holds, INSTANCES.path(), 86_400.0)
    assert held(holds, INSTANCES.path()) == LONGEST
