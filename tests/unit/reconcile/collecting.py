"""A node whose comparison finds something, for the tests of what is done about it."""

from typing import Any

from controller.agent import resync
from controller.api import conditions
from controller.cluster.client import EVENTS, INSTANCES
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.queue import Key, WorkQueue
from tests.unit.reconcile.world import UID, World, template

KEY = Key(UID, "team", "web")


PORT = "web-80-tcp"


def served(node: World) -> tuple[InstanceReconciler, WorkQueue]:
    """A reconciler, and a queue that remembers who was woken and does nothing about it."""
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}

    async def look(key: Key) -> float | None:
        node.woken.append(key.uid)
        return None

    queue = WorkQueue(look, node.services.attempts._backoff)
    return InstanceReconciler(node.services, queue.forget), queue


async def compared(node: World) -> set[str]:
    """Compare once; who was woken by that."""
    _, queue = served(node)
    node.woken.clear()
    assert await resync.once(node.services, queue)
    await queue.stop(1.0)
    return set(node.woken)


def half_launched(node: World, **states: str) -> None:
    """An instance whose launch began in 1970, with these containers."""
    node.work({"template": template()})
    node.services.ledger.reserve(UID, [PORT], namespace="team", name="web", now=0)
    node.services.ledger.begin_attempt(UID, now=1)
    node.engine.states = states


def ready(node: World) -> Any:
    status = node.cluster.read(INSTANCES, "web", "team")["status"]
    return next(c for c in status["conditions"] if c["type"] == conditions.READY)


async def told(node: World) -> list[str]:
    await node.services.recorder.flush()
    path = EVENTS.path(namespace="team")
    found = [each for path_, each in node.cluster.objects.items() if path_.startswith(path)]
    return [each["reason"] for each in found]


def count(node: World, kind: str) -> float:
    for family in node.services.metrics.collection._collected.collect():
        for sample in family.samples:
            if sample.name.endswith("_total") and sample.labels.get("kind") == kind:
                return float(sample.value)
    return 0.0


def runs(node: World, *, port: int, told: int | None = None, **states: str) -> None:
    """An instance whose container is bound to a port, and that the ledger does not have."""
    ports = [
        {"name": PORT, "containerName": "web", "containerPort": 80, "hostPort": told or port}
        | {"protocol": "TCP", "endpoint": "x"}
    ]
    node.work({"template": template()}, ports=ports)
    node.engine.states = states or {"web": "running"}
    node.engine.bound = {"web": port}
