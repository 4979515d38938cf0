"""The scheduler: one write gives an instance its node, over what was read, and fairly."""

import asyncio

import pytest

from controller.api import reasons
from controller.api.instance import ChallengeInstance
from controller.cluster.client import CHALLENGES, EVENTS, INSTANCES
from controller.cluster.errors import (
    ApiError,
    ApiUnavailable,
    Conflict,
    Forbidden,
    Unauthorized,
)
from controller.manager.placement import BACKLOG, Assigned
from controller.manager.waiting import PATIENCE, QUEUE_PATIENCE, RETELL
from tests.unit.manager.objects import instance_body, template
from tests.unit.manager.placing import Placing
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_an_instance_gets_its_node_and_its_template_in_one_write() -> None:
    placing = Placing("n1")
    placing.put("a", spec={"template": template(2)})
    await placing.round()
    assert placing.node_of("a") == "n1"
    assert len(placing.status("a")["template"]["containers"][0]["ports"]) == 2
    assert placing.cluster.count("PUT") == 1
    assert (len(placing.pending), placing.count("n1")) == (0, 1)
    assert placing.assigned.load("n1").ports == 2
    await placing.recorder.flush()
    assert placing.cluster.count("POST", EVENTS.plural) == 0, "the condition Scheduled says it"
    assert placing.reason("a") == reasons.WAITING_FOR_LAUNCH_SLOT
    placing.task.cancel()


@virtual
async def test_the_challenge_is_resolved_as_it_is_now() -> None:
    placing = Placing("n1")
    placing.challenge("web", ports=3, ttl={"maximum": "2h"}, maxLifetime="8h")
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    await placing.round()
    status = placing.status("a")
    assert len(status["template"]["containers"][0]["ports"]) == 3
    assert status["policy"]["ttl"]["maximum"] == "2h"
    assert status["policy"]["maxLifetime"] == "8h"
    placing.task.cancel()


@virtual
async def test_a_missing_challenge_is_told_once_and_found_when_it_appears() -> None:
    placing = Placing("n1")
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    for _ in range(5):
        await placing.round()
    assert placing.reason("a") == reasons.CHALLENGE_NOT_FOUND
    assert placing.cluster.count("PUT") == 1
    await placing.recorder.flush()
    assert placing.cluster.count("POST", EVENTS.plural) == 1
    placing.challenge("web")
    await placing.round()
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@virtual
async def test_a_node_gets_no_more_than_its_backlog_and_more_when_it_has_launched_some() -> None:
    placing = Placing("n1")
    for number in range(2 * BACKLOG + 5):
        placing.put(f"i-{number:02}")
    await placing.round()
    assert (placing.count("n1"), len(placing.pending)) == (2 * BACKLOG, 5)
    placing.assigned.put("uid-i-00", Assigned("n1", 1, launched=True))
    await placing.round()
    assert (placing.count("n1"), len(placing.pending)) == (2 * BACKLOG + 1, 4)
    placing.task.cancel()


@virtual
async def test_one_who_asks_for_many_does_not_starve_the_others() -> None:
    placing = Placing("n1")
    for number in range(30):
        placing.put(f"greedy-{number}", user="greedy")
    for number in range(4):
        placing.put(f"modest-{number}", user="modest")
    await placing.round()
    assert all(placing.node_of(f"modest-{number}") == "n1" for number in range(4))
    assert placing.count("n1") == 2 * BACKLOG
    placing.task.cancel()


@virtual
async def test_instances_are_spread_over_the_nodes() -> None:
    placing = Placing("n1", "n2")
    for number in range(12):
        placing.put(f"i-{number}")
    await placing.round()
    assert (placing.count("n1"), placing.count("n2")) == (6, 6)
    placing.task.cancel()


