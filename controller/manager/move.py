"""Moving an instance off its node: one write that takes it from the node and tells why.

It must not choose the next node: the scheduler places a moved instance like any other that waits,
from the template that its status keeps. What runs on the old node is that node's agent's to take
away, once it reads another node in the object.
"""

from datetime import UTC, datetime

from controller.api import conditions, reasons
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.cluster import status as status_writer
from controller.cluster.client import INSTANCES, Cluster, Object
from controller.cluster.errors import Conflict, NotFound
from controller.cluster.events import Recorder


async def move(cluster: Cluster, recorder: Recorder, body: Object, message: str) -> bool:
    """Take an instance off its node, over what was read; ``message`` says why, for its user.

    True when this has moved it. False when it has no node, is being deleted (then its finalizer is
    what must go), or has changed since it was read: the watch brings what it is now. Raises
    ApiError.
    """
    instance = ChallengeInstance.model_validate(body)
    if instance.status.node_name is None or instance.is_deleting:
        return False
    status = unplaced(instance, message, datetime.now(UTC))
    try:
        written = await status_writer.write(cluster, INSTANCES, body, status.manifest())
    except (Conflict, NotFound):
        return False
    recorder.event(written, "Normal", reasons.RESCHEDULED, message)
    return True


def unplaced(instance: ChallengeInstance, message: str, now: datetime) -> InstanceStatus:
    """The status of an instance that is taken off its node.

    Template and policy stay, so that the next node launches the same thing. So does the deadline:
    nobody gains or loses time by a node of ours. Only one that a change of the spec has outdated
    goes; the next agent works it out from readyTime, which stays.
    """
    status = instance.status.model_copy(deep=True)
    if status.observed_generation != instance.metadata.generation:
        status.expiration_time = None
    status.observed_generation = instance.metadata.generation
    status.node_name = status.address = status.start_time = None
    status.ports, status.containers = [], []
    for kind in (
        conditions.PORTS_RESERVED,
        conditions.LAUNCHED,
        conditions.STALLED,
        conditions.SUSPENDED,
    ):
        conditions.remove(status.conditions, kind)
    said = [(conditions.SCHEDULED, False)]
    if not conditions.is_true(status.conditions, conditions.EXPIRED):  # which is at rest
        said += [(conditions.READY, False), (conditions.RECONCILING, True)]
    for kind, value in said:
        conditions.set_condition(
            status.conditions,
            kind,
            "True" if value else "False",
            reasons.RESCHEDULED,
            message,
            now=now,
            observed_generation=instance.metadata.generation,
        )
    return status
