"""The instances of ChallengePools as the manager knows them: what a pool decides by, and no more.

Whose controller is a ChallengePool by its ownerReferences is a member, as with a ReplicaSet. Holds
what the watch, the resync and the manager's own writes have brought; asks and writes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from controller.api import conditions, reasons
from controller.api.instance import ChallengeInstance
from controller.api.template import template_hash
from controller.manager import pool_instance


@dataclass(frozen=True)
class Member:
    """One instance of a pool."""

    uid: str
    name: str
    namespace: str
    version: str
    """Its resourceVersion."""
    pool: str
    """The key of its pool."""
    pool_name: str
    seed: str
    spec: str
    """The digest of its spec, by ``pool_instance.digest``."""
    template: str
    """The hash of the template that it was placed with; empty before."""
    node: str
    ready: bool
    deleting: bool
    reason: str
    """Why it is not ready."""
    stalled: bool
    created: datetime | None


def pool_key(namespace: str, uid: str) -> str:
    """What pools and their members are found by: an owner counts in its own namespace only."""
    return f"{namespace}/{uid}"


class Members:
    """All members by their pool's key, then by their own uid."""

    def __init__(self) -> None:
        """Nobody is known at first."""
        self._pools: dict[str, dict[str, Member]] = {}
        self._pool_of: dict[str, str] = {}
        self._ending: set[str] = set()

    def observe(self, instance: ChallengeInstance) -> set[str]:
        """Take an instance as it is now; returns the keys of the pools that this is news for."""
        uid, pool = instance.metadata.uid, instance.pool
        before = self._find(uid)
        if before is not None and _is_older(instance, before):
            return set()
        if pool is None:
            return self.forget(uid)
        now = _member(instance, before)
        if uid in self._ending:
            # What the watch had before our own delete does not bring it back.
            now = replace(now, deleting=True)
        if before is not None and before.pool != now.pool:
            self._drop(uid)
        self._pools.setdefault(now.pool, {})[uid] = now
        self._pool_of[uid] = now.pool
        if before is not None and replace(before, version=now.version) == now:
            return set()
        return {now.pool} | ({before.pool} if before else set())

    def forget_versions(self) -> None:
        """What comes next counts, whatever was known: the store has gone back."""
        for members in self._pools.values():
            for uid, member in members.items():
                members[uid] = replace(member, version="")

    def forget(self, uid: str) -> set[str]:
        """The instance is gone, or no pool's any more; returns whose it was."""
        self._ending.discard(uid)
        return self._drop(uid)

    def end(self, member: Member) -> None:
        """Its deletion has been asked for: it does not count, whatever the watch still has."""
        if self._find(member.uid) is None:
            return
        self._ending.add(member.uid)
        self._pools[member.pool][member.uid] = replace(member, deleting=True)

    def of(self, pool: str) -> list[Member]:
        """The members of the pool of that key, those that are being deleted too."""
        return list(self._pools.get(pool, {}).values())

    def pools(self) -> Iterator[str]:
        """The keys of the pools that have members, whether they exist or not."""
        return iter(list(self._pools))

    def uids(self) -> set[str]:
        """The uids of all members."""
        return set(self._pool_of)

    def _find(self, uid: str) -> Member | None:
        return self._pools.get(self._pool_of.get(uid, ""), {}).get(uid)

    def _drop(self, uid: str) -> set[str]:
        pool = self._pool_of.pop(uid, None)
        if pool is None:
            return set()
        del self._pools[pool][uid]
        if not self._pools[pool]:
            del self._pools[pool]
        return {pool}


def _is_older(instance: ChallengeInstance, known: Member) -> bool:
    """Whether this is from before what is known: a list, or a write's answer, can be behind."""
    version = instance.metadata.resource_version
    known_at = known.version
    return version.isdecimal() and known_at.isdecimal() and int(version) < int(known_at)


def _member(instance: ChallengeInstance, before: Member | None) -> Member:
    meta, status, pool = instance.metadata, instance.status, instance.pool
    assert pool is not None
    ready = conditions.get(status.conditions, conditions.READY)
    # A spec's digest never changes, the template only where it is placed; both cost.
    template = before.template if before and before.node == (status.node_name or "") else ""
    if not template and status.template is not None:
        template = template_hash(status.template)
    is_ready = ready is not None and ready.status == "True"
    return Member(
        uid=meta.uid,
        name=meta.name,
        namespace=meta.namespace,
        version=meta.resource_version,
        pool=pool_key(meta.namespace, pool.uid),
        pool_name=pool.name,
        seed=instance.spec.seed or "",
        spec=before.spec if before else pool_instance.digest(instance.spec),
        template=template,
        node=status.node_name or "",
        ready=is_ready,
        deleting=instance.is_deleting,
        reason="" if is_ready else (ready.reason if ready else _rest(instance)),
        stalled=conditions.is_true(status.conditions, conditions.STALLED),
        created=meta.creation_timestamp,
    )


def _rest(instance: ChallengeInstance) -> str:
    """Why an instance without the condition Ready has none."""
    found = instance.status.conditions
    if conditions.is_true(found, conditions.SUSPENDED):
        return reasons.SUSPENDED
    if conditions.is_true(found, conditions.EXPIRED):
        return reasons.EXPIRED
    return reasons.WAITING_FOR_NODE