@virtual
async def test_a_short_wait_for_a_launch_slot_is_not_told_and_a_long_one_is() -> None:
    placing = Placing("n1")
    for number in range(2 * BACKLOG):
        placing.assigned.put(f"other-{number}", Assigned("n1", 1, launched=False))
    placing.put("a")
    await placing.round(pause=QUEUE_PATIENCE - 0.1)
    assert placing.cluster.count("PUT") == 0
    await asyncio.sleep(0.2)
    assert placing.reason("a") == reasons.WAITING_FOR_NODE
    assert "launching as much as they can" in placing.status("a")["conditions"][0]["message"]
    placing.task.cancel()


@virtual
async def test_a_message_that_changes_all_the_time_is_not_written_all_the_time() -> None:
    """A thousand who wait, with a number of nodes in their message, are a thousand writes each."""
    placing = Placing("n1", ports=0)
    placing.put("a")
    await placing.round(pause=PATIENCE + 0.1)
    for number in range(10):
        placing.node(f"more-{number}", ports=0)
        await placing.round()
    assert placing.reason("a") == reasons.PORTS_EXHAUSTED
    assert placing.cluster.count("PUT") == 1
    await asyncio.sleep(20)
    assert placing.cluster.count("PUT") == 2
    assert "11 out of ports" in placing.status("a")["conditions"][0]["message"]
    placing.task.cancel()


@virtual
async def test_an_object_that_changed_meanwhile_is_not_written_over_and_takes_no_place() -> None:
    placing = Placing("n1")
    placing.put("a")
    placing.cluster.put(INSTANCES, placing.cluster.read(INSTANCES, "a", "team"))
    await placing.round()
    assert (placing.node_of("a"), placing.count("n1")) == (None, 0)
    placing.bring_now("a")
    await placing.round()
    assert (placing.node_of("a"), placing.count("n1")) == ("n1", 1)
    placing.task.cancel()


@virtual
async def test_an_api_server_that_is_away_leaves_no_phantom_on_the_node() -> None:
    """As many as a backlog once kept each other off the node after an outage."""
    placing = Placing("n1")
    for number in range(2 * BACKLOG):
        placing.put(f"i-{number}")

    async def away(method: str, _path: str) -> None:
        if method == "PUT":
            raise ApiUnavailable("away")

    placing.cluster.before = away
    await placing.round(pause=3.0)
    placing.cluster.before = None
    await asyncio.sleep(5)
    assert (placing.count("n1"), len(placing.pending)) == (2 * BACKLOG, 0)
    placing.task.cancel()


@virtual
async def test_a_write_that_was_carried_out_though_its_answer_was_lost_still_counts() -> None:
    placing = Placing("n1")
    placing.put("a")

    async def cut(method: str, _path: str) -> None:
        if method == "PUT":
            placing.bring_now("a")  # faster than the answer
            raise ApiUnavailable("cut")

    placing.cluster.after = cut
    await placing.round()
    assert placing.node_of("a") == "n1"
    assert placing.count("n1") == 1
    placing.task.cancel()


@virtual
async def test_one_deleted_while_its_status_is_written_does_not_come_back() -> None:
    """A ghost in the queue would be tried for ever."""
    placing = Placing()
    placing.put("a")

    async def deleted(method: str, _path: str) -> None:
        if method == "PUT":
            placing.scheduler.gone("uid-a")

    placing.cluster.after = deleted
    await placing.round(pause=PATIENCE + 0.1)
    assert placing.reason("a") == reasons.UNSCHEDULABLE
    assert len(placing.pending) == 0
    placing.task.cancel()


@virtual
async def test_what_the_watch_brought_during_a_write_is_not_replaced_by_the_writes_answer() -> None:
    placing = Placing()
    placing.put("a")
    newer = instance_body("a", generation=9, resourceVersion="99")

    async def changed(method: str, _path: str) -> None:
        if method == "PUT":
            placing.bring(newer)

    placing.cluster.after = changed
    await placing.round(pause=PATIENCE + 0.1)
    assert next(placing.pending.in_turn()) is newer
    placing.task.cancel()


