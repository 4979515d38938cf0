"""What a Challenge's status tells its author: how often it is used, and where its images are."""

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest

from controller.api.challenge import ChallengeStatus
from controller.api.node import ChallengeNode
from controller.cluster.client import CHALLENGES
from controller.manager.declared import Declared
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import node_body, template


def node(name: str, *images: str, ready: str = "True") -> ChallengeNode:
    body = node_body(name, ready=ready)
    body["status"]["images"] = list(images)
    return ChallengeNode.model_validate(body)


async def settled(
    *nodes: ChallengeNode, status: dict[str, Any] | None = None, **spec: Any
) -> ChallengeStatus:
    """The status of a Challenge of the image img:1 with these nodes."""
    cluster = FakeCluster()
    body = cluster.put(
        CHALLENGES,
        {
            "metadata": {"name": "web", "namespace": "team", "uid": "c-1"},
            "spec": {"template": template()} | spec,
            "status": status or {},
        },
    )
    declared = Declared(cluster, lambda: Counter({"team/web": 2}), lambda: list(nodes))
    declared.observe(CHALLENGES, body, deleted=False)
    written = asyncio.Event()

    async def wrote(method: str, path: str) -> None:
        if method == "PUT":
            asyncio.get_running_loop().call_soon(written.set)

    cluster.before = wrote
    task = asyncio.create_task(declared.run())
    async with asyncio.timeout(30):
        await written.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return ChallengeStatus.model_validate(cluster.read(CHALLENGES, "web", "team")["status"])


def pre_pulled(status: ChallengeStatus) -> tuple[str | None, str, str, str]:
    (found,) = [c for c in status.conditions if c.type == "PrePulled"]
    return status.pre_pulled, found.status, found.reason, found.message


async def test_without_pre_pull_nothing_is_told_of_images() -> None:
    status = await settled(node("n1"))
    assert (status.pre_pulled, status.instances) == (None, 2)
    assert [c.type for c in status.conditions] == ["Ready"]


async def test_every_node_counts_ready_or_not() -> None:
    """One that comes back without the image is what its author wants to know of."""
    status = await settled(node("n1", "img:1", "x:1"), node("n2", ready="Unknown"), prePull=True)
    assert pre_pulled(status) == (
        "1/2 nodes",
        "False",
        "PullingImage",
        "n2 has not got img:1",
    )


async def test_when_all_have_them_it_is_so() -> None:
    status = await settled(node("n1", "img:1"), node("n2", "img:1"), prePull=True)
    assert pre_pulled(status) == ("2/2 nodes", "True", "PrePulled", "")


async def test_a_few_nodes_are_named_and_the_others_counted() -> None:
    status = await settled(*(node(f"n{number}") for number in range(5)), prePull=True)
    words = "n0 has not got img:1; n1 has not got img:1; n2 has not got img:1; 2 more nodes"
    assert pre_pulled(status) == ("0/5 nodes", "False", "PullingImage", words)


@pytest.mark.parametrize("wanted", [True, False])
async def test_what_was_told_goes_when_it_is_asked_for_no_more(wanted: bool) -> None:
    told = {
        "prePulled": "1/1 nodes",
        "conditions": [
            {
                "type": "PrePulled",
                "status": "True",
                "reason": "PrePulled",
                "message": "",
                "lastTransitionTime": "2026-01-31T12:00:00Z",
            }
        ],
    }
    status = await settled(node("n1", "img:1"), status=told, prePull=wanted)
    assert (status.pre_pulled is not None) is wanted
    assert ("PrePulled" in [c.type for c in status.conditions]) is wanted


async def test_without_a_node_it_says_so() -> None:
    assert pre_pulled(await settled(prePull=True))[0] == "0/0 nodes"
