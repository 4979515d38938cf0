"""Isolate: nothing is started before the rules that keep it from host and neighbours are in force.

What runs is left alone: to stop it would not make it safer for those who have reached it already.
"""

from controller.api import reasons
from controller.reconcile import attach
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.work import Work
from controller.runtime import networks

RETRY = 30.0
"""Seconds to the next look; the agent wakes everybody when it has put it right."""


async def isolate(work: Work) -> Result:
    """Go on where the instance is kept apart, or has nothing to be started."""
    if _all_up(work):
        return DONE
    if unsafe := work.services.unsafe:
        return unsafe
    if attach.shares_bridge(work) and networks.bridge_nf_disabled():
        return Waiting(reasons.BRIDGE_FILTER_OFF, networks.BRIDGE_NF_MISSING, RETRY)
    return DONE


def _all_up(work: Work) -> bool:
    up = {state.container for state in work.containers if state.state in ("running", "paused")}
    return all(container.name in up for container in work.template.containers)
