"""An instance of a ChallengePool as the pool wants it: its name, its revision, its object.

Pure functions: two managers, or one that crashed in the middle, come to the same names for the same
gap, so that the API server refuses the second create. Must not ask or write anything.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import count
from typing import Final

from controller.api import labels
from controller.api.instance import InstanceSpec
from controller.api.meta import API_VERSION, Model
from controller.api.pool import ChallengePool
from controller.cluster.client import Object

NAME_LIMIT: Final = 63
"""Characters of an instance's name: one label of a DNS name, so that it can be a label's value."""
PREFIX_LIMIT: Final = 37
"""Characters of the pool's name in it; the rest is for 10 of hash, 5 of ordinal, 8 of revision."""
OWN: Final = frozenset({"seed", "ttl", "renew_time", "suspended", "on_expiry"})
"""What may differ between instances of one revision: the seed, and what can be changed later."""


def revision(pool: ChallengePool, challenge_template: str) -> str:
    """8 hexadecimal digits that change with instanceTemplate and with the Challenge's template.

    ``challenge_template`` is the hash of the latter, by ``template_hash``.
    """
    return _digest([_canonical(pool.spec.instance_template), challenge_template])[:8]


def revision_of(name: str) -> str:
    """The revision in the name of an instance, which nobody can change later."""
    return name.rpartition("-")[2]


def names(pool: ChallengePool, seed: str, of_revision: str) -> Iterator[str]:
    """The names that instances of a seed can have, in the order in which they are taken.

    Those of different pools and seeds differ, by 40 bits of the pool's uid and the seed.
    """
    prefix = pool.metadata.name[:PREFIX_LIMIT].replace(".", "-").strip("-") or "pool"
    line = _digest([pool.metadata.uid, seed])[:10]
    for ordinal in count():
        yield f"{prefix}-{line}-{ordinal}-{of_revision}"


def spec(pool: ChallengePool, seed: str) -> InstanceSpec:
    """What the pool asks of an instance; ttl 0: the manager vouches that it does not expire."""
    template = pool.spec.instance_template.spec
    return InstanceSpec(
        challenge_ref=pool.spec.challenge_ref,
        seed=seed,
        env=template.env,
        flag_secret_ref=template.flag_secret_ref,
        node_selector=template.node_selector,
        ttl="0",
    )


def digest(wanted: InstanceSpec) -> str:
    """16 hexadecimal digits, equal for specs that differ in nothing but what OWN has."""
    return _digest([_canonical(wanted, exclude=OWN)])[:16]


def body(pool: ChallengePool, seed: str, name: str) -> Object:
    """The instance as it is created; the pool's own labels go before the template's."""
    meta, template = pool.metadata, pool.spec.instance_template.metadata
    own = {labels.POOL: meta.name, labels.REVISION: revision_of(name)}
    if len(seed) <= NAME_LIMIT and seed[0].isalnum() and seed[-1].isalnum():
        own[labels.SEED] = seed
    owner = {
        "apiVersion": API_VERSION,
        "kind": pool.KIND,
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "metadata": {
            "name": name,
            "labels": template.labels | own,
            "annotations": template.annotations,
            "ownerReferences": [owner],
        },
        "spec": spec(pool, seed).manifest(),
    }


def selector(pool: ChallengePool) -> str:
    """The label selector of the pool's instances."""
    return f"{labels.POOL}={pool.metadata.name}"


def _canonical(model: Model, exclude: frozenset[str] = frozenset()) -> str:
    # Defaults are left out, so that a version of the API with more fields comes to the same.
    fields = model.model_dump(
        mode="json", by_alias=True, exclude=set(exclude), exclude_none=True, exclude_defaults=True
    )
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
