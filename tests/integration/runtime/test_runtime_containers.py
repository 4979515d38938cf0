"""A container is launched once, whatever was there before, and leaves nothing when it goes."""

import asyncio
from dataclasses import replace

import docker
import pytest

from controller.runtime import containers, labels
from controller.runtime.containers import ContainerPlan, PortBinding
from controller.runtime.engine import Engine
from controller.runtime.errors import Conflict, EngineError, ImageNotFound, NotFound, PortTaken
from controller.runtime.labels import Owner
from tests.integration.runtime.support import NODE, ForeignListener, Inside, new_owner
from tests.integration.world import until


def _port(number: int) -> tuple[PortBinding, ...]:
    return (PortBinding(8080, "tcp", number, "0.0.0.0"),)


async def test_a_launched_container_runs_with_its_labels_and_address(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    plan = replace(echo, bindings=_port(21001))
    made = await containers.launch(engine, owner, plan, network, aliases=["echo"])
    state = await containers.inspect(engine, labels.container_name(owner.uid, "echo"))
    assert (state.id, state.state, state.container) == (made, "running", "echo")
    assert (state.uid, state.template_hash) == (owner.uid, "hash-1")
    assert state.network == network
    assert state.addresses[network].startswith("10.219.")
    assert state.bindings == plan.bindings
    assert state.exit_code is None
    assert state.started_at is not None
    assert state.finished_at is None


async def test_launching_twice_adopts_the_first(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    first = await containers.launch(engine, owner, echo, network)
    assert await containers.launch(engine, owner, echo, network) == first


async def test_a_container_that_was_only_created_is_adopted(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    first = await containers.create(engine, owner, echo, network)
    assert await containers.launch(engine, owner, echo, network) == first
    assert (await containers.inspect(engine, first)).running


@pytest.mark.parametrize("change", ["template", "ports", "ended"])
async def test_one_that_does_not_fit_is_replaced(
    change: str, engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    first = await containers.launch(engine, owner, replace(echo, bindings=_port(21002)), network)
    plan, again = replace(echo, bindings=_port(21002)), owner
    if change == "template":
        again = replace(owner, template_hash="hash-2")
    elif change == "ports":
        plan = replace(echo, bindings=_port(21003))
    else:
        await engine.call(lambda client: client.kill(first), effect=True)
        await engine.call(lambda client: client.wait(first), effect=False)
    second = await containers.launch(engine, again, plan, network)
    assert second != first
    state = await containers.inspect(engine, second)
    assert state.running
    assert (state.template_hash, state.bindings) == (again.template_hash, plan.bindings)
    with pytest.raises(NotFound):
        await containers.inspect(engine, first)


async def test_somebody_elses_container_of_that_name_is_left_alone(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    other = replace(owner, installation="somebody-else")
    first = await containers.create(engine, other, echo, network)
    try:
        with pytest.raises(Conflict, match="already in use"):
            await containers.launch(engine, owner, echo, network)
        assert (await containers.inspect(engine, first)).id == first
    finally:
        await containers.remove(engine, first, stop_timeout=0)


async def test_many_launches_at_once_make_one_container(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    made = await asyncio.gather(
        *(containers.launch(engine, owner, echo, network) for _ in range(5))
    )
    assert len(set(made)) == 1


async def test_removal_takes_the_anonymous_volume_along_and_can_be_repeated(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan, api: docker.APIClient
) -> None:
    made = await containers.launch(engine, owner, shell, network)
    volumes = [mount["Name"] for mount in api.inspect_container(made)["Mounts"]]
    assert len(volumes) == 1
    name = labels.container_name(owner.uid, "shell")
    await containers.remove(engine, name, stop_timeout=0)
    await containers.remove(engine, name, stop_timeout=0)
    left = [volume["Name"] for volume in api.volumes()["Volumes"] or []]
    assert volumes[0] not in left
    assert await containers.list_containers(engine, installation=owner.installation) == []


async def test_removals_at_once_all_end_with_the_container_gone(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan, api: docker.APIClient
) -> None:
    made = await containers.launch(engine, owner, shell, network)
    name = labels.container_name(owner.uid, "shell")

    async def removed(name_or_id: str) -> None:
        await containers.remove(engine, name_or_id, stop_timeout=0)
        with pytest.raises(docker.errors.NotFound):
            api.inspect_container(made)

    # By id and by name: the engine, not our queue for one name, has to keep them apart.
    await asyncio.gather(*(removed(each) for each in (made, name, made[:20])))


async def test_a_graceful_removal_lets_the_process_end_also_when_it_is_paused(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan, api: docker.APIClient
) -> None:
    script = "trap 'echo bye; exit 3' TERM; echo set; while :; do sleep 0.1; done"
    plan = replace(shell, args=("bash", "-c", script))
    made = await containers.launch(engine, owner, plan, network)
    await asyncio.to_thread(until, lambda: b"set" in api.logs(made))
    await containers.pause(engine, made)
    await containers.pause(engine, made)
    assert (await containers.inspect(engine, made)).state == "paused"
    seen: list[int] = []
    watch = asyncio.create_task(
        engine.call(lambda client: seen.append(client.wait(made)["StatusCode"]), effect=False)
    )
    await containers.remove(engine, made, stop_timeout=60)
    await watch
    assert seen == [3]


async def test_pause_and_unpause_can_be_repeated(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan
) -> None:
    made = await containers.launch(engine, owner, shell, network)
    await containers.unpause(engine, made)
    await containers.pause(engine, made)
    await containers.unpause(engine, made)
    assert (await containers.inspect(engine, made)).running


async def test_a_list_has_only_what_was_asked_for_in_every_state(
    engine: Engine, installation: str, network: str, owner: Owner, shell: ContainerPlan
) -> None:
    other = new_owner(installation)
    running = await containers.launch(engine, owner, shell, network)
    created = await containers.create(engine, other, shell, network)
    both = await containers.list_containers(engine, installation=installation, node=NODE)
    assert {(each.id, each.state) for each in both} == {(running, "running"), (created, "created")}
    one = await containers.list_containers(engine, installation=installation, uid=other.uid)
    assert [each.id for each in one] == [created]
    assert one[0].name == labels.container_name(other.uid, "shell")
    assert await containers.list_containers(engine, installation=installation, node="n2") == []
    assert await containers.list_containers(engine, installation="none") == []


async def test_an_ended_container_tells_its_exit_code_and_last_lines(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan
) -> None:
    plan = replace(shell, args=("bash", "-c", "echo one; echo two; printf '\\xff'; exit 7"))
    made = await containers.launch(engine, owner, plan, network)
    await engine.call(lambda client: client.wait(made), effect=False)
    state = await containers.inspect(engine, made)
    assert (state.state, state.exit_code, state.oom_killed) == ("exited", 7, False)
    assert state.finished_at is not None
    assert (await containers.logs_tail(engine, made, 2)) == "two\n\ufffd"


async def test_a_missing_image_is_named(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan
) -> None:
    with pytest.raises(ImageNotFound) as caught:
        await containers.launch(engine, owner, replace(shell, image="no-such:image"), network)
    assert caught.value.image == "no-such:image"
    assert caught.value.message == "No such image: no-such:image"


async def test_a_missing_network_is_no_missing_image(
    engine: Engine, owner: Owner, shell: ContainerPlan
) -> None:
    with pytest.raises(NotFound) as caught:
        await containers.launch(engine, owner, shell, "no-such-network")
    assert not isinstance(caught.value, ImageNotFound)
    assert "no-such-network" in caught.value.message


async def test_a_command_that_is_not_there_is_told_in_the_engines_words(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan
) -> None:
    plan = replace(shell, command=("/no/such/program",))
    with pytest.raises(EngineError, match="/no/such/program") as caught:
        await containers.launch(engine, owner, plan, network)
    assert "http" not in caught.value.message.lower()
    assert "Error(" not in caught.value.message


async def test_a_port_of_another_container_is_named_as_taken(
    engine: Engine, installation: str, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    plan = replace(echo, bindings=_port(21010))
    await containers.launch(engine, owner, plan, network)
    with pytest.raises(PortTaken) as caught:
        await containers.launch(engine, new_owner(installation), plan, network)
    assert caught.value.port == 21010


@pytest.mark.parametrize(("protocol", "number"), [("tcp", 21011), ("udp", 21012)])
async def test_a_port_of_a_foreign_program_is_named_as_taken(
    protocol: str,
    number: int,
    engine: Engine,
    owner: Owner,
    network: str,
    echo: ContainerPlan,
    foreign_listener: ForeignListener,
) -> None:
    foreign_listener(protocol, number)
    plan = replace(echo, bindings=(PortBinding(8080, protocol, number, "0.0.0.0"),))
    with pytest.raises(PortTaken) as caught:
        await containers.launch(engine, owner, plan, network)
    assert caught.value.port == number


async def test_containers_of_one_network_find_each_other_by_name(
    engine: Engine,
    owner: Owner,
    network: str,
    echo: ContainerPlan,
    shell: ContainerPlan,
    inside: Inside,
) -> None:
    await containers.launch(engine, owner, replace(echo, name="db"), network, aliases=["db"])
    await containers.launch(engine, owner, shell, network, aliases=["shell"])
    name = labels.container_name(owner.uid, "shell")
    script = "for i in {1..600}; do exec 3<>/dev/tcp/db/9000 && break; sleep 0.1; done; cat <&3"
    assert '"' in inside(name, script)