@virtual
async def test_nothing_is_kept_of_instances_that_are_gone() -> None:
    placing = Placing()
    for number in range(20):
        placing.put(f"i-{number}")
    await placing.round(pause=PATIENCE + 0.1)
    assert placing.cluster.count("PUT") == 20
    for number in range(20):
        placing.scheduler.gone(f"uid-i-{number}")
    await placing.round(pause=30)
    assert (len(placing.scheduler._waiting), placing.scheduler.known()) == (0, set())
    placing.task.cancel()


@virtual
async def test_a_token_that_has_ended_holds_placement_up_no_longer_than_that() -> None:
    placing = Placing("n1")
    placing.put("a")

    async def unknown(method: str, _path: str) -> None:
        if method == "PUT":
            raise Unauthorized(401, "Unauthorized", "Unauthorized", {})

    placing.cluster.before = unknown
    await placing.round(pause=3.0)
    assert placing.node_of("a") is None
    assert placing.count("n1") == 0, "nothing was written for sure"
    assert placing.cluster.count("PUT") <= 4
    placing.cluster.before = None
    await asyncio.sleep(2)
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@virtual
async def test_a_refused_write_does_not_end_placement() -> None:
    placing = Placing("n1")
    placing.put("bad")
    placing.put("good")

    async def refused(method: str, path: str) -> None:
        if method == "PUT" and "/bad/" in path:
            raise Conflict(409, "Conflict", "changed", {})

    placing.cluster.before = refused
    await placing.round()
    assert placing.node_of("good") == "n1"
    assert placing.count("n1") == 1
    placing.task.cancel()


@pytest.mark.parametrize(
    "refusal",
    [Conflict(409, "Conflict", "why", {}), Forbidden(403, "Forbidden", "why", {})],
    ids=["conflict", "forbidden"],
)
def test_a_refusal_without_a_change_is_no_reason_to_wait_for_one(refusal: ApiError) -> None:
    @virtual
    async def check() -> None:
        placing = Placing("n1")
        placing.put("a")

        async def refused(method: str, _path: str) -> None:
            if method == "PUT":
                raise refusal

        placing.cluster.before = refused
        await placing.round(pause=5.0)
        assert placing.count("n1") == 0
        assert 2 <= placing.cluster.count("PUT") <= 5
        placing.cluster.before = None
        await asyncio.sleep(5.0)
        assert placing.node_of("a") == "n1"
        placing.task.cancel()

    check()


@virtual
async def test_challenges_are_not_read_for_each_instance() -> None:
    placing = Placing("n1", "n2")
    placing.challenge("web")
    for number in range(20):
        placing.put(f"i-{number}", spec={"challengeRef": {"name": "web"}})
    await placing.round()
    assert (placing.count("n1"), placing.count("n2")) == (10, 10)
    assert placing.cluster.count("GET", "/challenges/") == 0
    placing.task.cancel()


@virtual
async def test_a_challenge_that_the_watch_has_not_brought_yet_is_asked_for() -> None:
    placing = Placing("n1")
    await placing.settled()
    meta = {"name": "web", "namespace": "team"}
    placing.cluster.put(CHALLENGES, {"metadata": meta, "spec": {"template": template()}})
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    await placing.settled()
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@virtual
async def test_many_that_name_a_challenge_that_is_not_there_ask_for_it_once() -> None:
    placing = Placing("n1")
    for number in range(30):
        placing.put(f"i-{number}", spec={"challengeRef": {"name": "web"}})
    for _ in range(5):
        await placing.round()
    assert placing.cluster.count("GET", "/challenges/web") <= 8  # as many as are tried at a time
    assert placing.cluster.count("PUT") == 30
    placing.task.cancel()


@virtual
async def test_an_edit_of_its_challenge_is_what_the_next_instance_gets() -> None:
    placing = Placing("n1")
    placing.challenge("web", ports=1)
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    await placing.settled()
    placing.challenge("web", ports=2)
    placing.put("b", spec={"challengeRef": {"name": "web"}})
    await placing.settled()
    sizes = [len(placing.status(n)["template"]["containers"][0]["ports"]) for n in "ab"]
    assert sizes == [1, 2]
    placing.task.cancel()


