"""What the manager tells Prometheus: whether it acts, who waits for a node, how all others are.

As everywhere, no label has a name or uid in it.
"""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from controller.manager.states import STATES


def _none(_state: str) -> int:
    """A manager that does not act knows of nobody."""
    return 0


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
        self._instances = Gauge(
            "challenge_instances",
            "Instances by state, as far as the acting manager knows: without a node (pending), on "
            "their way up (launching), ready, failed (Stalled), on a lost node, suspended, expired "
            "(retained), or being deleted.",
            ["state"],
            registry=registry,
        )
        for state in STATES:
            self._instances.labels(state)

    def acting(self, pending: Callable[[], int], count: Callable[[str], int] = _none) -> None:
        """This manager acts from now on.

        ``pending`` counts who waits for a node, ``count`` who is in a state.
        """
        self._acting.set(1)
        self._pending.set_function(pending)
        for state in STATES:
            self._instances.labels(state).set_function(partial(count, state))

    def idle(self) -> None:
        """It no longer does."""
        self._acting.set(0)
        self._pending.set_function(lambda: 0)
        for state in STATES:
            self._instances.labels(state).set_function(partial(_none, state))
