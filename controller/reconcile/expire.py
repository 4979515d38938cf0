"""Expire: when an instance's time is over, and what then.

The deadline is a pure function of the object. Deleting the object is the manager's part; an
instance that is to be retained loses containers and ports here.
"""

from datetime import datetime, timedelta

from controller.api import conditions, reasons
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.api.values import parse_duration
from controller.reconcile import teardown
from controller.reconcile.release import tidy
from controller.reconcile.result import DONE, Ended, Result, Waiting
from controller.reconcile.stop import stop
from controller.reconcile.work import Work


def lifetime(instance: ChallengeInstance, status: InstanceStatus, default: str) -> timedelta:
    """How long the instance lives from ready or renewed; zero is for ever.

    The instance's own ttl, else its Challenge's, else ``default``; cut to the Challenge's maximum.
    """
    policy = status.policy
    wanted = instance.spec.ttl or (policy.ttl.default if policy else None) or default
    ttl = parse_duration(wanted)
    maximum = parse_duration(policy.ttl.maximum) if policy and policy.ttl.maximum else None
    if maximum is not None and (not ttl or ttl > maximum):
        return maximum
    return ttl


def cut(instance: ChallengeInstance, status: InstanceStatus) -> str:
    """What to tell a user whose ttl is above the Challenge's maximum; empty when it is not."""
    asked = instance.spec.ttl
    if not asked or lifetime(instance, status, "0") == parse_duration(asked):
        return ""
    maximum = status.policy.ttl.maximum if status.policy else None
    wanted = "0 (for ever)" if not parse_duration(asked) else asked
    return f"spec.ttl: {wanted} is above the Challenge's maximum of {maximum}, and was cut to it"


def deadline(
    instance: ChallengeInstance, status: InstanceStatus, now: datetime, default: str
) -> datetime | None:
    """When the instance's time is over; None before it was ready, and for one that never ends."""
    if status.ready_time is None or instance.is_pool_managed:
        return None
    seen = status.observed_generation == instance.metadata.generation
    if seen and instance.spec.renew_time and status.expiration_time:
        # It counts from when it was first seen: one in the future would begin anew at each look.
        return status.expiration_time
    ttl = lifetime(instance, status, default)
    renewed = min(instance.spec.renew_time or status.ready_time, now)
    end = max(status.ready_time, renewed) + ttl if ttl else None
    if status.policy and status.policy.max_lifetime:
        last = status.ready_time + parse_duration(status.policy.max_lifetime)
        end = min(end, last) if end else last
    return end


async def expire(work: Work) -> Result:
    """Retire an instance that is to be kept as an object; wait for the deadline of others."""
    end = work.status.expiration_time
    if end is None or end > work.now:
        work.drop(conditions.EXPIRED)
        return DONE
    if work.instance.spec.on_expiry == "Delete":
        # What was ended while the API server was away is not launched for its last moments.
        message = "Its time is over; the manager is about to delete it"
        return DONE if work.containers else Waiting(reasons.EXPIRED, message)
    if work.row is not None:
        grace = (
            float(work.status.template.termination_grace_period_seconds)
            if work.status.template
            else None
        )
        result = await stop(work.services, work.uid, grace, work.names)
        if isinstance(result, Waiting):
            return Waiting(reasons.EXPIRED, f"Its time is over. {result.message}", result.after)
        await teardown.release(work)
        await tidy(work.services)
        work.containers = []
    message = "Its time is over; more ttl or a later renewTime brings it back on new ports"
    work.condition(conditions.EXPIRED, True, reasons.EXPIRED, message)
    return Ended()
