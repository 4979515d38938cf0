"""For how long a node's Lease has been silent, and what is not held against it."""

from datetime import UTC, datetime, timedelta

import pytest

from controller.cluster.client import LEASES
from controller.cluster.lease import micro_time
from controller.manager.heartbeats import PERIOD, Heartbeats, period
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import NAMESPACE, lease_body
from tests.unit.reconcile.world import SetClock

DURATION = 40


class Looking:
    """Leases that are looked at when a test says so."""

    def __init__(self, *names: str) -> None:
        self.clock, self.cluster = SetClock(), FakeCluster()
        self.beats = Heartbeats(DURATION, self.clock.monotonic)
        self.names = names
        self._renewals = 0

    def renew(self, *names: str, age: float = 0.0) -> None:
        """A renewal, by its renewTime so many seconds old."""
        for name in names:
            self._renewals += 1
            at = datetime.now(UTC) - timedelta(seconds=age, milliseconds=-self._renewals)
            self.cluster.put(LEASES, lease_body(name, micro_time(at), DURATION))

    async def look(self, after: float = PERIOD) -> None:
        """Look once, so many seconds later."""
        self.clock.seconds += after
        await self.beats.look(self.cluster, NAMESPACE, self.names)

    async def watch(self, seconds: float, *renewing: str) -> None:
        """Look every period; those nodes renew each time."""
        for _ in range(int(seconds / PERIOD)):
            self.renew(*renewing)
            await self.look()

    def lost(self) -> list[str]:
        """The nodes that are."""
        return [name for name in self.names if self.beats.lost(name)]


async def test_silence_counts_from_the_last_renewal_that_was_seen() -> None:
    looking = Looking("a", "b")
    await looking.watch(60, "a", "b")
    await looking.watch(DURATION, "b")
    assert (looking.lost(), looking.beats.unheard("a")) == ([], DURATION)
    await looking.watch(PERIOD, "b")
    assert (looking.lost(), looking.beats.alive("a"), looking.beats.alive("b")) == (
        ["a"],
        False,
        True,
    )


async def test_time_in_which_nobody_could_look_is_held_against_nobody() -> None:
    looking = Looking("a", "b")
    await looking.watch(60, "a", "b")
    await looking.watch(10, "b")
    assert not looking.beats.blind()
    looking.clock.seconds += 1000
    assert looking.beats.blind()
    looking.renew("b")
    await looking.look(after=0)
    assert (looking.lost(), looking.beats.blind()) == ([], False)
    assert not looking.beats.alive("a"), "nobody vouches for it all the same"
    await looking.watch(DURATION - 10, "b")
    assert looking.lost() == []
    await looking.watch(PERIOD, "b")
    assert looking.lost() == ["a"], "neither for ever, nor twice"


async def test_time_in_which_no_node_was_heard_of_is_held_against_nobody() -> None:
    looking = Looking("a", "b")
    await looking.watch(60, "a", "b")
    await looking.watch(1000)
    assert looking.lost() == ["a", "b"]
    await looking.watch(PERIOD, "b")
    assert looking.lost() == []
    assert (looking.beats.alive("a"), looking.beats.alive("b")) == (False, True)
    await looking.watch(DURATION + PERIOD, "b")
    assert looking.lost() == ["a"]


@pytest.mark.parametrize(("age", "alive", "unheard"), [(100, True, 0), (200, False, 120)])
async def test_a_lease_that_ended_long_ago_is_believed_as_far_as_clocks_may_be_trusted(
    age: float, alive: bool, unheard: float
) -> None:
    looking = Looking("a", "b")
    looking.renew("a", age=age)
    await looking.watch(PERIOD, "b")
    assert (looking.beats.alive("a"), looking.lost()) == (alive, [])
    assert looking.beats.unheard("a") == pytest.approx(unheard, abs=1)
    await looking.watch(DURATION, "b")
    assert looking.lost() == []
    await looking.watch(PERIOD, "b")
    assert looking.lost() == ["a"]
    looking.renew("a")
    await looking.look()
    assert (looking.beats.alive("a"), looking.beats.unheard("a")) == (True, 0)


async def test_a_node_without_a_lease_is_watched_for_as_long_as_any_other() -> None:
    looking = Looking("a", "b")
    await looking.watch(DURATION + PERIOD, "b")
    assert (looking.beats.alive("a"), looking.lost()) == (False, [])
    await looking.watch(PERIOD, "b")
    assert (looking.lost(), looking.beats.has_lease("a")) == (["a"], False)


async def test_a_renewal_between_two_looks_is_heard_by_asking() -> None:
    looking = Looking("a", "b")
    await looking.watch(60, "a", "b")
    assert not await looking.beats.heard(looking.cluster, NAMESPACE, "a")
    assert not await looking.beats.heard(looking.cluster, NAMESPACE, "nowhere")
    looking.renew("a")
    assert await looking.beats.heard(looking.cluster, NAMESPACE, "a")


def test_leases_are_looked_at_more_often_than_they_are_renewed() -> None:
    assert (period(40), period(8), period(4)) == (5, 1, 0.5)
