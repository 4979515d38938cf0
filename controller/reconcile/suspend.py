"""Suspend: pauses the containers of an instance that is to rest, and lets them go on after.

Ports stay reserved and bound, and the instance's time goes on.
"""

import asyncio

from controller.api import conditions, reasons
from controller.reconcile.result import DONE, Ended, Result
from controller.reconcile.show import show
from controller.reconcile.work import Work
from controller.runtime import containers


async def suspend(work: Work) -> Result:
    """Make the containers rest or run, as the instance says."""
    engine, wanted = work.services.engine, work.instance.spec.suspended
    turn = containers.pause if wanted else containers.unpause
    others = [s for s in work.containers if s.state == ("running" if wanted else "paused")]
    await asyncio.gather(*(turn(engine, state.name) for state in others))
    if others:
        work.containers = [await containers.inspect(engine, s.name) for s in work.containers]
        show(work, work.containers)
    if not wanted:
        work.drop(conditions.SUSPENDED)
        return DONE
    work.services.readiness.forget(work.uid)
    work.status.ready_time = work.status.ready_time or work.now  # its time goes on
    work.condition(
        conditions.SUSPENDED, True, reasons.SUSPENDED, "The containers are paused, the ports kept"
    )
    return Ended()
