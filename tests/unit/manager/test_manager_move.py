"""Moving an instance: one write takes it off its node, and nothing of the old place is left."""

import asyncio
from typing import Any

from controller.api import reasons
from controller.cluster.client import EVENTS, INSTANCES, Object
from controller.cluster.events import Recorder
from controller.manager.move import move
from controller.manager.nodes import Nodes
from controller.manager.pending import Pending
from controller.manager.placement import Assignments
from controller.manager.scheduler import Scheduler
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import condition, instance_body, node_body, template
from tests.unit.reconcile.virtual_time import settle, virtual

WHY = "Node n1 does not report"


def placed(**rest: Any) -> Object:
    """The status of an instance that runs on n1."""
    status: Object = {
        "observedGeneration": 1,
        "nodeName": "n1",
        "template": template(),
        "policy": {"nodeLossPolicy": "Reschedule", "maxLifetime": "8h"},
        "address": "192.0.2.1",
        "ports": [
            {
                "name": "web-80-tcp",
                "containerName": "web",
                "containerPort": 80,
                "hostPort": 10_000,
                "protocol": "TCP",
                "endpoint": "192.0.2.1:10000",
            }
        ],
        "containers": [{"name": "web", "image": "img:1", "state": "Running", "ready": True}],
        "startTime": "2026-01-31T12:00:00Z",
        "readyTime": "2026-01-31T12:00:05Z",
        "expirationTime": "2026-01-31T13:00:05Z",
        "conditions": [
            condition(kind, "True") for kind in ("Scheduled", "PortsReserved", "Launched", "Ready")
        ],
    }
    return status | rest


class Moving:
    """A cluster with one instance, and an attempt to move it."""

    def __init__(self, status: Object | None = None, **meta: Any) -> None:
        self.cluster = FakeCluster()
        self.recorder = Recorder(self.cluster, "test")
        self.body = self.cluster.put(
            INSTANCES, instance_body("a", status=placed() if status is None else status, **meta)
        )

    async def move(self) -> bool:
        """Move what was read at first."""
        done = await move(self.cluster, self.recorder, self.body, WHY)
        await self.recorder.flush()
        return done

    @property
    def status(self) -> Any:
        """What the instance's user sees."""
        return self.cluster.read(INSTANCES, "a", "team")["status"]

    @property
    def conditions(self) -> dict[str, tuple[str, str]]:
        """Status and reason by type."""
        return {c["type"]: (c["status"], c["reason"]) for c in self.status["conditions"]}


@virtual
async def test_one_write_and_one_event_and_nothing_names_the_old_place() -> None:
    moving = Moving()
    assert await moving.move()
    assert moving.cluster.count("PUT") == 1
    assert moving.cluster.count("POST", EVENTS.plural) == 1
    gone = {"nodeName", "address", "startTime"}
    assert not gone & moving.status.keys()
    assert (moving.status["ports"], moving.status["containers"]) == ([], [])
    assert moving.conditions == {
        "Scheduled": ("False", reasons.RESCHEDULED),
        "Ready": ("False", reasons.RESCHEDULED),
        "Reconciling": ("True", reasons.RESCHEDULED),
    }
    assert moving.status["conditions"][0]["message"] == WHY


@virtual
async def test_template_policy_and_deadline_stay() -> None:
    moving = Moving()
    await moving.move()
    assert moving.status["template"]["containers"][0]["image"] == "img:1"
    assert moving.status["policy"]["maxLifetime"] == "8h"
    assert moving.status["readyTime"] == "2026-01-31T12:00:05Z"
    assert moving.status["expirationTime"] == "2026-01-31T13:00:05Z"


@virtual
async def test_a_deadline_that_a_renewal_has_outdated_is_left_to_the_next_agent() -> None:
    moving = Moving(generation=2)
    await moving.move()
    assert "expirationTime" not in moving.status
    assert moving.status["readyTime"] == "2026-01-31T12:00:05Z"
    assert moving.status["observedGeneration"] == 2


@virtual
async def test_what_has_changed_since_or_is_gone_is_left_alone() -> None:
    changed = Moving()
    changed.cluster.put(INSTANCES, instance_body("a", status=placed(address="192.0.2.9")))
    assert not await changed.move()
    assert changed.status["address"] == "192.0.2.9"
    gone = Moving()
    gone.cluster.objects.clear()
    assert not await gone.move()
    assert changed.cluster.count("POST") + gone.cluster.count("POST") == 0


@virtual
async def test_one_without_a_node_or_that_is_being_deleted_is_not_moved() -> None:
    waiting = Moving(status={})
    assert not await waiting.move()
    deleting = Moving(deletionTimestamp="2026-01-31T12:30:00Z")
    assert not await deleting.move()
    assert waiting.cluster.count("PUT") + deleting.cluster.count("PUT") == 0


@virtual
async def test_one_that_was_suspended_says_so_no_more_and_one_at_rest_stays_at_rest() -> None:
    suspended = Moving(placed(conditions=[condition("Suspended", "True")]))
    await suspended.move()
    assert "Suspended" not in suspended.conditions
    assert suspended.conditions["Ready"] == ("False", reasons.RESCHEDULED)
    expired = Moving(placed(conditions=[condition("Expired", "True")]))
    await expired.move()
    assert expired.conditions.keys() == {"Expired", "Scheduled"}


@virtual
async def test_a_renewal_before_it_is_placed_again_is_left_to_the_next_agent_too() -> None:
    """A placement says that it has seen the renewal; the old deadline would stand for ever."""
    moving = Moving()
    await moving.move()
    nodes, pending = Nodes(lambda: None, 2), Pending()
    nodes.observe(node_body("n2"), deleted=False)
    nodes.by_name["n2"].alive = True
    scheduler = Scheduler(moving.cluster, moving.recorder, nodes, pending, Assignments())
    task = asyncio.create_task(scheduler.run())
    renewed = moving.cluster.read(INSTANCES, "a", "team")
    renewed["metadata"]["generation"] = 2
    pending.put(moving.cluster.put(INSTANCES, renewed))
    scheduler.kick()
    await settle()
    assert (moving.status["nodeName"], moving.status["observedGeneration"]) == ("n2", 2)
    assert "expirationTime" not in moving.status
    task.cancel()
