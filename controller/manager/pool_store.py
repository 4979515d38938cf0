"""What the manager knows of ChallengePools: the pools, their Challenges' templates, their members.

Filled from the watch, and by reading anew what the watch loses; says which pool a change is news
for. Must not decide what is to be done, nor write anything.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import ValidationError

from controller.api.challenge import Challenge
from controller.api.instance import ChallengeInstance
from controller.api.pool import ChallengePool
from controller.api.template import template_hash
from controller.cluster.client import CHALLENGES, INSTANCES, POOLS, Cluster, Object
from controller.cluster.errors import NotFound
from controller.manager.pool_members import Members, pool_key
from controller.manager.pool_status import Trouble

logger = logging.getLogger(__name__)


@dataclass
class Pool:
    """A pool as the manager has it, and what it remembers of it."""

    body: Object
    object: ChallengePool
    refused: int = 0
    """Refusals of its instances in a row."""
    refusal: Trouble | None = None
    retry_at: float = 0.0
    """When to try again after a refusal, on the manager's own clock."""
    told_at: float = float("-inf")
    """When its status was last written."""

    @property
    def key(self) -> str:
        """What the pool's members name it by."""
        return pool_key(self.object.metadata.namespace, self.object.metadata.uid)

    @property
    def challenge(self) -> str:
        """The namespace and name of its Challenge."""
        return f"{self.object.metadata.namespace}/{self.object.spec.challenge_ref.name}"


class PoolStore:
    """All pools by their key."""

    def __init__(
        self, cluster: Cluster, namespaces: tuple[str, ...], changed: Callable[[str], None]
    ) -> None:
        """``namespaces`` are those served; empty: all. ``changed`` is told the pools' keys."""
        self._cluster = cluster
        self._namespaces = namespaces or ("",)
        self._changed = changed
        self._templates: dict[str, str] = {}
        self.pools: dict[str, Pool] = {}
        self.members = Members()

    def observe(self, body: Object, *, deleted: bool) -> None:
        """Take a ChallengePool as the watch has it."""
        try:
            pool = ChallengePool.model_validate(body)
        except ValidationError as error:
            logger.warning("Cannot read pool %s: %s", body["metadata"]["name"], error)
            return
        key = pool_key(pool.metadata.namespace, pool.metadata.uid)
        if deleted:
            self.pools.pop(key, None)
        elif (known := self.pools.get(key)) is None:
            self.pools[key] = Pool(body, pool)
        else:
            if known.object.metadata.generation != pool.metadata.generation:
                known.refused, known.retry_at = 0, 0.0
            known.body, known.object = body, pool
        self._changed(key)

    def observe_challenge(self, body: Object, *, deleted: bool) -> None:
        """Take a Challenge as the watch has it."""
        try:
            challenge = Challenge.model_validate(body)
        except ValidationError as error:
            logger.warning("Cannot read Challenge %s: %s", body["metadata"]["name"], error)
            return
        before = self._templates.pop(challenge.key, None)
        if not deleted:
            self._templates[challenge.key] = template_hash(challenge.spec.template)
        if before != self._templates.get(challenge.key):
            for key, pool in self.pools.items():
                if pool.challenge == challenge.key:
                    self._changed(key)

    def observe_instance(self, instance: ChallengeInstance) -> None:
        """Take an instance as it is now; most are no pool's."""
        for key in self.members.observe(instance):
            self._changed(key)

    def take(self, body: Object) -> None:
        """Take an instance as the API server has it."""
        try:
            self.observe_instance(ChallengeInstance.model_validate(body))
        except ValidationError as error:
            logger.warning("Cannot read instance %s: %s", body["metadata"]["name"], error)

    def forget(self, uid: str) -> None:
        """The instance of that uid is gone."""
        for key in self.members.forget(uid):
            self._changed(key)

    def template(self, pool: Pool) -> str | None:
        """The hash of the template of a pool's Challenge, if there is such a Challenge."""
        return self._templates.get(pool.challenge)

    async def owner(self, instance: ChallengeInstance) -> str | None:
        """The uid of the pool that an instance belongs to, if there really is one.

        Raises ApiError when that cannot be found out.
        """
        claimed, namespace = instance.pool, instance.metadata.namespace
        if claimed is None:
            return None
        key = pool_key(namespace, claimed.uid)
        if key not in self.pools:
            await self.read(claimed.name, namespace)
        return claimed.uid if key in self.pools else None

    async def read(self, name: str, namespace: str) -> None:
        """Read one pool, if there is one of that name; raises ApiError."""
        try:
            self.observe(await self._cluster.get(POOLS, name, namespace), deleted=False)
        except NotFound as missing:
            if not missing.names(name):
                raise

    async def load(self) -> None:
        """Read all pools and Challenges anew; raises ApiError.

        What has come meanwhile is not in the lists, and stays.
        """
        had_pools, had_templates = set(self.pools), set(self._templates)
        pools: list[Object] = []
        challenges: list[Object] = []
        for namespace in self._namespaces:
            pools += [body async for body in self._cluster.list(POOLS, namespace)]
            challenges += [body async for body in self._cluster.list(CHALLENGES, namespace)]
        for body in challenges:
            self.observe_challenge(body, deleted=False)
        there = {f"{c['metadata']['namespace']}/{c['metadata']['name']}" for c in challenges}
        for key in had_templates - there:
            self._templates.pop(key, None)
        for body in pools:
            self.observe(body, deleted=False)
        keys = {pool_key(p["metadata"]["namespace"], p["metadata"]["uid"]) for p in pools}
        for key in had_pools - keys:
            self.pools.pop(key, None)
        for key in {*self.pools, *self.members.pools()}:
            self._changed(key)

    async def load_instances(self) -> None:
        """Read all instances of namespaces that have pools; raises ApiError."""
        for namespace in {pool.object.metadata.namespace for pool in self.pools.values()}:
            async for body in self._cluster.list(INSTANCES, namespace):
                if body["metadata"].get("ownerReferences"):
                    self.take(body)
