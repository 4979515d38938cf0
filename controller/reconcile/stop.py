"""Stop: the instance's containers and its network are gone, the engine has confirmed it.

Containers are asked to end first, outside the gate, so that one that takes its time holds nobody
up; then they are removed, under the gate.
"""

import contextlib
from collections.abc import Collection

from controller.api import reasons
from controller.reconcile import gate, teardown
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.services import Services
from controller.runtime import containers
from controller.runtime.containers import ContainerState
from controller.runtime.errors import NotFound

GRACE_DEFAULT = 5
UNANSWERED_RETRY = 1.0


async def stop(
    services: Services, uid: str, grace: float | None, names: Collection[str] = ()
) -> Result:
    """End and remove the containers; ``grace`` is in seconds, from the first call on.

    Without one, the containers' own is asked for: they were made with it. ``names`` are the
    engine's of those that a launch makes, where that is known.
    """
    services.readiness.forget(uid)
    if services.pending(uid):
        message = "The engine has not answered an earlier call on its containers"
        services.unanswered.setdefault(uid)
        return Waiting(reasons.DELETING, message, UNANSWERED_RETRY)
    found = await teardown.existing(services, uid, names)
    if left := await _graceful(services, uid, found, grace):
        return Waiting(reasons.DELETING, "Its containers have been asked to end", left)
    if found or services.own_networks.holds(uid):
        if not services.gate.request(uid, gate.Work.REMOVAL):
            return Waiting(reasons.DELETING, "In the queue for its removal")
        try:
            await teardown.remove(services, uid, found)
        finally:
            services.gate.release(uid)
    services.stopping.pop(uid, None)
    return DONE


async def _graceful(
    services: Services, uid: str, found: list[ContainerState], grace: float | None
) -> float:
    """Ask what runs to end; the seconds that are left for it, 0 when nothing runs any more."""
    running = [state for state in found if state.state == "running"]
    if not running:
        return 0.0
    now = services.monotonic()
    if uid not in services.stopping:
        if grace is None:
            grace = await _own_grace(services, running)
        if grace <= 0:
            return 0.0
        services.stopping[uid] = now + grace
        for state in running:
            await containers.terminate(services.engine, state.name)
        again = await teardown.existing(services, uid, [state.name for state in found])
        running = [state for state in again if state.state == "running"]
    return max(0.0, services.stopping[uid] - now) if running else 0.0


async def _own_grace(services: Services, running: list[ContainerState]) -> float:
    """The grace period that the containers were made with, the longest of them, in seconds."""
    longest = 0.0
    for state in running:
        with contextlib.suppress(NotFound):
            own = (await containers.inspect(services.engine, state.name)).stop_timeout
            longest = max(longest, GRACE_DEFAULT if own is None else own)
    return longest
