"""Reserve: a host port in the ledger for each published port, all or none."""

from controller.api import conditions, reasons
from controller.api.instance import PortStatus
from controller.api.template import published_ports
from controller.api.values import parse_memory
from controller.ledger import Ledger, PortsExhausted
from controller.reconcile.clock import milliseconds
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.work import Work

EXHAUSTED_RETRY = 30.0
"""Seconds until a look that nobody asked for; a port given back wakes who waits at once."""


async def reserve(work: Work) -> Result:
    """Hold the ports in the ledger and show them in the status."""
    services = work.services
    if work.row is None and (
        failed := services.attempts.pending(work.uid, now=services.monotonic())
    ):
        return failed  # what a failed launch held was given back, and is not taken before the next
    published = published_ports(work.template)
    ref = work.instance.spec.challenge_ref
    try:
        ports = await services.book(
            Ledger.reserve,
            work.uid,
            [name for name, _, _ in published],
            namespace=work.instance.metadata.namespace,
            name=work.instance.metadata.name,
            challenge=ref.name if ref else None,
            now=milliseconds(work.now),
        )
    except PortsExhausted as error:
        services.starved.setdefault(work.uid)
        message = f"{error.wanted} host ports wanted, {error.free} free on this node"
        work.condition(conditions.PORTS_RESERVED, False, reasons.PORTS_EXHAUSTED, message)
        return Waiting(reasons.PORTS_EXHAUSTED, message, EXHAUSTED_RETRY)
    services.starved.pop(work.uid, None)
    services.memory[work.uid] = _memory(work)
    show(work, ports)
    return DONE


def _memory(work: Work) -> int:
    """What the limits promise that the instance's containers name, in bytes."""
    limits = (container.resources.limits.memory for container in work.template.containers)
    return sum(parse_memory(limit) for limit in limits if limit is not None)


def show(work: Work, ports: dict[str, int]) -> None:
    """Put address and ports into the status' draft."""
    address = work.services.address()
    work.status.address = address
    work.status.ports = [
        PortStatus(
            name=name,
            container_name=container.name,
            container_port=port.container_port,
            host_port=ports[name],
            protocol=port.protocol,
            endpoint=f"{_host(address)}:{ports[name]}",
        )
        for name, container, port in published_ports(work.template)
    ]
    work.condition(conditions.PORTS_RESERVED, True, reasons.RESERVED)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
