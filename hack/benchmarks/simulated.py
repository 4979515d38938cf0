"""A cluster of many nodes without any engine: an API server with objects, and Leases kept fresh.

It plays the agents as far as placement can see them: each ChallengeNode is Ready and has room, each
Lease is renewed. Nothing is ever launched.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

from controller.cluster.client import (
    CHALLENGES,
    INSTANCES,
    LEASES,
    MERGE_PATCH,
    NODES,
    Cluster,
    Object,
)
from controller.cluster.lease import micro_time
from controller.manager.scheduler import PARALLEL
from hack.bed.bed import Bed
from hack.bed.cluster import NAMESPACE
from hack.bed.temporary import temporary_bed

RENEWAL = 10.0
"""Seconds between two renewals of a Lease, as an agent's."""
CHALLENGE_COUNT = 20
USERS = 500
TEAM = "default"


@contextmanager
def control_plane() -> Iterator[Bed]:
    """A bed with a control plane and no engine, taken down at the end."""
    with temporary_bed("bench") as bed:
        bed.start_control_plane()
        yield bed


def node_name(number: int) -> str:
    """The name of a simulated node, counted from 0."""
    return f"node-{number:03}"


def instance_name(number: int) -> str:
    """The name of an instance, counted from 0; a LIST gives them in this order."""
    return f"instance-{number:05}"


async def in_parallel(work: Iterable[Callable[[], Awaitable[Any]]]) -> None:
    """Do all of it, as many at a time as the manager places, each once another one is done."""
    left = iter(work)

    async def take() -> None:
        for each in left:
            await each()

    await asyncio.gather(*(take() for _ in range(PARALLEL)))


async def create_world(cluster: Cluster, *, nodes: int, instances: int) -> None:
    """Create nodes, Challenges and instances that no node has yet."""
    for number in range(nodes):
        await _create_node(cluster, node_name(number))
    for number in range(CHALLENGE_COUNT):
        await cluster.create(CHALLENGES, _challenge(number), TEAM)
    await create_instances(cluster, range(instances))


async def create_instances(cluster: Cluster, numbers: Iterable[int]) -> None:
    """Create instances of these numbers."""
    bodies = (_instance(number) for number in numbers)
    await in_parallel(partial(cluster.create, INSTANCES, body, TEAM) for body in bodies)


@asynccontextmanager
async def leases_renewed(cluster: Cluster, nodes: int) -> AsyncIterator[None]:
    """Renew the Lease of every node while the body runs."""
    renewing = asyncio.create_task(_renew(cluster, nodes))
    try:
        yield
    finally:
        renewing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await renewing


async def patch_status(cluster: Cluster, name: str, status: Object) -> Object:
    """One raw PATCH of an instance's status, as any client would send it."""
    path = INSTANCES.path(name, TEAM, "status")
    return await cluster.request("PATCH", path, {"status": status}, content_type=MERGE_PATCH)


def condition(kind: str) -> Object:
    """A condition that is True since now."""
    return {
        "type": kind,
        "status": "True",
        "reason": kind,
        "message": "",
        "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def template(number: int) -> Object:
    """A template with all that one usually has."""
    container = {
        "name": "web",
        "image": f"registry.example.org/ctf/challenge-{number % CHALLENGE_COUNT}:1.0",
        "ports": [{"name": "http", "containerPort": 8080, "appProtocol": "http"}],
        "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}},
        "readinessProbe": {"tcpSocket": {"port": "http"}},
    }
    return {"containers": [container]}


async def _create_node(cluster: Cluster, name: str) -> None:
    spec = {"launchConcurrency": 64}  # room for 512 that are not launched: nobody launches here
    body = await cluster.create(NODES, {"metadata": {"name": name}, "spec": spec})
    much = {"instances": 5000, "ports": 20000, "memory": 2**44}
    status = {"observedGeneration": 1, "conditions": [condition("Ready")], "allocatable": much}
    await cluster.replace(NODES, {**body, "status": status}, subresource="status")
    lease = {"metadata": {"name": f"node-{name}"}, "spec": _lease(name)}
    await cluster.create(LEASES, lease, NAMESPACE)


async def _renew(cluster: Cluster, nodes: int) -> None:
    while True:
        for number in range(nodes):
            name = node_name(number)
            await cluster.merge(LEASES, f"node-{name}", {"spec": _lease(name)}, NAMESPACE)
            await asyncio.sleep(RENEWAL / nodes)


def _lease(holder: str) -> dict[str, Any]:
    renewed = micro_time(datetime.now(UTC))
    return {"holderIdentity": holder, "leaseDurationSeconds": 40, "renewTime": renewed}


def _challenge(number: int) -> Object:
    spec = {"template": template(number), "ttl": {"default": "1h", "maximum": "4h"}}
    return {"metadata": {"name": f"challenge-{number}"}, "spec": spec}


def _instance(number: int) -> Object:
    spec = {
        "challengeRef": {"name": f"challenge-{number % CHALLENGE_COUNT}"},
        "user": f"team-{number % USERS}",
        "seed": str(number),
    }
    return {"metadata": {"name": instance_name(number)}, "spec": spec}
