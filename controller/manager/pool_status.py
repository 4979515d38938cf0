"""What a ChallengePool says of itself: counts, and Ready, Reconciling and Stalled in kstatus' way.

Ready is True when every seed has its replicas ready, of the present template: then `kubectl wait`
after a change waits for the end of the roll. Pure: asks and writes nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from controller.api import conditions, reasons
from controller.api.pool import ChallengePool, PoolStatus
from controller.manager import pool_instance
from controller.manager.pool_members import Member
from controller.manager.pool_plan import Survey, unavailable

NAMED: Final = 3
"""Instances that the message names; the others are counted."""


@dataclass(frozen=True)
class Trouble:
    """Why no instance can be created: the reason constant, and what was expected."""

    reason: str
    message: str
    stalled: bool = True
    """Whether somebody must help; else what is missing may yet come, and is waited for."""


@dataclass(frozen=True)
class _Verdict:
    ready: bool
    reason: str
    message: str = ""
    reconciling: bool = False
    stalled: bool = False


def status(pool: ChallengePool, seen: Survey, trouble: Trouble | None, now: datetime) -> PoolStatus:
    """The status of a pool with these instances."""
    drafted = pool.status.model_copy(deep=True)
    live = [len(line.live) for line in seen.lines]
    drafted.observed_generation = pool.metadata.generation
    drafted.replicas = min(live)
    drafted.instances = sum(live) + len(seen.strays)
    drafted.ready_instances = sum(line.ready for line in seen.lines) + sum(
        member.ready for member in seen.strays
    )
    drafted.selector = pool_instance.selector(pool)
    verdict = _verdict(seen, trouble)
    for kind, holds in (
        (conditions.READY, verdict.ready),
        (conditions.RECONCILING, verdict.reconciling),
        (conditions.STALLED, verdict.stalled),
    ):
        if kind != conditions.READY and not holds:
            conditions.remove(drafted.conditions, kind)
            continue
        conditions.set_condition(
            drafted.conditions,
            kind,
            "True" if holds else "False",
            verdict.reason if kind != conditions.READY or not holds else reasons.READY,
            verdict.message,
            now=now,
            observed_generation=pool.metadata.generation,
        )
    return drafted


def _verdict(seen: Survey, trouble: Trouble | None) -> _Verdict:
    missing, count = unavailable(seen), _count(seen)
    whole = missing == 0
    if trouble is not None:
        said, stuck = f"{trouble.message}; {count}", trouble.stalled
        return _Verdict(False, trouble.reason, said, not stuck, stuck)
    stalled = [member for member in _unready(seen) if member.stalled]
    if old := sum(len(line.old) for line in seen.lines):
        message = f"{old} of an older template are still to be replaced; {count}"
        return _Verdict(False, reasons.UPDATING, message, not stalled, bool(stalled))
    if seen.strays or any(len(line.live) < seen.replicas for line in seen.lines):
        return _Verdict(False, reasons.SCALING, count, reconciling=True)
    if not whole:
        reason = stalled[0].reason if stalled else reasons.INSTANCES_NOT_READY
        return _Verdict(False, reason, count, not stalled, bool(stalled))
    if leaving := sum(len(line.leaving) for line in seen.lines):
        message = f"{leaving} on a node that is drained are still to be replaced; {count}"
        return _Verdict(True, reasons.DRAINING, message, reconciling=True)
    if any(len(line.live) > seen.replicas for line in seen.lines):
        return _Verdict(True, reasons.SCALING, count, reconciling=True)
    return _Verdict(True, reasons.READY, count)


def _count(seen: Survey) -> str:
    """How many are ready, and why others are not."""
    wanted = seen.replicas * len(seen.lines)
    words = f"{wanted - unavailable(seen)} of {wanted} instances are ready"
    unready = _unready(seen)
    if not unready:
        return words
    named = ", ".join(f"{member.name} ({member.reason})" for member in unready[:NAMED])
    more = f" and {len(unready) - NAMED} more" if len(unready) > NAMED else ""
    return f"{words}; not ready: {named}{more}"


def _unready(seen: Survey) -> list[Member]:
    """The instances that are not ready, those first that need somebody's help."""
    found = [member for line in seen.lines for member in line.live if not member.ready]
    return sorted(found, key=lambda member: (not member.stalled, member.name))
