"""Networks are made once, keep strangers apart, and go without a trace."""

from dataclasses import replace
from ipaddress import IPv4Network

import docker
import pytest
from docker import types

from controller.runtime import containers, labels, networks
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import Engine
from controller.runtime.errors import Conflict, NetworkExhausted, SubnetTaken
from controller.runtime.labels import Owner
from tests.integration.runtime.support import NODE, Inside, new_owner

CONNECT = (
    "timeout {} bash -c 'until exec 3<>/dev/tcp/{}/9000; do sleep 0.1; done' && echo connected"
)


async def test_an_instances_network_has_the_subnet_and_says_what_it_is(
    engine: Engine, owner: Owner, subnet: IPv4Network, api: docker.APIClient
) -> None:
    name = await networks.ensure_own_network(engine, owner, subnet)
    assert name == labels.own_network_name(owner.installation, subnet)
    (found,) = await networks.list_networks(engine, installation=owner.installation, node=NODE)
    assert (found.name, found.kind, found.egress, found.subnet, found.node) == (
        name,
        "instance",
        "None",
        subnet,
        NODE,
    )
    options = api.inspect_network(name)["Options"]
    assert options["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    link = labels.bridge_name(owner.installation, "instance", "None", name)
    assert options["com.docker.network.bridge.name"] == link
    assert await networks.list_networks(engine, installation=owner.installation, node="n2") == []


async def test_a_network_that_is_there_is_adopted_unless_another_instance_is_on_it(
    engine: Engine, owner: Owner, subnet: IPv4Network, api: docker.APIClient, shell: ContainerPlan
) -> None:
    name = await networks.ensure_own_network(engine, owner, subnet)
    first = api.inspect_network(name)["Id"]
    assert await networks.is_clean(engine, name)
    made = await containers.launch(engine, owner, shell, name)
    assert not await networks.is_clean(engine, name)
    await networks.ensure_own_network(engine, owner, subnet)
    assert api.inspect_network(name)["Id"] == first
    other = new_owner(owner.installation)
    assert await networks.ensure_own_network(engine, other, subnet) == name
    assert api.inspect_network(name)["Id"] != first
    assert (await containers.inspect(engine, made)).addresses == {}
    await networks.remove_network(engine, name)
    assert not await networks.is_clean(engine, name)


async def test_a_network_of_that_name_with_another_subnet_is_replaced(
    engine: Engine, owner: Owner, subnet: IPv4Network, api: docker.APIClient
) -> None:
    half = next(subnet.subnets())  # the same first address, so the same name
    first = await networks.ensure_own_network(engine, owner, half)
    assert await networks.ensure_own_network(engine, owner, subnet) == first
    (found,) = await networks.list_networks(engine, installation=owner.installation)
    assert found.subnet == subnet


async def test_duplicates_that_another_client_made_are_replaced_by_one(
    engine: Engine, owner: Owner, subnet: IPv4Network, api: docker.APIClient
) -> None:
    name = labels.own_network_name(owner.installation, subnet)
    ours = owner.labels()
    for pool in subnet.subnets():
        ipam = types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=str(pool))])
        api.create_network(name, driver="bridge", ipam=ipam, labels=ours)
    assert len(api.networks(names=[name])) == 2
    await networks.ensure_own_network(engine, owner, subnet)
    (left,) = api.networks(names=[name])
    assert left["IPAM"]["Config"][0]["Subnet"] == str(subnet)
    await networks.remove_network(engine, name)


async def test_duplicates_are_all_removed(
    engine: Engine, owner: Owner, subnet: IPv4Network, api: docker.APIClient
) -> None:
    name = labels.own_network_name(owner.installation, subnet)
    for pool in subnet.subnets():
        ipam = types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=str(pool))])
        api.create_network(name, driver="bridge", ipam=ipam, labels=owner.labels())
    await networks.remove_network(engine, name)
    assert api.networks(names=[name]) == []


async def test_somebody_elses_network_of_that_name_is_left_alone(
    engine: Engine, owner: Owner, subnet: IPv4Network, api: docker.APIClient
) -> None:
    name = labels.own_network_name(owner.installation, subnet)
    ipam = types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=str(subnet))])
    made = api.create_network(name, driver="bridge", ipam=ipam)["Id"]
    try:
        with pytest.raises(Conflict):
            await networks.ensure_own_network(engine, owner, subnet)
        assert api.inspect_network(made)["Name"] == name
    finally:
        api.remove_network(made)


