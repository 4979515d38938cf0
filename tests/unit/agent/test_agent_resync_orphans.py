"""What a comparison remembers of orphans that are being taken away while it looks again."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

from controller.agent.resync import _note
from controller.reconcile.comparison import Orphan, Plan
from controller.reconcile.queue import Key

KEY = Key("u1", "nowhere", "nobody")
ALL = {"container": 1, "row": 1, "port": 2}


def noted(busy: bool, plan: Plan) -> dict[str, Orphan]:
    """The orphans that are known after the plan, when all of one was found before it."""
    findings = SimpleNamespace(
        orphans={KEY.uid: Orphan(KEY, Counter(ALL))}, crashed={}, unbooked=set()
    )
    services: Any = SimpleNamespace(findings=findings)
    _note(services, plan, lambda _uid: busy)
    found: dict[str, Orphan] = findings.orphans
    return found


def test_what_is_gone_already_of_one_that_is_being_removed_is_still_told_at_its_end() -> None:
    half = Plan(orphans={KEY.uid: Orphan(KEY, Counter(row=1, port=2))})
    assert noted(True, half)[KEY.uid].kinds == Counter(ALL)
    assert noted(True, Plan())[KEY.uid].kinds == Counter(ALL)


def test_who_is_no_orphan_any_more_is_forgotten() -> None:
    assert noted(False, Plan()) == {}
