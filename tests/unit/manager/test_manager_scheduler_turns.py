"""Whose turn it is to be placed, and what those are told who wait for theirs."""

import asyncio

from controller.api import reasons
from controller.manager.placement import BACKLOG, Assigned
from controller.manager.waiting import PATIENCE, QUEUE_PATIENCE, RETELL
from tests.unit.manager.placing import Placing
from tests.unit.reconcile.virtual_time import virtual


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