@virtual
async def test_one_that_moves_keeps_its_template_and_policy_and_comes_first_in_its_line() -> None:
    """Its Challenge may have changed, or be gone."""
    placing = Placing("n1")
    for number in range(2 * BACKLOG):
        placing.assigned.put(f"other-{number}", Assigned("n1", 1, launched=False))
    placing.put("waits", user="ann")
    status = {"template": template(2), "policy": {"ttl": {"maximum": "2h"}}}
    spec = {"challengeRef": {"name": "gone"}}
    placing.put("moves", user="ann", spec=spec, status=status)
    await placing.settled()
    placing.assigned.put("other-0", Assigned("n1", 1, launched=True))
    await placing.round()
    assert placing.placed("waits", "moves") == ["moves"]
    assert len(placing.status("moves")["template"]["containers"][0]["ports"]) == 2
    assert placing.status("moves")["policy"]["ttl"]["maximum"] == "2h"
    placing.task.cancel()


@virtual
async def test_one_that_moves_without_a_policy_needs_no_challenge_either() -> None:
    """Its status is anybody's writing; looking for the policy once ended all placement."""
    placing = Placing("n1")
    spec = {"challengeRef": {"name": "gone"}}
    placing.put("moves", spec=spec, status={"template": template()})
    placing.put("other")
    await placing.settled()
    assert placing.placed("moves", "other") == ["moves", "other"]
    placing.task.cancel()


@virtual
async def test_the_watch_being_behind_gives_no_port_away_twice() -> None:
    """It brings that an instance waits after we have written that it no longer does."""
    placing = Placing("n1", ports=0)
    placing.put("a")
    await placing.settled(pause=PATIENCE + 0.1)
    told = placing.cluster.read(INSTANCES, "a", "team")
    assert placing.reason("a") == reasons.PORTS_EXHAUSTED
    placing.node("n1", ports=1)
    await placing.round()
    placing.bring(told)
    placing.put("b")
    await placing.round()
    assert placing.placed("a", "b") == ["a"]
    assert (placing.count("n1"), "uid-a" in placing.pending) == (1, False)
    placing.task.cancel()


@virtual
async def test_a_write_nobody_answered_keeps_its_port_until_it_is_known() -> None:
    placing = Placing("n1", ports=1)
    placing.put("a")

    async def cut(method: str, path: str) -> None:
        if method == "PUT" and "/a/" in path:
            raise ApiUnavailable("cut")

    placing.cluster.after = cut
    await placing.settled()
    placing.cluster.after = None
    placing.put("b")
    await placing.round(pause=5)
    assert placing.placed("a", "b") == ["a"]
    placing.bring_now("a")
    await placing.settled()
    assert (placing.count("n1"), len(placing.pending)) == (1, 1)
    placing.task.cancel()


@virtual
async def test_a_write_over_what_has_changed_is_not_tried_again_before_the_watch_brings_it() -> (
    None
):
    placing = Placing("n1")
    placing.put("a")
    placing.cluster.put(INSTANCES, placing.cluster.read(INSTANCES, "a", "team"))
    for _ in range(5):
        await placing.round()
    assert placing.cluster.count("PUT") == 1
    placing.bring_now("a")
    await placing.settled()
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@virtual
async def test_what_could_not_be_placed_is_looked_at_again_only_after_a_change() -> None:
    placing = Placing("n1", ports=0)
    placing.put("a")
    await placing.settled(pause=PATIENCE + 3 * RETELL)
    looked = placing.cluster.count("PUT")
    assert (looked, placing.reason("a")) == (1, reasons.PORTS_EXHAUSTED)
    placing.node("n2")
    await placing.settled(pause=10 * RETELL)
    assert placing.node_of("a") is None  # nobody has said that something changed
    placing.scheduler.kick()
    await placing.settled()
    assert placing.node_of("a") == "n2"
    placing.task.cancel()


