"""Failed launches are tried again after growing waits, whatever wakes the instance meanwhile."""

from random import Random

from controller.reconcile.attempts import Attempts
from controller.reconcile.queue import Backoff
from controller.reconcile.result import Failed


class Plain(Random):
    """Never deviates."""

    def uniform(self, a: float, b: float) -> float:
        """The middle."""
        return (a + b) / 2


def attempts() -> Attempts:
    return Attempts(Backoff(1.0, 300.0, Plain()))


def test_a_failure_says_when_the_next_attempt_is_due() -> None:
    tried = attempts()
    failed = Failed("LaunchFailed", "no", 1.0, stalled=False)
    assert tried.fail("a", "LaunchFailed", "no", now=100.0) == failed
    assert tried.pending("a", now=100.25) == Failed("LaunchFailed", "no", 0.75, stalled=False)
    assert tried.pending("a", now=101.0) is None


def test_waits_grow_with_each_failure_of_the_same_instance_only() -> None:
    tried = attempts()
    waits = [tried.fail("a", "LaunchFailed", "no", now=0.0).after for _ in range(4)]
    assert waits == [1.0, 2.0, 4.0, 8.0]
    assert tried.fail("b", "LaunchFailed", "no", now=0.0).after == 1.0


def test_who_fails_three_times_in_a_row_is_stalled_and_tried_again_all_the_same() -> None:
    tried = attempts()

    def fail() -> bool:
        failed = tried.fail("a", "ImagePullFailed", "no", now=0.0)
        shown = (tried.pending("a", now=0.5), tried.last("a"))
        assert [each and each.stalled for each in shown] == [failed.stalled] * 2
        assert failed.after is not None
        return failed.stalled

    assert [fail() for _ in range(4)] == [False, False, True, True]
    assert not tried.fail("b", "ImagePullFailed", "no", now=0.0).stalled
    tried.succeed("a")
    assert not fail()


def test_a_look_that_is_cut_short_bars_no_attempt_and_counts_until_one_ends() -> None:
    tried = attempts()

    def fault() -> bool:
        failed = tried.fault("a", "LaunchFailed", "no", after=5.0)
        assert (failed.after, tried.pending("a", now=0.0), tried.last("a")) == (5.0, None, None)
        return failed.stalled

    assert [fault() for _ in range(3)] == [False, False, True]
    tried.looked("a")
    assert [fault() for _ in range(2)] == [False, False]
    tried.succeed("a")
    assert not fault()


def test_a_later_time_set_by_something_else_counts() -> None:
    """An image that is pulled again in 30 s is not asked for before."""
    tried = attempts()
    assert tried.fail("a", "ImagePullFailed", "no", now=0.0, at_least=30.0).after == 30.0
    assert tried.pending("a", now=29.0) is not None
    assert tried.fail("a", "ImagePullFailed", "no", now=30.0, at_least=-5.0).after == 2.0


def test_what_went_wrong_is_known_until_a_success() -> None:
    tried = attempts()
    assert tried.last("a") is None
    tried.fail("a", "LaunchFailed", "first", now=0.0)
    tried.fail("a", "LaunchTimeout", "second", now=10.0)
    last = tried.last("a")
    assert last is not None
    assert (last.reason, last.message) == ("LaunchTimeout", "second")
    tried.succeed("a")
    assert tried.last("a") is None
    assert tried.pending("a", now=0.0) is None
    assert tried.fail("a", "LaunchFailed", "no", now=0.0).after == 1.0
    tried.succeed("never failed")
