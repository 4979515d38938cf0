"""What the manager tells Prometheus: whether it acts, and who waits for a node.

As everywhere, no label has a name or uid in it.
"""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge


class ManagerMetrics:
    """The metrics of one manager."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Without a registry they are kept, and shown to nobody."""
        registry = registry or CollectorRegistry()
        self._acting = Gauge(
            "challenge_manager_acting",
            "1 while this manager holds its Lease and acts, 0 while another one does.",
            registry=registry,
        )
        self._pending = Gauge(
            "challenge_instances_pending",
            "Instances that have no node yet, as far as the acting manager knows.",
            registry=registry,
        )

    def acting(self, pending: Callable[[], int]) -> None:
        """This manager acts from now on; ``pending`` counts who waits for a node."""
        self._acting.set(1)
        self._pending.set_function(pending)

    def idle(self) -> None:
        """It no longer does."""
        self._acting.set(0)
        self._pending.set_function(lambda: 0)
