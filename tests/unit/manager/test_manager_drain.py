"""Draining a node of players' instances: only to where there is room, and a few at a time."""

import asyncio
from typing import Any

import pytest

from controller.api.instance import ChallengeInstance
from controller.cluster.client import EVENTS, INSTANCES
from controller.cluster.errors import ApiUnavailable
from controller.cluster.events import Recorder
from controller.manager.drain import PATIENCE, Drain
from controller.manager.nodes import Nodes
from controller.manager.placement import Assigned, Assignments, is_launched
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import condition, instance_body, node_body, template
from tests.unit.reconcile.virtual_time import virtual

LAUNCH = 3.0
"""Seconds that a launch takes here."""


class Draining:
    """Nodes with a gate of 2, a scheduler that places at once, and a watch."""

    def __init__(self, *nodes: str, **rest: Any) -> None:
        self.cluster = FakeCluster()
        self.recorder = Recorder(self.cluster, "test")
        self.nodes, self.assigned = Nodes(lambda: None, 2), Assignments()
        self.drain = Drain(self.cluster, self.recorder, self.nodes, self.assigned)
        self.down = self.most_down = 0
        for name in nodes:
            self.node(name, **rest)
        self.task = asyncio.create_task(self.drain.run())
        self.launches: set[asyncio.Task[None]] = set()

    def node(self, name: str, **rest: Any) -> None:
        """A node that is alive, as it is now."""
        self.nodes.observe(node_body(name, **rest), deleted=False)
        self.nodes.by_name[name].alive = True
        self.drain.nodes_changed()

    def put(self, name: str, node: str = "old", **rest: Any) -> None:
        """An instance that is up on a node."""
        status = {
            "nodeName": node,
            "template": template(),
            "conditions": [condition("Launched", "True"), condition("Ready", "True")],
        }
        status |= rest.pop("status", {})
        self.cluster.put(INSTANCES, instance_body(name, status=status, **rest))
        self.watch(name)

    def watch(self, name: str) -> None:
        """Have the manager see an instance as it is now."""
        body = self.cluster.read(INSTANCES, name, "team")
        seen = ChallengeInstance.model_validate(body)
        uid, node = seen.metadata.uid, seen.status.node_name
        if node is None:
            self.assigned.drop(uid)
            self.launches.add(asyncio.create_task(self.launch(name)))
        else:
            self.assigned.put(uid, Assigned(node, 1, is_launched(seen)))
        self.drain.instance_changed(uid, node)

    async def launch(self, name: str) -> None:
        """What scheduler and agent do with one that has no node."""
        self.down += 1
        self.most_down = max(self.most_down, self.down)
        await asyncio.sleep(0.1)
        body = self.cluster.read(INSTANCES, name, "team")
        body["status"] |= {
            "nodeName": "new",
            "conditions": [condition("Ready", "False", "WaitingForNode")],
        }
        self.cluster.put(INSTANCES, body)
        self.watch(name)
        await asyncio.sleep(LAUNCH)
        body["status"]["conditions"] = [condition("Launched", "True"), condition("Ready", "True")]
        self.cluster.put(INSTANCES, body)
        self.down -= 1
        self.watch(name)

    async def go(self, seconds: float = 60.0) -> None:
        """Let the drain go on, with the watch behind by a moment."""
        seen: dict[str, str] = {}
        for _ in range(int(seconds * 10)):
            await asyncio.sleep(0.1)
            for path, body in list(self.cluster.objects.items()):
                version = body["metadata"]["resourceVersion"]
                if "nodeName" not in body.get("status", {"nodeName": ""}):
                    if seen.get(path) != version:
                        self.watch(body["metadata"]["name"])
                    seen[path] = version

    def on(self, node: str) -> list[str]:
        found = [b for p, b in self.cluster.objects.items() if INSTANCES.plural in p]
        names = [b["metadata"]["name"] for b in found if b["status"].get("nodeName") == node]
        return sorted(names)


