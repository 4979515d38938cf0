"""A restart on request: with the grace period, once, and under the gate."""

from typing import Any

from controller.api import reasons
from controller.api.annotations import RESTARTED_AT
from controller.api.instance import ContainerStatus
from controller.cluster.client import INSTANCES
from controller.reconcile import gate
from controller.reconcile.relaunch import relaunch
from controller.reconcile.requests import request
from controller.reconcile.result import DONE, Waiting
from controller.reconcile.work import Work
from controller.runtime import labels
from tests.unit.reconcile.world import UID, World, template

KILL, REMOVE = f"POST containers/chal-{UID}-web/kill", f"DELETE containers/chal-{UID}-web"


def asked(node: World, value: str | None, made_for: str = "") -> Work:
    """An instance with that annotation, whose container was made for that request."""
    node.engine.states = {"web": "running"}
    node.engine.restarted = made_for
    work = node.work({"template": template()})
    body = node.cluster.read(INSTANCES, "web", "team")
    body["metadata"]["annotations"] = {RESTARTED_AT: value} if value is not None else {}
    made = Work.of(node.services, node.cluster.put(INSTANCES, body), work.row)
    made.status.containers = [ContainerStatus(name="web", image="img:1", restart_count=5)]
    node.found(made)
    return made


def mark(node: World, value: str) -> str:
    """What the containers made for that request are marked with."""
    return request(asked(node, value).instance)


async def test_nothing_is_asked_for_without_a_value(node: World) -> None:
    for value, made_for in ((None, ""), ("", ""), (None, "an earlier one")):
        assert await relaunch(asked(node, value, made_for)) == DONE
    assert node.engine.calls == []


async def test_what_was_made_for_the_request_stays(node: World) -> None:
    assert await relaunch(asked(node, "1", mark(node, "1"))) == DONE
    assert node.engine.calls == []


async def test_what_was_made_before_is_asked_to_end_and_removed(node: World) -> None:
    node.services.attempts.fail(UID, reasons.LAUNCH_FAILED, "no", now=0.0)
    work = asked(node, "2", mark(node, "1"))
    assert await relaunch(work) == DONE
    assert node.engine.calls[:2] == [KILL, REMOVE]
    assert (work.containers, work.status.containers) == ([], [])
    assert node.services.attempts.last(UID) is None
    assert work.status.start_time == work.now, "images are asked for as for a new launch"
    assert node.services.stopping == {}


async def test_it_takes_its_time_and_its_turn(node: World) -> None:
    node.engine.ends_at_once = False
    work = asked(node, "2")
    waiting = await relaunch(work)
    assert isinstance(waiting, Waiting)
    assert (waiting.reason, waiting.after) == (reasons.RESTARTING, 5.0)
    node.clock.seconds += 5.0
    node.services.gate.request("other", gate.Work.LAUNCH)
    waiting = await relaunch(work)
    assert isinstance(waiting, Waiting)
    assert "In the queue" in waiting.message
    assert node.engine.states == {"web": "running"}
    node.services.gate.release("other")
    assert await relaunch(work) == DONE
    assert node.engine.states == {}


async def test_any_text_is_a_value(node: World) -> None:
    long: Any = "x" * 200_000 + "\n☺"
    marked = mark(node, long)
    assert len(marked) < 64
    assert marked != mark(node, "x")
    work = asked(node, long)
    assert work.owner.labels("web")[labels.RESTARTED] == marked
    assert labels.RESTARTED not in work.owner.labels(), "the network stays as it is"
