"""The scheduler: one write gives an instance its node, over what was read, and fairly."""

import asyncio
from typing import Any

from controller.api import reasons
from controller.api.instance import ChallengeInstance
from controller.cluster.client import CHALLENGES, EVENTS, INSTANCES, Object
from controller.cluster.errors import ApiUnavailable, Conflict
from controller.cluster.events import Recorder
from controller.manager.challenges import Challenges
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.placement import BACKLOG, Assigned, Assignments
from controller.manager.quota import Quota
from controller.manager.scheduler import Scheduler
from controller.manager.waiting import PATIENCE
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import instance_body, node_body, template
from tests.unit.reconcile.virtual_time import settle, virtual


class Placing:
    """A manager's placement over a cluster of these nodes, each with a gate of 2."""

    def __init__(self, *nodes: str, ports: int = 100, quota: int = 0) -> None:
        self.cluster = FakeCluster()
        self.challenges, self.quota = Challenges(self.cluster), Quota(quota)
        self.pending, self.assigned = Pending(), Assignments()
        self.recorder = Recorder(self.cluster, "test")
        self.nodes = Nodes(lambda: None, 2)
        for name in nodes:
            self.node(name, ports)
        self.scheduler = Scheduler(
            self.cluster,
            self.recorder,
            self.nodes,
            self.pending,
            self.assigned,
            challenges=self.challenges,
            quota=self.quota,
        )
        self.task = asyncio.create_task(self.scheduler.run())

    def node(self, name: str, ports: int = 100) -> None:
        """A node that is alive."""
        self.nodes.observe(node_body(name, ports=ports), deleted=False)
        self.nodes.by_name[name].alive = True

    def put(self, name: str, **rest: Any) -> None:
        """An instance that waits, as the watch brings it."""
        self.bring(self.cluster.put(INSTANCES, instance_body(name, **rest)))

    def bring(self, body: Object) -> None:
        """The watch brings an instance as it is, or was."""
        instance = ChallengeInstance.model_validate(body)
        if instance.status.node_name is None:
            self.scheduler.waits(instance, body)
        else:
            self.scheduler.has_node(instance, instance.status.node_name)

    def bring_all(self) -> None:
        """The watch brings every instance as it is now."""
        for path, body in list(self.cluster.objects.items()):
            if f"/{INSTANCES.plural}/" in path:
                self.bring(body)

    async def round(self, pause: float = 0.0) -> None:
        """Something has changed; let everything come of it."""
        self.scheduler.kick()
        await settle()
        await asyncio.sleep(pause)

    def node_of(self, name: str) -> str | None:
        """Where an instance was placed."""
        status: dict[str, str] = self.status(name)
        return status.get("nodeName")

    def status(self, name: str) -> Any:
        """What an instance's user sees."""
        return self.cluster.read(INSTANCES, name, "team")["status"]

    def reason(self, name: str) -> str | None:
        """Why an instance is not ready, as its status has it."""
        found = [c for c in self.status(name).get("conditions", []) if c["type"] == "Ready"]
        return found[0]["reason"] if found else None

    def count(self, node: str) -> int:
        """Instances assigned to a node."""
        return self.assigned.load(node).instances


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
    assert placing.cluster.count("POST", EVENTS.plural) == 1
    placing.task.cancel()


@virtual
async def test_the_challenge_is_resolved_as_it_is_now() -> None:
    placing = Placing("n1")
    spec = {"template": template(3), "ttl": {"maximum": "2h"}, "maxLifetime": "8h"}
    placing.cluster.put(
        CHALLENGES, {"metadata": {"name": "web", "namespace": "team"}, "spec": spec}
    )
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
    body = {"metadata": {"name": "web", "namespace": "team"}, "spec": {"template": template()}}
    placing.challenges.observe(placing.cluster.put(CHALLENGES, body), deleted=False)
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
    await placing.round()
    assert placing.cluster.count("PUT") == 0
    await asyncio.sleep(PATIENCE + 0.1)
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
    placing.bring(placing.cluster.read(INSTANCES, "a", "team"))
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
            placing.bring(placing.cluster.read(INSTANCES, "a", "team"))  # faster than the answer
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


@virtual
async def test_the_manager_says_whose_pools_an_instance_is_when_it_is_placed() -> None:
    placing = Placing("n1")

    async def pool_of(instance: ChallengeInstance) -> str | None:
        return "uid-p" if instance.metadata.name == "pools" else None

    placing.scheduler._pool_of = pool_of
    placing.put("pools")
    placing.put("forged", status={"poolUID": "uid-p"})
    await placing.round()
    assert placing.status("pools")["poolUID"] == "uid-p"
    assert "poolUID" not in placing.status("forged")
    placing.task.cancel()
