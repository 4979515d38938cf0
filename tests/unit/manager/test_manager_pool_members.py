"""What a pool's members are known as: the watch may be behind the manager's own writes."""

from typing import Any

from controller.api.instance import ChallengeInstance
from controller.api.pool import ChallengePool
from controller.manager import pool_instance
from controller.manager.pool_members import Members
from tests.unit.manager.objects import condition, pool_body

POOL = "team/uid-web"


def instance(name: str = "web-x-0-0123abcd", **rest: Any) -> ChallengeInstance:
    body = pool_instance.body(ChallengePool.model_validate(pool_body()), "1", name)
    body["metadata"] |= {"namespace": "team", "uid": f"uid-{name}"} | rest.pop("meta", {})
    return ChallengeInstance.model_validate(body | {"status": rest})


def test_what_changes_nothing_for_the_pool_is_no_news() -> None:
    members = Members()
    assert members.observe(instance(meta={"resourceVersion": "1"})) == {POOL}
    assert members.observe(instance(meta={"resourceVersion": "2"}, address="a")) == set()
    assert [member.version for member in members.of(POOL)] == ["2"]
    assert members.observe(instance(conditions=[condition("Ready", "True")])) == {POOL}


def test_one_whose_end_was_asked_for_does_not_come_back_by_old_news() -> None:
    members = Members()
    members.observe(instance())
    (member,) = members.of(POOL)
    members.end(member)
    members.observe(instance(conditions=[condition("Ready", "True")]))
    assert [member.deleting for member in members.of(POOL)] == [True]
    assert members.forget(member.uid) == {POOL}
    assert (members.of(POOL), members.uids()) == ([], set())
    members.end(member)
    members.observe(instance())
    assert [member.deleting for member in members.of(POOL)] == [False]


def test_one_that_its_pool_has_lost_is_its_member_no_more() -> None:
    members = Members()
    members.observe(instance())
    assert members.observe(instance(meta={"ownerReferences": []})) == {POOL}
    assert list(members.pools()) == []


def test_an_owner_counts_in_its_own_namespace_only() -> None:
    members = Members()
    assert members.observe(instance(meta={"namespace": "elsewhere"})) == {"elsewhere/uid-web"}
    assert members.of(POOL) == []


def test_why_one_is_not_ready() -> None:
    members = Members()
    for number, shown in enumerate(
        (
            [],
            [condition("Ready", "False", "CrashLoop"), condition("Stalled", "True")],
            [condition("Suspended", "True")],
            [condition("Ready", "True")],
        )
    ):
        members.observe(instance(f"i-{number}", conditions=shown))
    assert [(m.ready, m.reason, m.stalled) for m in members.of(POOL)] == [
        (False, "WaitingForNode", False),
        (False, "CrashLoop", True),
        (False, "Suspended", False),
        (True, "", False),
    ]


def test_what_is_older_than_what_is_known_takes_nothing_back() -> None:
    members = Members()
    ready = [condition("Ready", "True")]
    members.observe(instance(meta={"resourceVersion": "10"}, nodeName="n0", conditions=ready))
    assert members.observe(instance(meta={"resourceVersion": "9"})) == set()
    assert [(member.ready, member.node) for member in members.of(POOL)] == [(True, "n0")]
