"""Stop: the instance's containers and its network are gone, the engine has confirmed it.

Containers are asked to end first, outside the gate, so that one that takes its time holds nobody
up; then they are removed, under the gate.
"""

from controller.api import reasons
from controller.reconcile import gate, teardown
from controller.reconcile.result import DONE, Result, Waiting
from controller.reconcile.services import Services
from controller.runtime import containers, labels

GRACE_DEFAULT = 5
UNANSWERED_RETRY = 1.0


async def stop(services: Services, uid: str, grace: float) -> Result:
    """End and remove the containers; ``grace`` is in seconds, from the first call on."""
    services.readiness.forget(uid)
    if services.engine.pending_below(labels.network_name(uid)):
        message = "The engine has not answered an earlier call on its containers"
        return Waiting(reasons.DELETING, message, UNANSWERED_RETRY)
    found = await teardown.existing(services, uid)
    running = [state for state in found if state.state == "running"]
    if running and grace > 0:
        now = services.monotonic()
        if uid not in services.stopping:
            services.stopping[uid] = now + grace
            for state in running:
                await containers.terminate(services.engine, state.name)
            found = await teardown.existing(services, uid)
            running = [state for state in found if state.state == "running"]
        left = services.stopping[uid] - now
        if running and left > 0:
            return Waiting(reasons.DELETING, "Its containers have been asked to end", left)
    if not found and not await teardown.has_network(services, uid):
        return DONE
    if not services.gate.request(uid, gate.Work.REMOVAL):
        return Waiting(reasons.DELETING, "In the queue for its removal")
    try:
        await teardown.remove(services, uid, found)
    finally:
        services.gate.release(uid)
    return DONE
