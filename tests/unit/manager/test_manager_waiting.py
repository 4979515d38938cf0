"""Who waits is told after a while, and looked at again only for a reason."""

from typing import Any

from controller.manager.seen import Seen
from controller.manager.waiting import PATIENCE, QUEUE_PATIENCE, REFUSED, RETELL, Waiting
from tests.unit.manager.objects import instance_body

DELETED = "2026-01-31T12:00:00Z"


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_is_due_after_its_patience_and_then_now_and_again() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    waiting.of("a")
    assert (list(waiting.due()), waiting.next_due()) == ([], PATIENCE)
    clock.now = PATIENCE
    waiting.of("a")
    assert (list(waiting.due()), list(waiting.due())) == (["a"], [])
    waiting.told("a")
    assert (waiting.is_patient("a"), waiting.next_due()) == (True, QUEUE_PATIENCE - PATIENCE)
    clock.now = QUEUE_PATIENCE
    assert (waiting.is_patient("a"), list(waiting.due())) == (False, ["a"])
    waiting.told("a")
    assert waiting.next_due() == RETELL
    clock.now += RETELL
    assert list(waiting.due()) == ["a"]


def test_who_waits_no_more_is_not_due() -> None:
    clock = Clock()
    waiting = Waiting(clock)
    waiting.of("a")
    waiting.forget("a")
    assert waiting.next_due() is None
    clock.now = 100.0
    waiting.told("a")
    assert (list(waiting.due()), len(waiting)) == ([], 0)


def test_a_try_is_vain_until_something_changes_or_another_object_comes() -> None:
    waiting = Waiting(Clock())
    body, other = instance_body("a"), instance_body("a")
    assert not waiting.is_vain(body, 0)
    waiting.of("uid-a").epoch = 0
    assert waiting.is_vain(body, 0)
    assert not waiting.is_vain(body, 1)
    waiting.refuse(body)
    assert waiting.is_vain(body, 1)
    assert not waiting.is_vain(other, 1)
    waiting.forgive()
    assert not waiting.is_vain(body, 1)


def test_what_was_refused_is_tried_again_more_and_more_rarely() -> None:
    clock, body, waits = Clock(), instance_body("a"), []
    waiting = Waiting(clock)
    for _ in range(len(REFUSED) + 2):
        waiting.refuse(body)
        begun = clock.now
        while waiting.is_vain(body, 1):
            list(map(waiting.told, waiting.due()))
            after = waiting.next_due()
            assert after, "nobody is waited for no time"
            clock.now += after
            waiting.retry()
        waits.append(clock.now - begun)
    assert waits == [*REFUSED, REFUSED[-1], REFUSED[-1]]


def test_only_what_is_newer_is_news_but_for_what_is_being_deleted() -> None:
    seen = Seen()

    def is_news(version: str, **meta: Any) -> bool:
        return seen.is_news(instance_body("a", resourceVersion=version, **meta))

    assert [is_news("5"), is_news("5"), is_news("4"), is_news("10")] == [True, False, False, True]
    assert [is_news("10", deletionTimestamp=DELETED), is_news("10", deletionTimestamp=DELETED)] == [
        True,
        True,
    ]
    assert not is_news("9", deletionTimestamp=DELETED)
    seen.forget("uid-a")
    assert is_news("5")
