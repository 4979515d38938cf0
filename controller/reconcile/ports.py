"""Steps over a host port that a foreign program holds, within the same launch."""

from typing import Final

from controller.api.template import published_ports
from controller.ledger import Ledger
from controller.reconcile import plan, reserve
from controller.reconcile.clock import milliseconds
from controller.reconcile.work import Work
from controller.runtime import containers, labels
from controller.runtime.containers import ContainerPlan
from controller.runtime.errors import PortTaken

QUARANTINE: Final = 10 * 60 * 1000
"""Milliseconds for which such a port is put aside."""


async def replace_taken(
    work: Work, planned: list[ContainerPlan], taken: PortTaken
) -> list[ContainerPlan]:
    """Put the port aside, take another one, remove what was made with it; returns new plans.

    Raises ``taken`` itself when the port is none of ours, PortsExhausted, RuntimeFault.
    """
    held = {port.host_port: port.name for port in work.status.ports}
    if taken.port is None or taken.port not in held:
        raise taken
    for container in planned:
        made = labels.container_name(work.uid, container.name)
        await containers.remove(work.services.engine, made, stop_timeout=0)
    now = milliseconds(work.services.clock.now())
    name = held[taken.port]
    book = work.services.book
    # By itself, so that it stays aside even if there is no other one to take.
    await book(Ledger.quarantine, taken.port, until=now + QUARANTINE, reason=taken.message)
    other = await book(Ledger.swap, work.uid, name, now=now)
    ports = {port.name: port.host_port for port in work.status.ports} | {name: other}
    reserve.show(work, {name: ports[name] for name, _, _ in published_ports(work.template)})
    return await plan.plans(work)
