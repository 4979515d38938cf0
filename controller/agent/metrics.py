"""What is taken of a node and what is left, as Prometheus metrics.

As everywhere, no label has a name or uid in it.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from controller.ledger import Totals

STATES: Final = ("free", "held", "aside")


class NodeMetrics:
    """The metrics of one node, brought up to date with its status, every 10 seconds."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Without a registry they are kept, and shown to nobody."""
        registry = registry or CollectorRegistry()
        self._instances = Gauge(
            "challenge_node_instances",
            "Instances that the node's ledger has.",
            registry=registry,
        )
        self._ports = Gauge(
            "challenge_node_ports",
            "Host ports of the node: free, held by an instance, or put aside since another "
            "program has them.",
            ["state"],
            registry=registry,
        )
        self._networks = Gauge(
            "challenge_node_networks",
            "Networks for instances of several containers: free, or held by an instance.",
            ["state"],
            registry=registry,
        )
        self._memory = Gauge(
            "challenge_node_memory_promised_bytes",
            "Sum of the memory limits of the node's containers.",
            registry=registry,
        )
        for state in STATES:  # a series that is there from the start can be alerted on
            self._ports.labels(state)
        for state in STATES[:2]:
            self._networks.labels(state)

    def show(self, totals: Totals, *, networks: int, memory: int) -> None:
        """Show these; ``networks`` is how many there can be, ``memory`` what is promised."""
        self._instances.set(totals.instances)
        self._ports.labels("free").set(totals.ports.free)
        self._ports.labels("held").set(totals.ports.held)
        self._ports.labels("aside").set(totals.ports.aside)
        self._networks.labels("free").set(networks - totals.subnets)
        self._networks.labels("held").set(totals.subnets)
        self._memory.set(memory)
