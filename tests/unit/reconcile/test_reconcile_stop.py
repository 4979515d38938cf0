"""Stop: containers are asked to end, then removed under the gate; nothing is given back before."""

import asyncio
import threading

import pytest
from docker import APIClient

from controller.api import reasons
from controller.ledger import Ledger
from controller.reconcile import gate, teardown
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.queue import Key
from controller.reconcile.result import DONE, Waiting
from controller.reconcile.stop import stop
from controller.runtime import containers, labels
from tests.unit.reconcile.world import UID, World, template

WEB = f"containers/chal-{UID}-web"


async def test_an_instance_without_anything_is_stopped_without_a_slot(node: World) -> None:
    node.services.gate.request("other", gate.Work.LAUNCH)
    assert await stop(node.services, UID, 5.0) == DONE
    assert node.engine.calls == []


async def test_a_program_that_ends_when_asked_to_is_removed_at_once(node: World) -> None:
    node.engine.states = {"web": "running", "db": "running"}
    assert await stop(node.services, UID, 5.0) == DONE
    assert node.engine.calls[:2] == [f"POST {WEB}/kill", f"POST containers/chal-{UID}-db/kill"]
    assert f"DELETE {WEB}" in node.engine.calls
    assert node.engine.states == {}
    assert node.services.gate.held == 0


async def test_one_that_takes_its_time_has_its_grace_without_holding_a_slot(node: World) -> None:
    node.engine.states = {"web": "running"}
    node.engine.ends_at_once = False
    first = await stop(node.services, UID, 5.0)
    assert first == Waiting(reasons.DELETING, "Its containers have been asked to end", 5.0)
    assert node.services.gate.held == 0
    node.clock.seconds += 2.0
    again = await stop(node.services, UID, 5.0)
    assert isinstance(again, Waiting)
    assert again.after == 3.0
    assert node.engine.calls == [f"POST {WEB}/kill"], "asked once"
    node.clock.seconds += 3.0
    assert await stop(node.services, UID, 5.0) == DONE
    assert node.engine.states == {}


async def test_a_paused_container_and_no_grace_end_at_once(node: World) -> None:
    node.engine.states = {"web": "paused"}
    assert await stop(node.services, UID, 5.0) == DONE
    node.engine.states = {"web": "running"}
    assert await stop(node.services, UID, 0.0) == DONE
    assert not [call for call in node.engine.calls if "kill" in call]


async def test_a_removal_waits_for_its_turn_at_the_gate(node: World) -> None:
    node.engine.states = {"web": "exited"}
    node.services.gate.request("other", gate.Work.LAUNCH)
    waiting = await stop(node.services, UID, 5.0)
    assert waiting == Waiting(reasons.DELETING, "In the queue for its removal")
    assert node.engine.calls == []
    node.services.gate.release("other")
    assert node.woken == [UID]
    assert await stop(node.services, UID, 5.0) == DONE
    assert node.services.gate.held == 0


async def test_nothing_is_given_back_while_a_creation_is_not_answered(node: World) -> None:
    """The engine may yet make it: the ports stay held until it is known what it did."""
    name = labels.container_name(UID, "web")
    begun, answered = threading.Event(), threading.Event()

    def create(_client: APIClient) -> None:
        begun.set()
        answered.wait()

    call = asyncio.create_task(node.services.engine.call(create, effect=True, name=name))
    await asyncio.to_thread(begun.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    waiting = await stop(node.services, UID, 0.0)
    assert isinstance(waiting, Waiting)
    assert (waiting.reason, waiting.after) == (reasons.DELETING, 1.0)
    node.engine.states = {"web": "created"}
    answered.set()
    await node.services.engine.settled(name)
    assert await stop(node.services, UID, 0.0) == DONE
    assert node.engine.states == {}


async def test_a_slot_granted_and_not_used_goes_to_the_next(node: World) -> None:
    """The instance vanished between its request and its turn: its slot must not go with it."""
    gone = Key(UID, "team", "absent")
    reconciler = InstanceReconciler(node.services, lambda _: None)
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}
    node.services.gate.request(UID, gate.Work.LAUNCH)
    node.services.gate.request("next", gate.Work.LAUNCH)
    assert await reconciler.reconcile(gone) is None
    assert node.services.gate.holds("next")
    assert node.woken == ["next"]


async def test_a_deleted_instance_leaves_neither_port_nor_row_nor_finalizer(node: World) -> None:
    work = node.work({"template": template()})
    body = work.read
    body["metadata"] |= {
        "deletionTimestamp": "2026-01-31T12:00:00Z",
        "finalizers": ["other/one", "challenge-controller.io/agent"],
    }
    node.cluster.objects[
        "/apis/challenge-controller.io/v1alpha1/namespaces/team/challengeinstances/web"
    ] = body
    await node.services.book(
        Ledger.reserve, UID, ["web-80-tcp"], namespace="team", name="web", now=0
    )
    node.engine.states = {"web": "running"}
    forgotten: list[str] = []
    reconciler = InstanceReconciler(node.services, forgotten.append)
    assert await reconciler.reconcile(Key(UID, "team", "web")) is None
    assert node.services.ledger.get(UID) is None
    assert node.engine.states == {}
    (left,) = [o for p, o in node.cluster.objects.items() if p.endswith("/web")]
    assert left["metadata"]["finalizers"] == ["other/one"]
    assert forgotten == [UID]
    assert await containers.list_containers(node.services.engine, installation="default") == []


async def test_without_a_word_on_it_the_grace_is_the_containers_own(node: World) -> None:
    """The object is gone, or another node's: the containers were made with it."""
    for own, expected in ((30, 30.0), (None, 5.0)):
        node.services.stopping.clear()
        node.engine.states, node.engine.ends_at_once = {"web": "running"}, False
        node.engine.stop_timeout = own
        waiting = await stop(node.services, UID, None)
        assert isinstance(waiting, Waiting)
        assert waiting.after == expected
    node.services.stopping.clear()
    node.engine.stop_timeout = 0
    assert await stop(node.services, UID, None) == DONE


async def test_what_the_engine_has_and_does_not_list_is_removed_by_its_name(node: World) -> None:
    """As one does that was started on a full disk."""
    node.engine.states = {"web": "running", "db": "running"}
    node.engine.unlisted = {"web"}
    names = teardown.names_of(UID, {"status": {"template": template("web", "db", "gone")}})
    assert await stop(node.services, UID, 0.0, names) == DONE
    assert node.engine.states == {}
    assert teardown.names_of(UID, None) == teardown.names_of(UID, {"status": {}}) == []


async def test_one_that_bears_the_name_and_is_anothers_is_left(node: World) -> None:
    node.engine.states = {"web": "running"}
    node.engine.unlisted = {"web"}
    name = labels.container_name(UID, "web")
    assert await teardown.existing(node.services, "another", [name]) == []
    (found,) = await teardown.existing(node.services, UID, [name])
    assert found.name == name
