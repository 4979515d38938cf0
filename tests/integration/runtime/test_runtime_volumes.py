"""Volumes on a real engine: shared between containers, bounded, and gone without a trace."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from controller.runtime import containers, labels, volumes
from controller.runtime.containers import ContainerPlan, Mount
from controller.runtime.engine import Engine
from controller.runtime.errors import Conflict
from controller.runtime.folders import File, Folder, FolderOwner, Folders
from controller.runtime.labels import Owner
from tests.integration.runtime.support import Inside

SIZE = 1024 * 1024

Launch = Callable[[ContainerPlan], Awaitable[str]]


@pytest.fixture
def launch(engine: Engine, owner: Owner, network: str) -> Launch:
    """`launch(plan)` on the instance's network; returns the container's name."""

    async def run(plan: ContainerPlan) -> str:
        await containers.launch(engine, owner, plan, network)
        return labels.container_name(owner.uid, plan.name)

    return run


async def test_a_memory_volume_is_shared_bounded_and_removed(
    engine: Engine, owner: Owner, launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    mount = volumes.memory_volume(owner, "cache", "/cache", size=SIZE)
    seen = volumes.memory_volume(owner, "cache", "/seen", size=SIZE, read_only=True)
    first = await launch(replace(shell, name="first", user="1234", mounts=(mount,)))
    second = await launch(replace(shell, name="second", mounts=(seen,)))

    assert inside(first, "echo shared > /cache/file && cat /cache/file") == "shared"
    assert inside(second, "cat /seen/file") == "shared"
    assert "Read-only file system" in inside(second, "echo > /seen/file")
    full = inside(first, "for i in {1..300}; do printf '%08192d' 0; done > /cache/big")
    assert "No space left on device" in full
    line = inside(first, "cat /proc/mounts").partition(" /cache ")[2]
    assert line.startswith("tmpfs ")
    assert "size=1024k" in line
    assert {"nosuid", "nodev"} <= set(line.split()[1].split(","))

    # One of the two is started again: the other has kept the volume meanwhile.
    await containers.remove(engine, second, stop_timeout=0)
    second = await launch(replace(shell, name="second", mounts=(seen,)))
    assert inside(second, "cat /seen/file") == "shared"

    (found,) = await volumes.list_volumes(
        engine, installation=owner.installation, node=owner.node, uid=owner.uid
    )
    assert found.name == labels.volume_name(owner.uid, "cache")
    assert (found.uid, found.labels[labels.INSTANCE_NAME]) == (owner.uid, owner.name)
    with pytest.raises(Conflict):
        await volumes.remove_volume(engine, found.name)
    for name in (first, second):
        await containers.remove(engine, name, stop_timeout=0)
    await volumes.remove_volume(engine, found.name)
    await volumes.remove_volume(engine, found.name)
    assert await volumes.list_volumes(engine, installation=owner.installation) == []


async def test_a_memory_volume_lasts_as_long_as_one_of_its_containers_runs(
    engine: Engine,
    owner: Owner,
    launch: Launch,
    shell: ContainerPlan,
    inside: Inside,
    api: docker.APIClient,
) -> None:
    mount = volumes.memory_volume(owner, "cache", "/cache", size=SIZE)
    name = await launch(replace(shell, read_only=True, mounts=(mount,)))
    assert inside(name, "echo kept > /cache/file && cat /cache/file") == "kept"
    await containers.pause(engine, name)
    await containers.unpause(engine, name)
    assert inside(name, "cat /cache/file") == "kept"
    await containers.kill(engine, name)
    await engine.call(lambda client: client.wait(name), effect=False)
    await containers.kill(engine, name)
    assert api.inspect_container(name)["State"]["ExitCode"] == 137
    await containers.start(engine, name)
    assert inside(name, "cat /cache/*") == "cat: '/cache/*': No such file or directory"
    await containers.remove(engine, name, stop_timeout=0)
    await volumes.remove_volume(engine, labels.volume_name(owner.uid, "cache"))


async def test_the_flags_folder_is_seen_without_a_way_to_write_it(
    owner: Owner, launch: Launch, shell: ContainerPlan, inside: Inside, tmp_path: Path
) -> None:
    folders = Folders(tmp_path / "instances")
    files = (File("flag", b"flag{1}", 0o444), File("root", b"flag{2}", 0o400))
    content = (Folder("identity/shell", 0o755, files), Folder("volumes/data", 0o777))
    folders.create(FolderOwner(owner.uid, owner.namespace, owner.name), content)
    made = folders.path(owner.uid)
    mounts = (
        Mount("bind", str(made / "identity/shell"), "/run/challenge", read_only=True),
        Mount("bind", str(made / "volumes/data"), "/run"),
    )
    plan = replace(shell, user="1234", read_only=True, mounts=mounts)
    name = await launch(plan)
    assert inside(name, "cat /run/challenge/flag") == "flag{1}"
    assert "Permission denied" in inside(name, "cat /run/challenge/root")
    assert "Read-only file system" in inside(name, "echo > /run/challenge/new")
    assert inside(name, "echo written > /run/file && cat /run/file") == "written"
    assert (made / "volumes/data/file").stat().st_uid == 1234
