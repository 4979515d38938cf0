"""What a node's launches cost and how they end, as Prometheus metrics.

In a registry that is handed in, never in the global one. No label has a name or uid of an instance,
of a user or of a Challenge in it: an event has thousands of each.
"""

from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from controller.reconcile.collection_metrics import CollectionMetrics
from controller.reconcile.gate import Gate, Work
from controller.runtime.engine import Engine

SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper ends of the histograms' buckets: a launch takes half a second, a long queue minutes."""
STAGES: Final = ("network", "containers")


class LaunchMetrics:
    """The metrics of one agent; it is the launch gate's observer."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Without a registry they are counted, and shown to nobody."""
        registry = registry or CollectorRegistry()
        self._capacity = Gauge(
            "challenge_launch_gate_capacity",
            "Launches and removals that the node does at once.",
            registry=registry,
        )
        self._holding = Gauge(
            "challenge_launch_gate_held", "Slots of the launch gate in use.", registry=registry
        )
        self._waiting = Gauge(
            "challenge_launch_gate_waiting",
            "Instances in the queue of the launch gate.",
            ["work"],
            registry=registry,
        )
        self._waited = Histogram(
            "challenge_launch_gate_wait_seconds",
            "Time in the queue before a slot was granted.",
            ["work"],
            buckets=SECONDS,
            registry=registry,
        )
        self._held = Histogram(
            "challenge_launch_gate_hold_seconds",
            "Time for which a slot was held.",
            ["work"],
            buckets=SECONDS,
            registry=registry,
        )
        self._launches = Counter(
            "challenge_launches",
            "Launches that have ended; the reason is a failed one's, empty for one that succeeded.",
            ["result", "reason"],
            registry=registry,
        )
        self._duration = Histogram(
            "challenge_launch_duration_seconds",
            "Time of a successful launch, from its slot to all containers running.",
            buckets=SECONDS,
            registry=registry,
        )
        self._stages = Histogram(
            "challenge_launch_stage_duration_seconds",
            "Time of the stages of a successful launch that hold its slot: the network, and all "
            "containers.",
            ["stage"],
            buckets=SECONDS,
            registry=registry,
        )
        self._ready = Histogram(
            "challenge_instance_ready_seconds",
            "Time from the creation of an instance to its first Ready.",
            buckets=SECONDS,
            registry=registry,
        )
        self._restarts = Counter(
            "challenge_container_restarts",
            "Containers started again: ended by themselves, ended by the engine or a reboot, or "
            "restarted on request.",
            ["cause"],
            registry=registry,
        )
        self._unanswered = Gauge(
            "challenge_engine_unanswered_calls",
            "Calls that the engine has not answered in time, and may still be carrying out.",
            registry=registry,
        )
        self.collection = CollectionMetrics(registry)
        for work in Work:  # a series that is there from the start can be alerted on
            self._waiting.labels(work.value)
            self._waited.labels(work.value)
            self._held.labels(work.value)
        self._launches.labels("succeeded", "")
        for stage in STAGES:
            self._stages.labels(stage)
        for cause in ("exit", "engine", "request"):
            self._restarts.labels(cause)

    def watch(self, gate: Gate, engine: Engine) -> None:
        """Show this gate's and this engine's state whenever somebody asks."""
        self._capacity.set_function(lambda: gate.capacity)
        self._holding.set_function(lambda: gate.held)
        for work in Work:
            self._waiting.labels(work.value).set_function(partial(gate.waiting_for, work))
        self._unanswered.set_function(lambda: engine.unanswered)

    def waited(self, work: Work, seconds: float) -> None:
        """A slot was granted after that time in the queue."""
        self._waited.labels(work.value).observe(seconds)

    def held(self, work: Work, seconds: float) -> None:
        """A slot was given back after that time."""
        self._held.labels(work.value).observe(seconds)

    def launched(self, seconds: float) -> None:
        """A launch has succeeded, after that time with its slot."""
        self._launches.labels("succeeded", "").inc()
        self._duration.observe(seconds)

    def stage(self, stage: str, seconds: float) -> None:
        """A stage of a launch has ended well; ``stage`` is one of `STAGES`."""
        self._stages.labels(stage).observe(seconds)

    def ready(self, seconds: float) -> None:
        """An instance is Ready for the first time, so long after it was created."""
        self._ready.observe(max(0.0, seconds))

    def launch_failed(self, reason: str) -> None:
        """A launch has failed; ``reason`` is one of `reasons`."""
        self._launches.labels("failed", reason).inc()

    def restarted(self, cause: str, containers: int = 1) -> None:
        """Containers were started again; ``cause`` is exit, engine or request."""
        self._restarts.labels(cause).inc(containers)
