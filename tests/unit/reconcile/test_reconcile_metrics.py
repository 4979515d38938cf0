"""What Prometheus is shown: the gate, launches and their ends, and nobody's name."""

from prometheus_client import CollectorRegistry, generate_latest

from controller.api import reasons
from controller.reconcile import gate, reserve
from controller.reconcile.gate import Gate
from controller.reconcile.launch import launch
from controller.reconcile.metrics import LaunchMetrics
from tests.unit.reconcile.world import UID, World, template


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


def test_the_queue_and_the_slots_are_shown_as_they_are(node: World) -> None:
    registry = CollectorRegistry()
    metrics = LaunchMetrics(registry)
    seconds = [100.0]
    watched = Gate(1, lambda _: True, observer=metrics, monotonic=lambda: seconds[0])
    metrics.watch(watched, node.services.engine)
    watched.request("a", gate.Work.LAUNCH)
    watched.request("b", gate.Work.LAUNCH)
    watched.request("c", gate.Work.REMOVAL)
    assert sample(registry, "challenge_launch_gate_capacity") == 1
    assert sample(registry, "challenge_launch_gate_held") == 1
    for work in ("launch", "removal"):
        assert sample(registry, "challenge_launch_gate_waiting", work=work) == 1
    seconds[0] += 3.0
    watched.release("a")
    assert sample(registry, "challenge_launch_gate_hold_seconds_sum", work="launch") == 3.0
    assert sample(registry, "challenge_launch_gate_wait_seconds_sum", work="launch") == 3.0
    assert sample(registry, "challenge_launch_gate_wait_seconds_count", work="removal") == 0
    assert sample(registry, "challenge_engine_unanswered_calls") == 0


async def test_a_launch_that_fails_is_counted_by_its_reason_and_names_nobody(node: World) -> None:
    registry = CollectorRegistry()
    node.services.metrics = LaunchMetrics(registry)
    node.services.ledger.reserve(UID, ["web-80-tcp"], namespace="team", name="web", now=0)
    work = node.work({"template": template(), "user": "alice"})
    work.status.ports = []
    await reserve.reserve(work)
    await launch(work)  # this engine knows no creation
    counted = {"result": "failed", "reason": reasons.LAUNCH_FAILED}
    assert sample(registry, "challenge_launches_total", **counted) == 1
    shown = generate_latest(registry).decode()
    for word in (UID, "alice", "team", "web"):
        assert word not in shown
