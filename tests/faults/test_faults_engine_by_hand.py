"""What somebody does to containers and networks by hand, with `docker`, is put right.

By the instance's own reconcile, on the ports that it has; what was not touched runs on.
"""

import uuid
from collections.abc import Iterator

import docker
import pytest

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.foreign import remove_from_engine
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.faults import engines
from tests.faults.engines import pair, single, wait_until_well
from tests.faults.worlds import QUICK
from tests.integration.world import World, until


@pytest.fixture(scope="module")
def of_all(bed: Bed, kubectl: Kubectl, echo_image: str) -> Iterator[World]:
    """A controller with an instance of one container and one of two; nothing is left at the end."""
    env = {f"CHALLENGE_{key}": value for key, value in QUICK.items()}
    controller = RunningController.start(bed, "engine-by-hand", env=env)
    try:
        bed.wait_for_controller(controller.name)
        namespace = f"test-{uuid.uuid4().hex[:8]}"
        kubectl("create", "namespace", namespace)
        world = World(bed, kubectl, namespace, controller)
        world.apply(single(echo_image, "single"), pair(echo_image, "pair"))
        yield world
        world.delete()
        world.assert_nothing_left()
        assert "Traceback" not in controller.logs()
    finally:
        controller.stop()
        remove_from_engine(bed.docker_host, bed.state.name)


@pytest.fixture
def both(of_all: World) -> Iterator[World]:
    """The two instances, which are up."""
    wait_until_well(of_all)
    yield of_all
    of_all.tell()


@pytest.fixture
def api(both: World) -> Iterator[docker.APIClient]:
    """`docker`, as somebody uses it on the node."""
    with both.docker() as client:
        yield client


def state(world: World, container_id: str) -> str:
    """The state of a container; empty when there is none."""
    return next((c["State"] for c in world.containers() if c["Id"] == container_id), "")


def network_of(api: docker.APIClient, name: str) -> str:
    """The network that a container was made on."""
    return str(api.inspect_container(name)["HostConfig"]["NetworkMode"])


def test_removed_containers_come_back_on_their_ports(both: World, api: docker.APIClient) -> None:
    ports, ids = engines.ports(both), engines.ids(both)
    gone = {("single", "echo"), ("pair", "front")}
    for name in gone:
        api.remove_container(ids[name], force=True, v=True)
    until(lambda: set(engines.ids(both).values()) & {ids[name] for name in gone}, lambda s: not s)
    wait_until_well(both)
    assert engines.ports(both) == ports
    assert engines.ids(both)["pair", "back"] == ids["pair", "back"], "the other one runs on"


def test_renamed_containers_are_still_their_instances(both: World, api: docker.APIClient) -> None:
    ports, ids, before = engines.ports(both), engines.ids(both), engines.restarts(both)
    api.rename(ids["single", "echo"], "somebody-elses")
    api.rename(ids["pair", "front"], "another-front")
    api.kill(ids["single", "echo"])
    until(lambda: engines.restarts(both), lambda n: n == before + 1)
    wait_until_well(both)
    assert engines.ids(both) == ids
    # What is launched anew beside it has to find the one with the other name.
    api.remove_container(ids["pair", "back"], force=True)
    until(lambda: ids["pair", "back"] in engines.ids(both).values(), lambda there: not there)
    wait_until_well(both)
    assert engines.ports(both) == ports


def test_ended_containers_are_started_again_and_counted(both: World, api: docker.APIClient) -> None:
    ports, ids, before = engines.ports(both), engines.ids(both), engines.restarts(both)
    api.kill(ids["single", "echo"])
    api.stop(ids["pair", "back"], timeout=1)
    until(lambda: engines.restarts(both), lambda n: n == before + 2)
    wait_until_well(both)
    assert (engines.ports(both), engines.ids(both)) == (ports, ids)


def test_paused_ones_go_on_and_suspended_ones_rest(both: World, api: docker.APIClient) -> None:
    ports, ids = engines.ports(both), engines.ids(both)
    single, back = ids["single", "echo"], ids["pair", "back"]
    patch = '{"spec":{"suspended":true}}'
    both.kubectl("patch", "chinst", "single", "-n", both.namespace, "--type=merge", "-p", patch)
    both.wait("Suspended", "single")
    with engines.watching(both.bed.engine(), "pause") as paused:
        api.unpause(single)
        api.pause(back)
        assert {next(paused)["Actor"]["ID"] for _ in range(2)} == {single, back}
    until(lambda: (state(both, single), state(both, back)), lambda s: s == ("paused", "running"))
    both.kubectl(
        "patch", "chinst", "single", "-n", both.namespace, "--type=merge", "-p",
        patch.replace("true", "false"),
    )  # fmt: skip
    wait_until_well(both)
    assert (engines.ports(both), engines.ids(both)) == (ports, ids)


def test_containers_without_their_network_are_made_anew(both: World, api: docker.APIClient) -> None:
    """A network is removed by hand only after all that run on it were cut off."""
    ports, ids = engines.ports(both), engines.ids(both)
    shared = network_of(api, ids["single", "echo"])
    own = network_of(api, ids["pair", "front"])
    for name in (("pair", "front"), ("pair", "back")):
        api.disconnect_container_from_network(ids[name], own, force=True)
    api.remove_network(own)
    api.disconnect_container_from_network(ids["single", "echo"], shared, force=True)
    until(lambda: ids["single", "echo"] in engines.ids(both).values(), lambda there: not there)
    wait_until_well(both)
    assert engines.ports(both) == ports


def test_stopped_ones_whose_network_was_removed_are_made_anew(
    both: World, api: docker.APIClient
) -> None:
    """The shared bridge too can go when nothing runs on it."""
    ports, ids = engines.ports(both), engines.ids(both)
    networks = {network_of(api, each) for each in ids.values()}
    assert len(networks) == 2
    both.controller.freeze()
    try:
        for each in ids.values():
            api.stop(each, timeout=0)
        for name in networks:
            api.remove_network(name)
    finally:
        both.controller.thaw()
    until(lambda: set(engines.ids(both).values()) & set(ids.values()), lambda left: not left)
    wait_until_well(both)
    assert engines.ports(both) == ports


def test_what_is_nobodys_of_ours_is_left_alone(both: World, api: docker.APIClient) -> None:
    """A container with a name of ours and no label is not ours; nor is another installation's."""
    ids = engines.ids(both)
    front = engines.name_of(both, "pair", "front")
    image = api.inspect_container(ids["pair", "front"])["Config"]["Image"]
    made = [
        api.create_container(image, name=f"{front}-copy")["Id"],
        api.create_container(image, labels={labels.INSTALLATION: "another"})["Id"],
    ]
    try:
        api.remove_container(ids["pair", "front"], force=True)
        until(lambda: ids["pair", "front"] in engines.ids(both).values(), lambda there: not there)
        wait_until_well(both)
        assert [api.inspect_container(each)["State"]["Status"] for each in made] == ["created"] * 2
    finally:
        for each in made:
            api.remove_container(each, force=True)
