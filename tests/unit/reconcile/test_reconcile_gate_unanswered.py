"""The launch gate and calls that outlive their slot: bounded, and no stop for all the others."""

from hypothesis import given
from hypothesis import strategies as st

from controller.reconcile.gate import HANGING_SHARE, Gate, Work


class Engine:
    """Counts the calls that it has not answered."""

    def __init__(self, capacity: int) -> None:
        self.stuck = 0
        self.woken: list[str] = []
        self.gate = Gate(capacity, self.wake, unanswered=lambda: self.stuck)

    def wake(self, uid: str) -> bool:
        """Note who was granted a slot later."""
        self.woken.append(uid)
        return True

    def strand(self, uid: str) -> None:
        """The call of that uid is not answered in time, and it gives its slot on."""
        self.stuck += 1
        self.gate.release(uid)

    def answer(self) -> None:
        """One of them is answered after all."""
        self.stuck -= 1
        self.gate.kick()


def test_unanswered_calls_count_against_the_slots() -> None:
    engine = Engine(3)
    assert [engine.gate.request(uid, Work.LAUNCH) for uid in "abc"] == [True] * 3
    assert not engine.gate.request("d", Work.LAUNCH)
    engine.strand("a")
    assert engine.woken == []
    engine.gate.release("b")
    assert engine.woken == ["d"]
    assert engine.gate.held == 2


def test_one_slot_is_left_however_many_names_the_engine_hangs_at() -> None:
    engine = Engine(2)
    for uid in "ab":
        assert engine.gate.request(uid, Work.LAUNCH)
    for uid in "ab":
        engine.strand(uid)
    assert engine.gate.request("c", Work.LAUNCH)
    assert not engine.gate.request("d", Work.LAUNCH)
    engine.gate.release("c")
    assert engine.gate.holds("d")
    assert engine.gate.hanging == ""


def test_an_engine_that_hangs_at_too_many_is_given_nothing_until_it_answers_one() -> None:
    engine = Engine(1)
    for uid in "ab":
        assert engine.gate.request(uid, Work.LAUNCH)
        engine.strand(uid)
    assert "left 2 calls unanswered" in engine.gate.hanging
    assert not engine.gate.request("c", Work.LAUNCH)
    assert not engine.gate.request("d", Work.REMOVAL)
    engine.answer()
    assert engine.woken == ["c"]
    assert engine.gate.hanging == ""


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=80))
def test_the_engine_never_has_more_than_twice_the_slots(
    capacity: int, steps: list[tuple[int, int]]
) -> None:
    engine = Engine(capacity)
    for number, step in steps:
        uid = f"uid-{number}"
        if step == 0:
            engine.gate.request(uid, Work.LAUNCH)
        elif step == 1 and engine.gate.holds(uid):
            engine.strand(uid)
        elif step == 2:
            engine.gate.release(uid)
        elif engine.stuck:
            engine.answer()
        assert engine.gate.held + engine.stuck <= HANGING_SHARE * capacity
        assert not engine.gate.waiting or engine.gate.held or engine.gate.hanging


class Watch:
    """An observer with a clock that it sets itself."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.told: list[tuple[str, Work, float]] = []

    def waited(self, work: Work, seconds: float) -> None:
        """Note it."""
        self.told.append(("waited", work, seconds))

    def held(self, work: Work, seconds: float) -> None:
        """Note it."""
        self.told.append(("held", work, seconds))


def test_waits_and_holds_are_told_once_for_each_slot() -> None:
    watch = Watch()
    gate = Gate(1, lambda _: True, observer=watch, monotonic=lambda: watch.seconds)
    gate.request("a", Work.LAUNCH)
    watch.seconds += 2.0
    gate.request("b", Work.REMOVAL)
    watch.seconds += 3.0
    gate.request("b", Work.REMOVAL)  # asking again does not begin anew
    gate.release("a")
    watch.seconds += 7.0
    gate.release("b")
    gate.release("b")
    assert watch.told == [
        ("waited", Work.LAUNCH, 0.0),
        ("held", Work.LAUNCH, 5.0),
        ("waited", Work.REMOVAL, 3.0),
        ("held", Work.REMOVAL, 7.0),
    ]