@virtual
async def test_an_instance_is_told_why_it_waits_while_others_are_placed() -> None:
    placing = Placing("n1", launches=64)
    placing.put("pinned", spec={"nodeName": "nowhere"})
    await placing.settled(pause=PATIENCE - 0.1)

    async def slow(method: str, _path: str) -> None:
        if method == "PUT":
            await asyncio.sleep(1.0)

    placing.cluster.before = slow
    for number in range(90):
        placing.put(f"i-{number}")
    await asyncio.sleep(6.0)
    assert placing.pending.uids() > {"uid-pinned"}
    assert placing.said("pinned", "Scheduled")["message"] == (
        "0/1 nodes are available: 1 not the one in nodeName"
    )
    placing.task.cancel()


@virtual
async def test_telling_does_not_go_before_anothers_turn() -> None:
    """Who is due to be told may fit by now; the next in turn has waited for that as well."""
    placing = Placing("n1")
    for number in range(2 * BACKLOG):
        placing.assigned.put(f"other-{number}", Assigned("n1", 1, launched=False))
    for number in range(3):
        placing.put(f"greedy-{number}", user="greedy")
    placing.put("modest", user="modest")
    await placing.settled()
    placing.assigned.put("other-0", Assigned("n1", 1, launched=True))
    placing.assigned.put("other-1", Assigned("n1", 1, launched=True))
    await asyncio.sleep(PATIENCE + 0.1)
    assert placing.placed("greedy-0", "greedy-1", "greedy-2", "modest") == []
    await placing.round()
    assert placing.placed("greedy-0", "greedy-1", "greedy-2", "modest") == ["greedy-0", "modest"]
    placing.task.cancel()


@virtual
async def test_the_manager_says_whose_pools_an_instance_is_when_it_is_placed() -> None:
    placing = Placing("n1")

    async def pool_of(instance: ChallengeInstance) -> str | None:
        return "uid-p" if instance.metadata.name == "pools" else None

    placing.scheduler._placer._pool_of = pool_of
    placing.put("pools")
    placing.put("forged", status={"poolUID": "uid-p"})
    await placing.round()
    assert placing.status("pools")["poolUID"] == "uid-p"
    assert "poolUID" not in placing.status("forged")
    placing.task.cancel()


@virtual
async def test_500_at_once_are_spread_evenly() -> None:
    names = [f"n{number}" for number in range(7)]
    placing = Placing(*names, ports=500, launches=64)
    for number in range(500):
        placing.put(f"i-{number}", user=f"user-{number % 40}")
    await placing.settled(pause=1.0)
    counts = [placing.count(name) for name in names]
    assert sum(counts) == 500
    assert max(counts) - min(counts) <= 1
    placing.task.cancel()


@virtual
async def test_ten_who_ask_for_one_each_are_up_among_the_first_thirty() -> None:
    """A user had 200 before them. The node launches in the order in which it was given them."""
    placing = Placing("n1", ports=500)
    for number in range(200):
        placing.put(f"greedy-{number}", user="greedy")
    await placing.settled()
    modest = [f"modest-{number}" for number in range(10)]
    for name in modest:
        placing.put(name, user=name)
    up: list[str] = []
    while len(up) < 30:
        queue = [uid for uid, one in placing.assigned.by_uid.items() if not one.launched]
        assert len(queue) == 2 * BACKLOG
        name = queue[0].removeprefix("uid-")
        up.append(name)
        placing.launch(name)
        await placing.settled()
    assert set(modest) < set(up)
    placing.task.cancel()


@virtual
async def test_who_comes_during_a_long_round_does_not_wait_for_its_end() -> None:
    placing = Placing("n1", ports=500, launches=64)

    async def slow(method: str, _path: str) -> None:
        if method == "PUT":
            await asyncio.sleep(1.0)

    placing.cluster.before = slow
    for number in range(200):
        placing.put(f"greedy-{number}", user="greedy")
    await asyncio.sleep(2.5)
    placing.put("modest", user="modest")
    await asyncio.sleep(3.0)
    assert placing.node_of("modest") == "n1"
    assert len(placing.pending) > 100
    placing.task.cancel()
