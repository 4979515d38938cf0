"""Storage: who writes more than it may is stopped, told, and not started again."""

from dataclasses import replace
from typing import Any

import pytest

from controller.api import conditions, reasons
from controller.reconcile import storage
from controller.reconcile.release import release
from controller.reconcile.result import DONE, Failed
from controller.reconcile.storagewatch import Excess
from controller.runtime import labels
from controller.runtime.containers import ContainerPlan
from controller.runtime.errors import EngineError
from controller.runtime.labels import Owner
from tests.unit.reconcile.world import UID, World
from tests.unit.runtime.fake_engine import FakeEngine, Request

MIB = 2**20
OWNER = Owner("default", "n1", UID, "team", "web", "hash")
REFUSED = "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"


def listed(name: str, used: int, limit: str) -> dict[str, Any]:
    """A running container as the engine lists it with its size."""
    marks = {labels.INSTANCE_UID: UID, labels.CONTAINER: name, labels.STORAGE_LIMIT: limit}
    return {"Id": f"id-{name}", "Labels": marks, "SizeRw": used}


async def test_who_is_over_its_limit_is_woken_and_told_apart(node: World, fake: FakeEngine) -> None:
    found = [
        listed("web", 3 * MIB, str(2 * MIB)),
        listed("db", 2 * MIB, str(2 * MIB)),
        listed("odd", 5 * MIB, "much"),
    ]
    fake.answer = lambda request: (200, found)
    await storage.sample(node.services)
    assert node.woken == [UID]
    excess = node.services.storage.excess(UID, {"id-web", "id-db"})
    assert excess is not None
    assert excess.container == "web"
    assert "Container web has written 3.0 MiB; limits.ephemeral-storage allows 2.0 MiB" in (
        excess.message
    )
    assert node.services.storage.excess(UID, {"id-new"}) is None, "gone with its container"


async def test_only_containers_with_a_limit_are_measured_in_one_call(
    node: World, fake: FakeEngine
) -> None:
    fake.answer = lambda request: (200, [])
    await storage.sample(node.services)
    asked = [r.path for r in fake.requests if r.path.startswith("/containers")]
    assert len(asked) == 1
    assert "size=1" in asked[0]
    assert labels.STORAGE_LIMIT.replace("/", "%2F") in asked[0]
    assert node.woken == []


async def test_an_instance_over_its_limit_is_stopped_whole_and_stays_so(node: World) -> None:
    node.engine.states = {"web": "running", "db": "paused"}
    work = node.work(
        {"template": {"containers": [{"name": n, "image": "i"} for n in ("web", "db")]}}
    )
    node.found(work)
    assert await storage.storage(work) is DONE

    node.services.storage.exceed(UID, Excess("id-web", "web", "Container web has written much"))
    result = await storage.storage(work)
    assert result == Failed(reasons.STORAGE_EXCEEDED, "Container web has written much")
    assert sorted(node.engine.calls) == [
        f"POST containers/chal-{UID}-{name}/kill" for name in ("db", "web")
    ]
    shown = {status.name: (status.state, status.reason) for status in work.status.containers}
    assert shown == {"web": ("Terminated", reasons.STORAGE_EXCEEDED), "db": ("Terminated", None)}
    told = conditions.get(work.status.conditions, conditions.LAUNCHED)
    assert told is not None
    assert (told.status, told.reason) == ("False", reasons.STORAGE_EXCEEDED)

    # Another process knows it from the status, as long as these containers are there.
    node.services.storage.forget(UID)
    assert await storage.storage(work) == result
    work.containers = []
    assert await storage.storage(work) is DONE
    node.found(work)
    assert await storage.storage(work) is DONE, "new ones, which have written nothing yet"


async def test_nothing_is_remembered_of_an_instance_that_is_gone(node: World) -> None:
    node.services.storage.exceed(UID, Excess("id-web", "web", "much"))
    await release(node.services, UID)
    assert node.services.storage.excess(UID, {"id-web"}) is None


async def test_a_driver_that_has_no_quotas_is_asked_once(node: World, fake: FakeEngine) -> None:
    creates: list[Request] = []

    def answer(request: Request) -> Any:
        if not request.path.startswith("/containers/create"):
            return 204, b""
        creates.append(request)
        return (500, {"message": REFUSED}) if len(creates) == 1 else (201, {"Id": "id-1"})

    fake.answer = answer
    plan = ContainerPlan("web", "web:1", storage_limit=MIB, storage_quota=True)
    assert await storage.launch(node.services, OWNER, plan, "net") == "id-1"
    assert not node.services.storage.has_quotas
    assert await storage.launch(node.services, OWNER, plan, "net") == "id-1"
    assert len(creates) == 3


async def test_another_refusal_says_nothing_of_quotas(node: World, fake: FakeEngine) -> None:
    fake.answer = lambda request: (500, {"message": "no space left on device"})
    plan = ContainerPlan("web", "web:1", storage_limit=MIB, storage_quota=True)
    with pytest.raises(EngineError):
        await storage.launch(node.services, OWNER, plan, "net")
    assert node.services.storage.has_quotas
    with pytest.raises(EngineError):
        await storage.launch(node.services, OWNER, replace(plan, storage_limit=None), "net")
