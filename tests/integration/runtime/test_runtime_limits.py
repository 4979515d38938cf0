"""Limits that hold for several containers, or that files count for: cgroups, storage, logs."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path

import docker
import pytest

from controller.runtime import containers, labels, usage
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import Engine
from controller.runtime.errors import QuotaUnsupported
from controller.runtime.labels import Owner
from tests.integration.commands import exit_code
from tests.integration.runtime.support import NODE, Inside
from tests.integration.world import until

MIB = 2**20


def cgroup_folder(path: str, file: str) -> Path:
    """The folder of a cgroup that has this file, in the one hierarchy or in the controller's."""
    roots = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup") / file.partition(".")[0]]
    found = [root / path.lstrip("/") for root in roots if (root / path.lstrip("/") / file).exists()]
    return found[0]


def log_sizes(path: str) -> list[int]:
    """The bytes in each file of a container's log, on the engine's own disk."""
    log = Path(path)
    if not log.parent.exists():
        pytest.skip("the engine keeps its files on another machine")
    return [file.stat().st_size for file in log.parent.glob(f"{log.name}*")]


async def test_a_cap_on_the_parent_holds_for_all_containers_below_it(
    engine: Engine,
    owner: Owner,
    network: str,
    echo: ContainerPlan,
    bed_cgroup: str,
    api: docker.APIClient,
) -> None:
    parent = f"{bed_cgroup}/capped"
    plans = [
        replace(echo, name="a", cgroup_parent=parent, pids=64),
        replace(echo, name="b", cgroup_parent=f"{parent}/group", pids=64),
    ]
    for plan in plans:
        await containers.launch(engine, owner, plan, network)
    names = [labels.container_name(owner.uid, plan.name) for plan in plans]

    def another_program(name: str) -> bool:
        return exit_code(api, name, "/echo", "check", "127.0.0.1:8080") == 0

    for name in names:
        await asyncio.to_thread(until, partial(another_program, name))  # once it listens
    folder = cgroup_folder(parent, "pids.max")
    (folder / "pids.max").write_text("2")  # what all containers together may have
    assert [another_program(name) for name in names] == [False, False]
    (folder / "pids.max").write_text("max")
    assert [another_program(name) for name in names] == [True, True]


async def test_what_a_container_writes_is_counted_if_it_has_a_limit(
    engine: Engine,
    owner: Owner,
    network: str,
    installation: str,
    shell: ContainerPlan,
    inside: Inside,
) -> None:
    plans = [
        replace(shell, name="plain"),
        replace(shell, name="large", storage_limit=8 * MIB),
        replace(shell, name="small", storage_limit=2 * MIB),
    ]
    for plan in plans:
        await containers.launch(engine, owner, plan, network)
    name = labels.container_name(owner.uid, "small")
    fill = 'x=$(printf "%1048576s"); for i in 1 2 3; do echo -n "$x"; done > /file'
    assert inside(name, fill) == ""

    found = await usage.written(engine, installation=installation, node=NODE)
    by_name = {each.container: each for each in found}
    assert set(by_name) == {"large", "small"}
    assert (by_name["large"].limit, by_name["small"].limit) == (8 * MIB, 2 * MIB)
    assert by_name["small"].used >= 3 * MIB
    assert by_name["large"].used < MIB
    assert {each.uid for each in found} == {owner.uid}
    assert await usage.written(engine, installation="another", node=NODE) == []


async def test_a_driver_without_quotas_says_so(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan, api: docker.APIClient
) -> None:
    plan = replace(shell, storage_limit=8 * MIB, storage_quota=True)
    try:
        await containers.launch(engine, owner, plan, network)
    except QuotaUnsupported:
        assert api.containers(all=True, filters={"name": owner.uid}) == []
    else:
        made = api.inspect_container(labels.container_name(owner.uid, shell.name))
        assert made["HostConfig"]["StorageOpt"] == {"size": str(8 * MIB)}


async def test_the_log_is_bounded_on_the_nodes_disk(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan, api: docker.APIClient
) -> None:
    script = 'x=$(printf "%1024s"); for i in {1..512}; do echo "$x"; done'
    options = {"max-size": "65536", "max-file": "2"}
    plan = replace(shell, args=("bash", "-c", script), log_options=options)
    await containers.launch(engine, owner, plan, network)
    name = labels.container_name(owner.uid, plan.name)
    await engine.call(lambda client: client.wait(name), effect=False)
    sizes = log_sizes(api.inspect_container(name)["LogPath"])
    assert len(sizes) == 2
    assert sum(sizes) <= 2 * (65536 + 4096)


async def test_a_killed_container_has_ended_paused_or_not(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan
) -> None:
    for plan in (replace(shell, name="runs"), replace(shell, name="rests")):
        await containers.launch(engine, owner, plan, network)
    await containers.pause(engine, labels.container_name(owner.uid, "rests"))
    for name in ("runs", "rests"):
        full = labels.container_name(owner.uid, name)
        await containers.kill(engine, full)
        await engine.call(partial(docker.APIClient.wait, container=full), effect=False)
        assert (await containers.inspect(engine, full)).exit_code == 137
        await containers.kill(engine, full)
    await containers.kill(engine, "no-such-container")
