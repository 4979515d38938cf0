"""More networks at once than Docker's default address pools allow, which is about 30."""

from collections.abc import Callable

from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.integration.world import World, container, instance

Start = Callable[..., RunningController]

INSTANCES = 33
"""More than the 31 networks that an engine has room for by itself."""


def test_thirty_three_instances_of_two_containers_have_a_network_each_and_leave_none(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, echo_image: str
) -> None:
    running = controller(CONCURRENT_LAUNCHES="4", SPARE_NETWORKS="0")
    world = World(bed, kubectl, namespace, running)
    pair = [container(echo_image, "front"), container(echo_image, "back", ports=[])]
    try:
        world.apply(*(instance(f"pair-{number}", *pair) for number in range(INSTANCES)))
        world.wait("Ready", timeout=400)
        assert len(world.networks()) == INSTANCES
        networks = {each["HostConfig"]["NetworkMode"] for each in world.containers()}
        assert (len(networks), len(world.containers())) == (INSTANCES, 2 * INSTANCES)
    finally:
        world.tell()
        world.delete()
    world.assert_nothing_left()
    assert "NetworkExhausted" not in running.logs()
    assert "Traceback" not in running.logs()
