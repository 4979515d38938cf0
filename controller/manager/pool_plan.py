"""What a pool has, and what is to be created and deleted next. Pure: asks and writes nothing.

The instances of a seed are *good* (of the present template, on a node that keeps them), *leaving*
(of the present template, on a node that is drained) or *old*. Budgets are over all seeds, but the
count is each seed's own: one with an instance too many does not make up for another's loss.

- Missing ones are created, and whose seed is no longer wanted are deleted, at once.
- Too many good ones: first those not ready, then those on cordoned nodes, then the newest.
- Old ones go when they are not ready, when their seed has more ready than replicas, or within
  maxUnavailable; new ones come before that, within maxSurge.
- Leaving ones go only when their seed stays complete without them; one replacement at a time in a
  pool comes before that, whatever maxSurge says.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, zip_longest

from controller.api.pool import ChallengePool
from controller.manager import pool_instance
from controller.manager.pool_members import Member

DRAIN_SURGE = 1
"""Instances over the number that a pool may have at a time in order to empty a node."""


@dataclass(frozen=True)
class Cordons:
    """The names of the nodes that take nothing, and of those that are to be emptied."""

    cordoned: frozenset[str] = frozenset()
    draining: frozenset[str] = frozenset()


@dataclass
class Line:
    """The instances of one seed."""

    seed: str
    good: list[Member] = field(default_factory=list)
    leaving: list[Member] = field(default_factory=list)
    old: list[Member] = field(default_factory=list)

    @property
    def live(self) -> list[Member]:
        """All that are there to stay, for now."""
        return [*self.good, *self.leaving, *self.old]

    @property
    def ready(self) -> int:
        """How many of them are ready."""
        return sum(member.ready for member in self.live)


@dataclass
class Survey:
    """A pool's instances, sorted; those that are being deleted are only in ``names``."""

    replicas: int
    lines: list[Line]
    strays: list[Member]
    """Of seeds that the pool does not have."""
    names: set[str]
    """All names that are taken."""


@dataclass
class Plan:
    """What is to be done next."""

    create: list[str] = field(default_factory=list)
    """The seeds of instances to create, in this order."""
    delete: list[Member] = field(default_factory=list)


def survey(
    pool: ChallengePool, template: str | None, members: Iterable[Member], cordons: Cordons
) -> Survey:
    """Sort a pool's instances. ``template`` is the Challenge's hash; None: there is none to know.

    Without a Challenge nothing is old: there is nothing to replace it with.
    """
    lines = {seed: Line(seed) for seed in pool.spec.seeds}
    seen = Survey(pool.spec.replicas, list(lines.values()), [], set())
    revision = pool_instance.revision(pool, template) if template else ""
    spec = pool_instance.digest(pool_instance.spec(pool, pool.spec.seeds[0]))
    for member in members:
        seen.names.add(member.name)
        if member.deleting:
            continue
        line = lines.get(member.seed)
        if line is None:
            seen.strays.append(member)
            continue
        if template and not _is_current(member, revision, template, spec):
            line.old.append(member)
        elif member.node in cordons.draining:
            line.leaving.append(member)
        else:
            line.good.append(member)
    return seen


def plan(pool: ChallengePool, seen: Survey, cordons: Cordons, *, creatable: bool) -> Plan:
    """What to do next; takes out of ``seen`` what it deletes. ``creatable``: has a Challenge."""
    todo = Plan(delete=list(seen.strays))
    seen.strays.clear()
    for line in seen.lines:
        _drop(line.good, _surplus(line, seen.replicas, cordons), todo)
        _drop(line.old, [member for member in line.old if not member.ready], todo)
        _drop(line.leaving, _spare(line, seen.replicas), todo)
    _retire(pool, seen, todo)
    if creatable:
        missing = [[line.seed] * max(0, seen.replicas - len(line.live)) for line in seen.lines]
        # Each seed gets its first before any gets its second.
        rounds = chain.from_iterable(zip_longest(*missing))
        todo.create = [seed for seed in rounds if seed is not None] + _surge(pool, seen)
    return todo


def unavailable(seen: Survey) -> int:
    """How many ready instances are missing, each seed by itself."""
    return sum(max(0, seen.replicas - line.ready) for line in seen.lines)


def _is_current(member: Member, revision: str, template: str, spec: str) -> bool:
    return (
        pool_instance.revision_of(member.name) == revision
        and member.spec == spec
        and member.template in ("", template)
    )


def _surplus(line: Line, replicas: int, cordons: Cordons) -> list[Member]:
    """The good ones over the number."""
    extra = len(line.good) - replicas
    if extra <= 0:
        return []
    by_age = sorted(line.good, key=_age, reverse=True)
    return sorted(by_age, key=lambda m: (m.ready, m.node not in cordons.cordoned))[:extra]


def _spare(line: Line, replicas: int) -> list[Member]:
    """The leaving ones that the seed is complete without, those not ready first."""
    spare, ready, live = [], line.ready, len(line.live)
    for member in sorted(line.leaving, key=lambda m: (m.ready, _age(m))):
        if ready - member.ready >= replicas or (not member.ready and live > replicas):
            spare.append(member)
            ready -= member.ready
            live -= 1
    return spare


def _retire(pool: ChallengePool, seen: Survey, todo: Plan) -> None:
    """Delete old ones that are ready: those the seed can spare, then as many as may be missing."""
    budget = pool.spec.update_strategy.max_unavailable - unavailable(seen)
    for line in seen.lines:
        going = []
        ready = line.ready
        for member in sorted(line.old, key=_age):
            if ready <= seen.replicas:
                if budget <= 0:
                    break
                budget -= 1
            ready -= 1
            going.append(member)
        _drop(line.old, going, todo)


def _surge(pool: ChallengePool, seen: Survey) -> list[str]:
    """The seeds that get one more than replicas, so that another can go."""
    limit = pool.spec.update_strategy.max_surge
    used = sum(max(0, len(line.live) - seen.replicas) for line in seen.lines)
    extra = []
    for line in seen.lines:
        lacking = min(seen.replicas, len(line.live)) - len(line.good)
        room = (limit if line.old else DRAIN_SURGE) - used
        wanted = min(lacking, len(line.old) + len(line.leaving), max(0, room))
        extra += [line.seed] * wanted
        used += wanted
    return extra


def _drop(members: list[Member], going: list[Member], todo: Plan) -> None:
    todo.delete += going
    gone = {member.uid for member in going}
    members[:] = [member for member in members if member.uid not in gone]


def _age(member: Member) -> tuple[str, str]:
    return (member.created.isoformat() if member.created else "", member.name)
