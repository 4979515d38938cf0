"""A node that is gone for good holds no instance back, whenever that was deleted."""

from pathlib import Path

import pytest

from controller.api.meta import FINALIZER
from hack.bed.bed import Bed
from tests.faults.verdicts import until_told
from tests.faults.worlds import QUICK, Start, Worlds
from tests.integration.plugin import Plugin
from tests.integration.test_pools import challenge, instances, pool
from tests.integration.world import World, container, instance, until

SHORT = {"NODE_LEASE_DURATION": "10", "NODE_LOSS_TIMEOUT": "12", "RESYNC_INTERVAL": "5"}


def delete(world: World, *names: str) -> None:
    """Ask for the deletion of instances, and wait for nothing."""
    world.kubectl("delete", "chinst", *names, "-n", world.namespace, "--wait=false")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["forget-node", "delete"])
def test_instances_can_be_deleted_before_while_and_after_their_node_is_given_up(
    begin: Worlds, controller: Start, bed: Bed, echo_image: str, tmp_path: Path, way: str
) -> None:
    world = begin(role="agent", **SHORT)
    controller("manager", **(QUICK | SHORT))
    names = [f"i{n}" for n in range(12)]
    world.apply(
        challenge(echo_image),
        pool(seeds=["1"], replicas=3),
        *(instance(name, container(echo_image)) for name in names),
    )
    world.wait("Ready", *names)
    until(lambda: len(instances(world)) == len(names) + 3)
    world.controller.kill()

    delete(world, *names[:4])
    until_told(world, dict.fromkeys(names[4:], "NodeLost"))
    delete(world, *names[4:8])
    for name in names[:8]:
        assert FINALIZER in world.get(name)["metadata"]["finalizers"]

    node = bed.node(1).name
    if way == "delete":
        world.kubectl("delete", "chnode", node)
    else:
        plugin = Plugin(bed.kubeconfig, tmp_path / "cache")
        done = until(
            lambda: plugin("forget-node", node, "--yes"), lambda done: done.returncode == 0
        )
        assert "forgotten" in done.stdout
    world.wait("delete", *names[:8])
    messages = until_told(world, dict.fromkeys(names[8:], "Unschedulable"))
    assert "There is no ChallengeNode" in messages[names[8]]

    # They have no node, and the finalizer of the one that they came from.
    delete(world, *names[8:10])
    world.wait("delete", *names[8:10])
    for kind in ("chpool", "chinst"):
        world.kubectl("delete", kind, "--all", "-n", world.namespace, "--timeout=90s")
    assert world.versions() == {}