@virtual
async def test_all_move_and_few_are_down_at_a_time() -> None:
    served = Draining("old", "new")
    for number in range(10):
        served.put(f"i-{number}")
    served.node("old", unschedulable=True, drain="All")
    await served.go()
    assert (served.on("old"), len(served.on("new"))) == ([], 10)
    assert served.most_down == 2
    await served.recorder.flush()
    assert served.cluster.count("POST", EVENTS.plural) == 10


@pytest.mark.parametrize(
    "spec", [{}, {"unschedulable": True}, {"unschedulable": True, "drain": "Managed"}]
)
@virtual
async def test_without_all_players_instances_stay(spec: dict[str, Any]) -> None:
    served = Draining("old", "new")
    served.put("a")
    served.node("old", **spec)
    await served.go()
    assert served.on("old") == ["a"]
    assert served.cluster.requests == []


@virtual
async def test_what_is_at_rest_going_or_a_pools_stays() -> None:
    served = Draining("old", "new")
    served.put("retained", status={"conditions": [condition("Expired", "True")]})
    served.put("deleting", deletionTimestamp="2026-01-31T12:00:00Z")
    owner = {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengePool",
        "name": "p",
        "uid": "uid-p",
        "controller": True,
    }
    served.put("pools", status={"poolUID": "uid-p"}, ownerReferences=[owner])
    served.put("says-so", ownerReferences=[owner])
    served.node("old", unschedulable=True, drain="All")
    await served.go()
    assert served.on("old") == ["deleting", "pools", "retained"]


@virtual
async def test_with_no_room_elsewhere_they_stay_up_and_move_when_there_is() -> None:
    served = Draining("old")
    served.node("new", instances=1)
    for name in ("a", "b", "c"):
        served.put(name)
    served.put("pinned", spec={"nodeName": "old"})
    served.node("old", unschedulable=True, drain="All")
    await served.go()
    assert (served.on("old"), served.on("new")) == (["b", "c", "pinned"], ["a"])
    served.node("new", instances=100)
    await served.go(PATIENCE + 20)
    assert served.on("old") == ["pinned"]


@virtual
async def test_a_drain_that_is_called_off_ends_where_it_is() -> None:
    served = Draining("old", "new")
    for number in range(10):
        served.put(f"i-{number}")
    served.node("old", unschedulable=True, drain="All")
    await served.go(5)
    served.node("old")
    await served.go()
    assert 0 < len(served.on("old")) < 10


@virtual
async def test_another_manager_goes_on_where_one_ended() -> None:
    served = Draining("old", "new")
    for number in range(6):
        served.put(f"i-{number}")
    served.node("old", unschedulable=True, drain="All")
    await served.go(4)
    served.task.cancel()
    assert 0 < len(served.on("old")) < 6
    served.drain = Drain(served.cluster, served.recorder, served.nodes, served.assigned)
    served.task = asyncio.create_task(served.drain.run())
    served.drain.nodes_changed()
    await served.go()
    assert (served.on("old"), served.most_down) == ([], 2)


@virtual
async def test_a_node_that_does_not_report_is_left_to_who_judges_its_loss() -> None:
    served = Draining("old", "new")
    served.put("a")
    served.node("old", unschedulable=True, drain="All")
    served.nodes.by_name["old"].alive = False
    await served.go()
    assert served.on("old") == ["a"]


@virtual
async def test_one_that_has_changed_is_read_again() -> None:
    served = Draining("old", "new")
    served.put("a")

    async def changed(method: str, _path: str) -> None:
        if method == "PUT":
            served.cluster.before = None
            served.cluster.put(INSTANCES, served.cluster.read(INSTANCES, "a", "team"))

    served.cluster.before = changed
    served.node("old", unschedulable=True, drain="All")
    await served.go()
    assert served.on("old") == []


@virtual
async def test_an_api_server_that_is_away_does_not_end_it() -> None:
    served = Draining("old", "new")
    served.put("a")

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    served.cluster.before = away
    served.node("old", unschedulable=True, drain="All")
    await served.go()
    served.cluster.before = None
    await served.go(PATIENCE + 20)
    assert served.on("old") == []
