"""What a first launch asks of the API server, what it believes without asking, and when it ends."""

from typing import Any

import pytest

from controller.api import reasons
from controller.cluster.client import INSTANCES, Object
from controller.reconcile import gate
from controller.reconcile.gate import Gate
from controller.reconcile.instance import QUEUE_PATIENCE, READ_AGAIN, InstanceReconciler
from controller.reconcile.queue import Key
from controller.reconcile.recent import FRESH, Recent
from controller.runtime import networks
from controller.runtime.images import Pulling
from tests.unit.reconcile.world import UID, World

KEY = Key(UID, "team", "web")
IMAGE = "docker.io/library/img:1"
TEMPLATE = {"containers": [{"name": "web", "image": "img:1"}]}
IN_THE_QUEUE = {
    "type": "Ready",
    "status": "False",
    "reason": reasons.WAITING_FOR_LAUNCH_SLOT,
    "message": "In the queue of node n1",
    "lastTransitionTime": "2026-01-31T12:00:00Z",
}


@pytest.fixture(autouse=True)
def bridge_nf(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel filters within a bridge."""
    monkeypatch.setattr(networks, "_bridge_nf", lambda: "1")


def placed(node: World, **status: Any) -> tuple[InstanceReconciler, Object]:
    """An instance as its placement leaves it, on a node whose engine can launch it."""
    node.engine.creates = True
    node.engine.images_present = {IMAGE: ("sha256:1", [])}
    shown = {"observedGeneration": 1, "conditions": [IN_THE_QUEUE]} | status
    read = node.work({"template": TEMPLATE}, **shown).read
    node.cluster.requests.clear()
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}
    return InstanceReconciler(node.services, lambda _: None), read


def ready(node: World) -> str:
    """The reason of Ready as its user sees it."""
    shown = node.cluster.read(INSTANCES, "web", "team")["status"]["conditions"]
    return str(next(c["reason"] for c in shown if c["type"] == "Ready"))


def summary(node: World) -> str:
    """Whether it is Reconciling or Stalled; empty for neither."""
    shown = node.cluster.read(INSTANCES, "web", "team")["status"]["conditions"]
    (found,) = [c["type"] for c in shown if c["type"] in ("Reconciling", "Stalled")] or [""]
    return str(found)


def methods(node: World) -> list[str]:
    return [method for method, _ in node.cluster.requests]


async def test_an_instance_is_ready_with_two_requests_of_its_agent(node: World) -> None:
    served, read = placed(node)
    node.services.recent.note(read)
    await served.reconcile(KEY)
    assert (methods(node), ready(node)) == (["PATCH", "PUT"], "Ready")
    assert node.engine.states == {"web": "running"}


async def test_what_was_launched_is_read_before_anything_is_done(node: World) -> None:
    served, read = placed(node)
    await served.reconcile(KEY)
    node.services.recent.note(read)
    node.cluster.requests.clear()
    await served.reconcile(KEY)
    assert methods(node) == ["GET"]


@pytest.mark.parametrize("told", ["moved", "deleted"])
async def test_nothing_is_given_back_on_hearsay(node: World, told: str) -> None:
    served, read = placed(node)
    node.services.ledger.reserve(UID, [], namespace="team", name="web", now=0)
    if told == "moved":
        node.services.recent.note(read | {"status": read["status"] | {"nodeName": "n2"}})
    else:
        end = {"deletionTimestamp": "2026-01-31T12:00:00Z"}
        node.services.recent.note(read | {"metadata": read["metadata"] | end})
    await served.reconcile(KEY)
    assert methods(node)[0] == "GET"
    assert node.services.ledger.get(UID) is not None
    assert ready(node) == "Ready"


async def test_one_that_has_changed_since_is_read_again(node: World) -> None:
    served, read = placed(node)
    node.services.recent.note(read)
    node.cluster.put(INSTANCES, node.cluster.read(INSTANCES, "web", "team"))
    assert await served.reconcile(KEY) == READ_AGAIN
    assert node.engine.states == {}
    await served.reconcile(KEY)
    assert ready(node) == "Ready"


def test_what_was_told_is_believed_for_a_few_seconds() -> None:
    seconds = [0.0]
    recent = Recent(lambda: seconds[0])
    read = {"metadata": {"uid": "a"}}
    recent.note(read)
    seconds[0] = FRESH
    assert recent.get("a") is read
    seconds[0] += 0.1
    assert recent.get("a") is None
    assert recent.get("b") is None


def queue_up(node: World) -> None:
    """One is being launched, and another one waits before ours."""
    node.services.gate = Gate(1, node.services.wake, monotonic=node.clock.monotonic)
    for other in ("at work", "next"):
        node.services.gate.request(other, gate.Work.LAUNCH)


async def test_a_short_wait_in_the_queue_is_not_told_and_a_long_one_is(node: World) -> None:
    served, _ = placed(node)
    queue_up(node)
    assert await served.reconcile(KEY) == QUEUE_PATIENCE
    assert methods(node) == ["GET", "PATCH"]
    node.clock.seconds += QUEUE_PATIENCE / 2
    assert await served.reconcile(KEY) == QUEUE_PATIENCE / 2
    assert node.cluster.count("PUT") == 0
    node.clock.seconds += QUEUE_PATIENCE / 2
    await served.reconcile(KEY)
    assert node.cluster.count("PUT") == 1
    assert ready(node) == reasons.WAITING_FOR_LAUNCH_SLOT
    assert node.cluster.read(INSTANCES, "web", "team")["status"]["startTime"]


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [IN_THE_QUEUE | {"reason": reasons.PULLING_IMAGE}]},
        {"observedGeneration": 0},
    ],
    ids=["another reason", "a spec not seen yet"],
)
async def test_what_the_status_does_not_say_yet_is_told_at_once(
    node: World, status: dict[str, Any]
) -> None:
    served, _ = placed(node, **status)
    queue_up(node)
    await served.reconcile(KEY)
    assert node.cluster.count("PUT") == 1
    assert ready(node) == reasons.WAITING_FOR_LAUNCH_SLOT


async def test_what_fails_after_the_slot_takes_nothing_away(node: World) -> None:
    """It would be taken away beside the gate; the next look adopts what runs."""
    served, _ = placed(node)
    node.engine.looks_fail = True
    await served.reconcile(KEY)
    assert node.engine.states == {"web": "running"}
    assert not any(call.startswith("DELETE") for call in node.engine.calls)
    assert node.services.ledger.get(UID) is not None
    assert not node.services.gate.holds(UID)
    node.engine.looks_fail = False
    await served.reconcile(KEY)
    await node.services.readiness.first(UID, 5.0)
    await served.reconcile(KEY)
    assert ready(node) == "Ready"
    assert node.engine.calls.count("POST containers/create") == 1


async def test_looks_that_fail_are_no_reason_to_give_up_until_three_in_a_row_have(
    node: World,
) -> None:
    served, _ = placed(node)

    await served.reconcile(KEY)

    async def look(*, fails: bool) -> str:
        node.engine.lists_fail = fails
        assert await served.reconcile(KEY) is not None
        return summary(node)

    assert [await look(fails=True) for _ in range(4)] == ["Reconciling"] * 2 + ["Stalled"] * 2
    await node.services.readiness.first(UID, 5.0)
    await look(fails=False)
    assert ready(node) == "Ready"
    node.services.ledger.finalize([UID], now=0)  # as days later, when they have been forgotten
    for _ in range(3):
        assert await look(fails=True) == "Reconciling"
        assert await look(fails=False) == ""


async def test_an_image_that_is_missed_is_asked_for_again(node: World) -> None:
    """It was there a moment ago, and somebody has removed it since."""
    served, _ = placed(node)
    await node.services.images.ensure(IMAGE, "IfNotPresent", lambda: None)
    node.engine.images_present.clear()
    node.engine.image_missing = "No such image: img:1"
    await served.reconcile(KEY)
    assert ready(node) == reasons.LAUNCH_FAILED
    node.services.attempts.due(UID)
    await served.reconcile(KEY)
    assert isinstance(await node.services.images.state(IMAGE), Pulling)
    await node.services.images.close()
