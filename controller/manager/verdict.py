"""The status of an instance as placement writes it: placed, or why it waits.

Pure functions on what was read; who writes it is the scheduler.
"""

from datetime import datetime

from controller.api import conditions, reasons
from controller.api.challenge import Policy, TemplateSpec
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.manager.placement import Refusal


def placed(
    instance: ChallengeInstance,
    node: str,
    template: TemplateSpec,
    policy: Policy | None,
    now: datetime,
) -> InstanceStatus:
    """The status of an instance that was given a node, with what is to be launched there."""
    status = _copy(instance)
    status.node_name, status.template, status.policy = node, template, policy
    _say(status, instance, conditions.SCHEDULED, True, Refusal(reasons.SCHEDULED, ""), now)
    message = f"Its node {node} has not begun with it"
    _summary(status, instance, Refusal(reasons.WAITING_FOR_NODE, message), now)
    return status


def waiting(instance: ChallengeInstance, refusal: Refusal, now: datetime) -> InstanceStatus:
    """The status of an instance that no node takes now."""
    status = _copy(instance)
    _say(status, instance, conditions.SCHEDULED, False, refusal, now)
    _summary(status, instance, refusal, now)
    return status


def told(instance: ChallengeInstance) -> Refusal | None:
    """Why it waits, as its status has it; None when the status does not say that it does."""
    said = conditions.get(instance.status.conditions, conditions.SCHEDULED)
    if said is None or said.status != "False":
        return None
    return Refusal(said.reason, said.message)


def _copy(instance: ChallengeInstance) -> InstanceStatus:
    """A status of its own as far as it is changed here: the list of conditions."""
    status = instance.status.model_copy()
    status.conditions = list(status.conditions)
    if status.observed_generation != instance.metadata.generation:
        status.expiration_time = None  # of a moved one that was renewed since: the agent's part
    status.observed_generation = instance.metadata.generation
    return status


def _summary(
    status: InstanceStatus, instance: ChallengeInstance, refusal: Refusal, now: datetime
) -> None:
    if conditions.is_true(status.conditions, conditions.EXPIRED):
        return  # it is at rest, and its summary says so
    for kind, value in ((conditions.READY, False), (conditions.RECONCILING, True)):
        _say(status, instance, kind, value, refusal, now)


def _say(
    status: InstanceStatus,
    instance: ChallengeInstance,
    kind: str,
    value: bool,
    refusal: Refusal,
    now: datetime,
) -> None:
    conditions.set_condition(
        status.conditions,
        kind,
        "True" if value else "False",
        refusal.reason,
        refusal.message,
        now=now,
        observed_generation=instance.metadata.generation,
    )
