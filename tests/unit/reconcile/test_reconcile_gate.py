"""The launch gate: never more than its slots, in order, a share for removals, and no slot lost."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from controller.reconcile.gate import REMOVAL_SHARE, Gate, Work

UIDS = [f"uid-{number}" for number in range(8)]


class Woken:
    """Whom the gate has woken, in order; some are unknown to the work queue."""

    def __init__(self) -> None:
        self.uids: list[str] = []
        self.unknown: set[str] = set()

    def __call__(self, uid: str) -> bool:
        self.uids.append(uid)
        return uid not in self.unknown


def drain(gate: Gate, woken: Woken, first: str) -> list[str]:
    """The order in which slots are given when each holder gives its own back at once."""
    order: list[str] = []
    holder = first
    while True:
        woken.uids.clear()
        gate.release(holder)
        if not woken.uids:
            return order
        assert woken.uids == [uid for uid in woken.uids if gate.holds(uid)]
        (holder,) = woken.uids
        order.append(holder)


def test_as_many_as_the_capacity_have_a_slot_and_the_rest_wait() -> None:
    gate = Gate(2, Woken())
    assert [gate.request(uid, Work.LAUNCH) for uid in "abc"] == [True, True, False]
    assert (gate.held, gate.waiting) == (2, 1)


def test_who_is_told_yes_at_once_is_not_woken_as_well() -> None:
    woken = Woken()
    gate = Gate(1, woken)
    assert gate.request("a", Work.LAUNCH)
    assert woken.uids == []


def test_asking_again_neither_takes_a_second_slot_nor_loses_the_place() -> None:
    woken = Woken()
    gate = Gate(1, woken)
    assert gate.request("a", Work.LAUNCH)
    assert gate.request("a", Work.LAUNCH)
    for uid in ("b", "c", "b"):
        assert not gate.request(uid, Work.LAUNCH)
    assert gate.waiting == 2
    assert drain(gate, woken, "a") == ["b", "c"]


@given(st.lists(st.sampled_from(UIDS), unique=True, min_size=1))
def test_launches_are_served_in_the_order_they_came(uids: list[str]) -> None:
    woken = Woken()
    gate = Gate(1, woken)
    gate.request("first", Work.LAUNCH)
    for uid in uids:
        gate.request(uid, Work.LAUNCH)
    assert drain(gate, woken, "first") == uids


def test_every_fourth_slot_goes_to_a_waiting_removal() -> None:
    woken = Woken()
    gate = Gate(1, woken)
    gate.request("first", Work.LAUNCH)
    for number in range(9):
        gate.request(f"launch-{number}", Work.LAUNCH)
        gate.request(f"removal-{number}", Work.REMOVAL)
    order = ["first", *drain(gate, woken, "first")]
    kinds = [uid.startswith("removal") for uid in order]
    assert kinds[: 3 * REMOVAL_SHARE] == [False, False, False, True] * 3
    assert [uid for uid in order if uid.startswith("removal")] == [
        f"removal-{number}" for number in range(9)
    ]


def test_a_removal_that_nobody_uses_does_not_use_up_the_removals_share() -> None:
    """The removals behind it would wait for another round of launches."""
    woken = Woken()
    woken.unknown = {"gone"}
    gate = Gate(1, woken)
    gate.request("first", Work.LAUNCH)
    for uid in ("gone", "removal"):
        gate.request(uid, Work.REMOVAL)
    for number in range(6):
        gate.request(f"launch-{number}", Work.LAUNCH)
    order: list[str] = []
    holder = "first"
    for _ in range(3):
        woken.uids.clear()
        gate.release(holder)
        holder = woken.uids[-1]
        order.append(holder)
    assert order == ["launch-0", "launch-1", "removal"]


def test_removals_do_not_wait_for_launches_that_are_not_there() -> None:
    gate = Gate(2, Woken())
    assert gate.request("a", Work.REMOVAL)
    assert gate.request("b", Work.REMOVAL)


def test_asking_for_a_removal_ends_the_wait_for_a_launch() -> None:
    woken = Woken()
    gate = Gate(1, woken)
    gate.request("first", Work.LAUNCH)
    gate.request("a", Work.LAUNCH)
    gate.request("a", Work.REMOVAL)
    assert gate.waiting == 1
    assert drain(gate, woken, "first") == ["a"]


def test_who_leaves_the_queue_is_not_served() -> None:
    woken = Woken()
    gate = Gate(1, woken)
    for uid in ("first", "a", "b"):
        gate.request(uid, Work.LAUNCH)
    gate.release("a")
    assert drain(gate, woken, "first") == ["b"]
    gate.release("never seen")
    assert (gate.held, gate.waiting) == (0, 0)


def test_a_slot_for_an_instance_that_was_forgotten_goes_to_the_next() -> None:
    """It once did not, and after as many such instances as slots nothing was launched any more."""
    woken = Woken()
    woken.unknown = {"forgotten", "forgotten too"}
    gate = Gate(1, woken)
    for uid in ("first", "forgotten", "forgotten too", "a"):
        gate.request(uid, Work.LAUNCH)
    gate.release("first")
    assert gate.holds("a")
    assert (gate.held, gate.waiting) == (1, 0)


def test_a_larger_gate_serves_at_once_and_a_smaller_one_takes_nothing_away() -> None:
    woken = Woken()
    gate = Gate(1, woken)
    for uid in "abcd":
        gate.request(uid, Work.LAUNCH)
    gate.resize(3)
    assert (gate.capacity, gate.held, woken.uids) == (3, 3, ["b", "c"])
    gate.resize(1)
    assert gate.held == 3
    gate.release("a")
    gate.release("b")
    assert (gate.held, gate.waiting) == (1, 1)
    gate.release("c")
    assert gate.holds("d")


class GateMachine(RuleBasedStateMachine):
    """Whatever is asked for, given back, forgotten or resized, in whatever order."""

    @initialize(capacity=st.integers(1, 4))
    def begin(self, capacity: int) -> None:
        self.woken = Woken()
        self.gate = Gate(capacity, self.wake)
        self.capacity = capacity
        self.queues: dict[Work, list[str]] = {Work.LAUNCH: [], Work.REMOVAL: []}
        self.held: set[str] = set()

    def wake(self, uid: str) -> bool:
        """Only heads of the two lines may be served; a uid in no line never is."""
        work = next(w for w, line in self.queues.items() if uid in line)
        assert self.queues[work][0] == uid, "out of turn"
        self.queues[work].remove(uid)
        known = uid not in self.woken.unknown
        if known:
            self.held.add(uid)
        return known

    @rule(uid=st.sampled_from(UIDS), work=st.sampled_from(Work))
    def request(self, uid: str, work: Work) -> None:
        had = uid in self.held
        if not had:
            other = Work.REMOVAL if work is Work.LAUNCH else Work.LAUNCH
            if uid in self.queues[other]:
                self.queues[other].remove(uid)
            if uid not in self.queues[work]:
                self.queues[work].append(uid)
        self.woken.unknown.discard(uid)
        granted = self.gate.request(uid, work)
        if granted and not had:
            assert self.queues[work].pop(0) == uid, "out of turn"
            self.held.add(uid)
        assert granted == (uid in self.held)

    @rule(uid=st.sampled_from(UIDS))
    def release(self, uid: str) -> None:
        for line in self.queues.values():
            if uid in line:
                line.remove(uid)
        self.held.discard(uid)
        self.gate.release(uid)

    @rule(uid=st.sampled_from(UIDS))
    def forget(self, uid: str) -> None:
        """The work queue drops it while its ticket stays behind."""
        if uid not in self.held:
            self.woken.unknown.add(uid)

    @rule(capacity=st.integers(1, 4))
    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self.gate.resize(capacity)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.release(data.draw(st.sampled_from(sorted(self.held))))

    @invariant()
    def holds_exactly_what_it_gave(self) -> None:
        assert self.gate.held == len(self.held)
        assert all(self.gate.holds(uid) for uid in self.held)

    @invariant()
    def no_ticket_is_lost_or_doubled(self) -> None:
        assert self.gate.waiting == sum(map(len, self.queues.values()))

    @invariant()
    def no_slot_is_free_while_somebody_waits(self) -> None:
        if self.gate.waiting:
            assert self.gate.held >= self.capacity

    def teardown(self) -> None:
        """Everybody who still waits is served when all the others are done."""
        if not hasattr(self, "gate"):
            return
        self.woken.unknown.clear()
        for _ in range(10 * len(UIDS)):
            for uid in sorted(self.held):
                self.release(uid)
        assert (self.gate.held, self.gate.waiting) == (0, 0)


@given(st.integers(1, 5), st.lists(st.tuples(st.sampled_from(UIDS), st.booleans()), max_size=60))
def test_never_more_than_the_capacity_at_a_time(
    capacity: int, requests: list[tuple[str, bool]]
) -> None:
    gate = Gate(capacity, lambda _: True)
    for uid, ends in requests:
        if ends:
            gate.release(uid)
        else:
            gate.request(uid, Work.LAUNCH)
        assert gate.held <= capacity


TestGateMachine = GateMachine.TestCase
TestGateMachine.settings = settings(max_examples=30, stateful_step_count=30)


def test_while_launches_are_held_only_removals_get_slots_and_places_are_kept() -> None:
    woken: list[str] = []

    def wake(uid: str) -> bool:
        woken.append(uid)
        return True

    gate = Gate(2, wake, call_up=woken.append)
    assert gate.request("running", Work.LAUNCH)
    gate.hold_launches()
    assert not gate.request("first", Work.LAUNCH)
    assert not gate.request("second", Work.LAUNCH)
    assert gate.request("removal", Work.REMOVAL)
    gate.release("removal")
    gate.release("running")
    assert (gate.held, woken) == (0, []), "nobody is called up for a slot that is not granted"
    gate.resume_launches()
    assert (gate.held, woken) == (2, ["first", "second"])