async def test_a_subnet_in_use_is_told_apart(
    engine: Engine, installation: str, owner: Owner, subnet: IPv4Network
) -> None:
    await networks.ensure_own_network(engine, owner, subnet)
    with pytest.raises(SubnetTaken):
        await networks.ensure_own_network(engine, owner, subnet, egress=labels.EGRESS_INTERNET)


async def test_a_full_subnet_is_exhausted(
    engine: Engine, installation: str, owner: Owner, subnet: IPv4Network, shell: ContainerPlan
) -> None:
    # Of the four addresses three are the network's, the gateway's and the broadcast's.
    tiny = next(subnet.subnets(new_prefix=30))
    name = await networks.ensure_own_network(engine, owner, tiny)
    await containers.launch(engine, owner, shell, name)
    with pytest.raises(NetworkExhausted):
        await containers.launch(engine, owner, replace(shell, name="second"), name)


async def test_removal_cuts_off_containers_and_can_be_repeated(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan, api: docker.APIClient
) -> None:
    made = await containers.launch(engine, owner, shell, network)
    await networks.remove_network(engine, network)
    await networks.remove_network(engine, network)
    assert api.networks(names=[network]) == []
    assert (await containers.inspect(engine, made)).addresses == {}


async def test_neighbours_on_a_shared_network_do_not_reach_each_other(
    engine: Engine,
    installation: str,
    owner: Owner,
    subnet: IPv4Network,
    echo: ContainerPlan,
    shell: ContainerPlan,
    inside: Inside,
) -> None:
    assert networks.bridge_nf_enabled()
    name = await networks.ensure_shared_network(engine, installation, NODE, 0, subnet)
    again = await networks.ensure_shared_network(engine, installation, NODE, 0, subnet)
    assert name == again == labels.shared_network_name(installation, 0)
    server, neighbour = owner, new_owner(installation)
    await containers.launch(engine, server, echo, name)
    await containers.launch(engine, neighbour, shell, name)
    where = await containers.inspect(engine, labels.container_name(server.uid, "echo"))
    attempt = CONNECT.format(1, where.addresses[name])
    assert "connected" not in inside(labels.container_name(neighbour.uid, "shell"), attempt)


async def test_a_shared_network_of_another_range_is_left_to_its_containers_and_then_replaced(
    engine: Engine,
    installation: str,
    owner: Owner,
    subnet: IPv4Network,
    shell: ContainerPlan,
) -> None:
    earlier, later = subnet.subnets()
    name = await networks.ensure_shared_network(engine, installation, NODE, 0, earlier)
    made = await containers.launch(engine, owner, shell, name)
    with pytest.raises(SubnetTaken):
        await networks.ensure_shared_network(engine, installation, NODE, 0, later)
    assert (await containers.inspect(engine, made)).addresses.keys() == {name}
    await containers.remove(engine, made, stop_timeout=0)
    assert await networks.ensure_shared_network(engine, installation, NODE, 0, later) == name
    (found,) = await networks.list_networks(engine, installation=installation)
    assert found.subnet == later


async def test_subnets_that_a_user_wrote_with_host_bits_are_seen(
    engine: Engine, subnet: IPv4Network, api: docker.APIClient
) -> None:
    ipam = types.IPAMConfig(pool_configs=[types.IPAMPool(subnet=f"{subnet[1]}/28")])
    made = api.create_network("somebodys", driver="bridge", ipam=ipam)["Id"]
    try:
        assert subnet in await networks.all_subnets(engine)
    finally:
        api.remove_network(made)


async def test_the_same_attempt_succeeds_on_a_network_of_their_own(
    engine: Engine,
    owner: Owner,
    network: str,
    echo: ContainerPlan,
    shell: ContainerPlan,
    inside: Inside,
) -> None:
    await containers.launch(engine, owner, echo, network)
    await containers.launch(engine, owner, shell, network)
    where = await containers.inspect(engine, labels.container_name(owner.uid, "echo"))
    attempt = CONNECT.format(60, where.addresses[network])
    assert "connected" in inside(labels.container_name(owner.uid, "shell"), attempt)
