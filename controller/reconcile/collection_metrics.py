"""What a node has put right or left running on purpose, as Prometheus metrics."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from controller.reconcile.hold import Hold
from controller.reconcile.home import Home

COLLECTED: Final = (
    "launch",
    "container",
    "process",
    "network",
    "volume",
    "folder",
    "row",
    "port",
    "subnet",
    "slot",
)
"""The kinds of what is collected."""


class CollectionMetrics:
    """What is collected, reserved again and held; a part of the agent's `LaunchMetrics`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Nothing is counted at first."""
        self._collected = Counter(
            "challenge_collected",
            "What nobody owned any more and was taken away, by kind; a launch is one that crashed, "
            "and its containers and the rest of it are counted beside it.",
            ["kind"],
            registry=registry,
        )
        self._reserved_again = Counter(
            "challenge_reserved_again",
            "Instances that ran while the ledger had lost their ports, and has them again.",
            registry=registry,
        )
        self._orphans = Gauge(
            "challenge_orphans_held",
            "Instances left running that have vanished from the API server (OrphansHeld).",
            registry=registry,
        )
        self._wrong_cluster = Gauge(
            "challenge_wrong_cluster",
            "1 while the API server is that of another cluster than the ledger's.",
            registry=registry,
        )
        for kind in COLLECTED:  # a series that is there from the start can be alerted on
            self._collected.labels(kind)

    def watch(self, hold: Hold, home: Home) -> None:
        """Show who is held, and whether another cluster answers, whenever somebody asks."""
        self._orphans.set_function(lambda: held.instances if (held := hold.summary()) else 0)
        self._wrong_cluster.set_function(lambda: home.is_away)

    def collected(self, kind: str, number: int = 1) -> None:
        """So many things without an owner were taken away; ``kind`` is one of `COLLECTED`."""
        self._collected.labels(kind).inc(number)

    def reserved_again(self) -> None:
        """An instance that runs has got the ports again that the ledger had lost."""
        self._reserved_again.inc()
