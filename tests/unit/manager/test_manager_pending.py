"""Who waits for a node is served in turn: one who asks for 200 does not starve the others."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller.manager.pending import Pending
from tests.unit.manager.objects import instance_body

USERS = ["", "ann", "bob", "eve"]
WAITING = st.lists(st.tuples(st.sampled_from(USERS), st.integers(0, 30)), unique=True, max_size=40)


def names(pending: Pending) -> list[str]:
    return [body["metadata"]["name"] for body in pending.in_turn()]


def filled(waiting: list[tuple[str, int]]) -> Pending:
    pending = Pending()
    for user, number in waiting:
        pending.put(instance_body(f"{user}-{number}", user=user))
    return pending


def test_users_take_turns_and_each_ones_own_come_in_order() -> None:
    pending = filled([("ann", 1), ("ann", 2), ("ann", 3), ("bob", 1), ("eve", 1), ("eve", 2)])
    assert names(pending) == ["ann-1", "bob-1", "eve-1", "ann-2", "eve-2", "ann-3"]


def test_who_was_served_queues_behind_the_others() -> None:
    pending = filled([("ann", 1), ("ann", 2), ("bob", 1), ("bob", 2)])
    order = []
    while len(pending):
        first = names(pending)[0]
        order.append(first)
        pending.served(f"uid-{first}")
    assert order == ["ann-1", "bob-1", "ann-2", "bob-2"]


def test_putting_one_again_keeps_its_place_and_takes_what_it_is_now() -> None:
    pending = filled([("ann", 1), ("ann", 2)])
    pending.put(instance_body("ann-1", user="ann", generation=7))
    assert names(pending) == ["ann-1", "ann-2"]
    assert next(pending.in_turn())["metadata"]["generation"] == 7
    assert len(pending) == 2


def test_what_a_write_returned_replaces_only_what_it_was_computed_from() -> None:
    """The watch may have brought a newer one meanwhile, or its deletion."""
    pending = filled([("ann", 1)])
    read = next(pending.in_turn())
    written = instance_body("ann-1", user="ann", generation=2)
    pending.renew(read, written)
    assert next(pending.in_turn()) is written
    newer = instance_body("ann-1", user="ann", generation=3)
    pending.put(newer)
    pending.renew(written, instance_body("ann-1", user="ann", generation=2))
    assert next(pending.in_turn()) is newer
    pending.drop("uid-ann-1")
    pending.renew(newer, newer)
    assert (len(pending), "uid-ann-1" in pending) == (0, False)


def test_one_that_was_up_before_goes_first_in_its_own_line() -> None:
    pending = filled([("ann", 1), ("ann", 2), ("bob", 1)])
    pending.put(instance_body("ann-9", user="ann"), first=True)
    assert names(pending) == ["ann-9", "bob-1", "ann-1", "ann-2"]
    pending.put(instance_body("ann-2", user="ann"), first=True)
    assert names(pending) == ["ann-9", "bob-1", "ann-1", "ann-2"]


def test_a_user_who_comes_while_others_are_gone_through_is_next_but_one() -> None:
    pending = filled([("ann", number) for number in range(20)])
    turns = pending.in_turn()
    order = [next(turns)["metadata"]["name"] for _ in range(3)]
    pending.put(instance_body("bob-1", user="bob"))
    pending.drop("uid-ann-4")
    order += [body["metadata"]["name"] for body in turns]
    assert order[:6] == ["ann-0", "ann-1", "ann-2", "ann-3", "bob-1", "ann-5"]
    assert len(order) == 20


@settings(max_examples=40)
@given(WAITING)
def test_nobody_is_lost_and_nobody_is_a_turn_ahead(waiting: list[tuple[str, int]]) -> None:
    pending = filled(waiting)
    order = list(pending.in_turn())
    assert len(order) == len(pending) == len(waiting)
    shares = Counter(user for user, _ in waiting)
    had: Counter[str] = Counter()
    for body in order:
        user = body["spec"].get("user", "")
        had[user] += 1
        behind = [had[other] for other in shares if had[other] < shares[other]]
        assert had[user] <= min(behind, default=had[user]) + 1


class PendingMachine(RuleBasedStateMachine):
    """Put, dropped, served in any order: each is in it once, in its user's order."""

    def __init__(self) -> None:
        super().__init__()
        self.pending = Pending()
        self.lines: dict[str, list[str]] = {user: [] for user in USERS}

    @rule(user=st.sampled_from(USERS), number=st.integers(0, 5))
    def put(self, user: str, number: int) -> None:
        name = f"{user}-{number}"
        self.pending.put(instance_body(name, user=user))
        if name not in self.lines[user]:
            self.lines[user].append(name)

    @rule(user=st.sampled_from(USERS), number=st.integers(0, 5))
    def drop(self, user: str, number: int) -> None:
        name = f"{user}-{number}"
        assert self.pending.drop(f"uid-{name}") == (name in self.lines[user])
        if name in self.lines[user]:
            self.lines[user].remove(name)

    @precondition(lambda self: len(self.pending) > 0)
    @rule()
    def serve(self) -> None:
        name = names(self.pending)[0]
        self.pending.served(f"uid-{name}")
        self.lines[name.partition("-")[0]].remove(name)

    @invariant()
    def holds_what_was_put_in_order(self) -> None:
        order = names(self.pending)
        assert self.pending.uids() == {f"uid-{name}" for name in order}
        for user, line in self.lines.items():
            assert [name for name in order if name.partition("-")[0] == user] == line


TestPendingMachine = PendingMachine.TestCase
TestPendingMachine.settings = settings(max_examples=15, stateful_step_count=20)
