"""Who waits for something before a launch has not crashed, however long ago the last one was."""

from controller.agent import resync
from controller.api import conditions, reasons
from controller.cluster.client import INSTANCES
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.queue import Key, WorkQueue
from controller.reconcile.recover import not_begun
from tests.unit.reconcile.world import UID, World, template

KEY = Key(UID, "team", "web")


def restarted(node: World) -> None:
    """It was launched in 1970 and never up; its containers were taken away, and it wants a Secret
    that is not there."""
    node.work({"template": template(imagePullSecrets=[{"name": "away"}])})
    ports = ["web-80-tcp"]
    node.services.ledger.reserve(UID, ports, namespace="team", name="web", now=0)
    node.services.ledger.begin_attempt(UID, now=1)
    node.cluster.objects["/api/v1/namespaces/kube-system"] = {"metadata": {"uid": "cluster"}}


async def compared(node: World) -> set[str]:
    """Compare, and who has crashed by that; nobody acts on it."""

    async def look(_key: Key) -> float | None:
        return None

    queue = WorkQueue(look, node.services.attempts._backoff)
    assert await resync.once(node.services, queue)
    await queue.stop(1.0)
    return node.services.findings.crashed


def reason(node: World) -> str:
    status = node.cluster.read(INSTANCES, "web", "team")["status"]
    ready = next(c for c in status["conditions"] if c["type"] == conditions.READY)
    return str(ready["reason"])


async def test_one_that_waits_for_a_secret_when_it_is_relaunched_has_not_crashed(
    node: World,
) -> None:
    restarted(node)
    reconciler = InstanceReconciler(node.services, lambda _uid: None)
    await reconciler.reconcile(KEY)
    assert reason(node) == reasons.SECRET_NOT_FOUND
    held = node.services.ledger.get(UID)
    assert await compared(node) == set()
    await reconciler.reconcile(KEY)
    assert reason(node) == reasons.SECRET_NOT_FOUND
    assert node.services.ledger.get(UID) == held, "on the ports that it had"
    assert held is not None


async def test_one_of_which_something_is_left_has(node: World) -> None:
    restarted(node)
    work = node.work({"template": template()})
    node.engine.states = {"web": "created"}
    node.found(work)
    await not_begun(work)
    assert await compared(node) == {UID}


def test_a_finalized_launch_keeps_its_time(node: World) -> None:
    restarted(node)
    book = node.services.ledger
    book.finalize([UID], now=2)
    book.withdraw_attempt(UID, now=3)
    book.withdraw_attempt("unknown", now=3)
    row = book.get(UID)
    assert row is not None
    assert (row.attempt_started, row.is_finalized) == (1, True)
