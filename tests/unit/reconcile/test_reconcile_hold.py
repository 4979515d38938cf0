"""How many may vanish before they are held, for how long, and who is meant by a confirmation."""

from datetime import timedelta

import pytest

from controller.api.meta import rfc3339
from controller.reconcile.hold import Hold
from controller.reconcile.queue import Key
from tests.unit.reconcile.world import NOON, SetClock

HOUR = 3600.0
TIME = 600.0


class Scene:
    """A node with so many instances, some of which vanish."""

    def __init__(self, instances: int) -> None:
        self.clock = SetClock()
        self.woken: list[str] = []
        self.known = {f"u{number}" for number in range(instances)}
        self.changes = 0
        self.hold = self.start()

    def start(self) -> Hold:
        made = Hold(TIME, self.clock, self.woken.append, self.clock.monotonic)
        made.changed = self._count
        return made

    def _count(self) -> None:
        self.changes += 1

    def vanish(self, first: int, number: int) -> int:
        """Have some vanish; how many are held anew."""
        keys = [Key(f"u{first + n}", "team", f"i{first + n}") for n in range(number)]
        return len(self.hold.judge(keys, self.known))

    def held(self) -> int:
        found = self.hold.summary()
        return found.instances if found else 0

    def remove(self, uid: str) -> None:
        self.known.discard(uid)
        self.hold.gone(uid)

    def pass_by(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.clock.at += timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("instances", "vanish", "held"),
    [(5, 5, 0), (6, 6, 6), (30, 6, 0), (29, 6, 6), (100, 20, 0), (100, 21, 21), (1, 1, 0)],
)
def test_more_than_a_fifth_and_more_than_five_are_held(
    instances: int, vanish: int, held: int
) -> None:
    scene = Scene(instances)
    assert scene.vanish(0, vanish) == scene.held() == held
    assert scene.hold.keeps("u0") == (held > 0)
    assert scene.hold.is_judged("u0")


def test_those_that_vanish_one_after_the_other_count_together() -> None:
    scene = Scene(20)
    for number in range(5):
        assert scene.vanish(number, 1) == 0
        scene.remove(f"u{number}")
        scene.pass_by(60)
    assert scene.vanish(5, 1) == 1
    assert scene.held() == 1
    assert scene.vanish(6, 1) == 1, "and whoever comes after"


def test_those_that_vanished_long_ago_count_no_more() -> None:
    scene = Scene(20)
    assert scene.vanish(0, 5) == 0
    for number in range(5):
        scene.remove(f"u{number}")
    scene.pass_by(TIME + 1)
    assert scene.vanish(5, 1) == 0


def test_a_hold_ends_with_its_time_for_each_that_it_holds() -> None:
    scene = Scene(10)
    scene.vanish(0, 6)
    scene.pass_by(TIME - 10)
    scene.vanish(6, 1)
    assert (scene.hold.left("u0"), scene.hold.left("u6")) == (10, TIME)
    scene.pass_by(11)
    assert not scene.hold.keeps("u0")
    assert scene.hold.is_judged("u0"), "it goes, and is not counted and held once more"
    assert scene.hold.keeps("u6")
    assert {orphan.key.uid for orphan in scene.hold.ended()} == {f"u{n}" for n in range(6)}
    assert scene.hold.ended() == [], "which is said once"
    assert scene.vanish(7, 1) == 0, "whose time is over counts no more"


def test_the_summary_says_who_since_when_and_until_when() -> None:
    scene = Scene(10)
    scene.vanish(0, 6)
    scene.pass_by(60)
    scene.vanish(6, 1)
    found = scene.hold.summary()
    assert found is not None
    assert found.names == "team/i0, team/i1, team/i2 and 4 more"
    assert found.since == NOON
    assert found.until == NOON + timedelta(seconds=60 + TIME)


def test_a_confirmation_is_for_those_that_were_held_when_it_was_given() -> None:
    scene = Scene(20)
    scene.vanish(0, 6)
    found = scene.hold.summary()
    assert found is not None
    scene.pass_by(60)
    scene.vanish(6, 1)
    scene.hold.confirm(rfc3339(found.until))
    assert sorted(scene.woken) == [f"u{n}" for n in range(6)]
    assert not scene.hold.keeps("u0")
    assert scene.hold.keeps("u6")
    assert all(orphan.confirmed for orphan in scene.hold.ended())
    for number in range(6):
        scene.remove(f"u{number}")
    assert scene.vanish(7, 1) == 0, "those that are confirmed count no more"
    scene.pass_by(TIME)
    assert scene.vanish(8, 8) == 8
    scene.hold.confirm(rfc3339(found.until))
    assert scene.hold.keeps("u8"), "an annotation that stays confirms no later hold"


def test_a_confirmation_of_a_hold_that_was_to_end_later_confirms_none() -> None:
    """The duration was longer at the time, or the clock ahead; and the annotation has stayed."""
    scene = Scene(20)
    scene.vanish(0, 6)
    found = scene.hold.summary()
    assert found is not None
    scene.hold.confirm(rfc3339(found.until + timedelta(minutes=9)))
    assert scene.held() == 6
    scene.hold.confirm(rfc3339(found.until))
    assert scene.held() == 0


@pytest.mark.parametrize("text", ["", "yes", "true", "2026", "12:00"])
def test_what_is_no_time_confirms_nothing(text: str) -> None:
    scene = Scene(10)
    scene.vanish(0, 6)
    scene.hold.confirm(text)
    assert scene.held() == 6


def test_one_that_comes_back_is_held_no_more_and_the_others_are() -> None:
    scene = Scene(10)
    scene.vanish(0, 6)
    scene.changes = 0
    scene.hold.present("u0")
    assert (scene.hold.keeps("u0"), scene.hold.keeps("u1"), scene.changes) == (False, True, 1)


@pytest.mark.parametrize(
    ("away", "left"), [(100.0, TIME - 100), (-HOUR, TIME), (HOUR, 0.0)], ids=str
)
def test_a_hold_goes_on_after_a_restart_whatever_the_clock_says(away: float, left: float) -> None:
    scene = Scene(10)
    scene.vanish(0, 7)
    text = scene.hold.dump()
    scene.clock.at += timedelta(seconds=away)
    scene.clock.seconds = 3.0  # another process, or another boot
    scene.hold = scene.start()
    scene.hold.load(text, scene.known - {"u6"})
    assert scene.hold.left("u0") == left
    assert scene.held() == (6 if left else 0)
    assert not scene.hold.is_judged("u6"), "of which nothing is left"


def test_a_deletion_is_remembered_for_a_while() -> None:
    scene = Scene(10)
    scene.hold.deleting("u0")
    assert scene.hold.is_deleting("u0")
    scene.pass_by(TIME + 1)
    scene.hold.deleting("u1")
    assert not scene.hold.is_deleting("u0")
    scene.hold.present("u1")
    assert not scene.hold.is_deleting("u1"), "a restored backup can take a deletion back"
