"""Every option of a plan, seen in force from inside the container or in the kernel's files."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from controller.runtime import containers, labels
from controller.runtime.containers import ContainerPlan, Mount, PortBinding, Ulimit
from controller.runtime.engine import Engine
from controller.runtime.labels import Owner
from tests.integration.runtime.support import Inside
from tests.integration.world import until

MEMORY = 64 * 1024 * 1024
NO_CHMOD = (
    '{"defaultAction":"SCMP_ACT_ALLOW",'
    '"syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}'
)

Launch = Callable[[ContainerPlan], Awaitable[str]]


@pytest.fixture
def launch(engine: Engine, owner: Owner, network: str) -> Launch:
    """`launch(plan)` on the instance's network; returns the container's name."""

    async def run(plan: ContainerPlan) -> str:
        await containers.launch(engine, owner, plan, network)
        return labels.container_name(owner.uid, plan.name)

    return run


async def test_a_plain_plan_gets_the_safe_defaults(
    launch: Launch, shell: ContainerPlan, inside: Inside, api: docker.APIClient
) -> None:
    name = await launch(shell)
    assert inside(name, "ulimit -c; ulimit -Hc").split() == ["0", "0"]
    assert "NoNewPrivs:\t1" in inside(name, "cat /proc/1/status")
    assert inside(name, "cat /proc/sys/kernel/hostname") == "shell"
    host = api.inspect_container(name)["HostConfig"]
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "2m", "max-file": "2"}}
    assert host["RestartPolicy"]["Name"] == "no"
    assert not host["AutoRemove"]
    assert not host["Privileged"]


async def test_the_images_own_health_check_does_not_run(
    launch: Launch, shell: ContainerPlan, api: docker.APIClient
) -> None:
    name = await launch(shell)
    assert "Health" not in api.inspect_container(name)["State"]


async def test_memory_pids_and_cpu_are_limited_in_the_kernel(
    launch: Launch, shell: ContainerPlan, api: docker.APIClient
) -> None:
    name = await launch(replace(shell, memory=MEMORY, pids=17, cpu_nano=250_000_000))
    cgroups = _cgroups(api.inspect_container(name)["State"]["Pid"])
    if "" in cgroups:  # cgroup v2
        assert (cgroups[""] / "memory.max").read_text().strip() == str(MEMORY)
        assert (cgroups[""] / "memory.swap.max").read_text().strip() == "0"
        assert (cgroups[""] / "cpu.max").read_text().split() == ["25000", "100000"]
        assert (cgroups[""] / "pids.max").read_text().strip() == "17"
        return
    assert (cgroups["memory"] / "memory.limit_in_bytes").read_text().strip() == str(MEMORY)
    assert (cgroups["pids"] / "pids.max").read_text().strip() == "17"
    quota = int((cgroups["cpu"] / "cpu.cfs_quota_us").read_text())
    period = int((cgroups["cpu"] / "cpu.cfs_period_us").read_text())
    assert quota / period == 0.25


async def test_no_more_processes_than_pids_can_be_made(
    launch: Launch, shell: ContainerPlan, api: docker.APIClient
) -> None:
    name = await launch(replace(shell, pids=8))
    cgroups = _cgroups(api.inspect_container(name)["State"]["Pid"])
    folder = cgroups.get("pids", cgroups.get("", Path()))
    assert (folder / "pids.events").read_text() == "max 0\n"
    made = api.exec_create(name, ["bash", "-c", "for i in {1..12}; do sleep 600 & done"])
    api.exec_start(made["Id"], detach=True)
    await asyncio.to_thread(until, lambda: (folder / "pids.events").read_text() != "max 0\n")
    assert int((folder / "pids.current").read_text()) <= 8


async def test_the_cgroup_is_below_the_parent_asked_for(
    launch: Launch, shell: ContainerPlan, bed_cgroup: str, api: docker.APIClient
) -> None:
    name = await launch(replace(shell, cgroup_parent=f"{bed_cgroup}/challenges"))
    pid = api.inspect_container(name)["State"]["Pid"]
    folders = _cgroups(pid)
    assert f"{bed_cgroup}/challenges/" in str(folders.get("pids", folders.get("")))


async def test_ulimits_are_set_and_override_the_default(
    launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    limits = (Ulimit("nofile", 64, 128), Ulimit("core", 1024, -1))
    name = await launch(replace(shell, ulimits=limits))
    assert inside(name, "ulimit -n; ulimit -Hn; ulimit -c; ulimit -Hc").split() == [
        "64",
        "128",
        "1",
        "unlimited",
    ]


async def test_user_and_working_dir(launch: Launch, shell: ContainerPlan, inside: Inside) -> None:
    name = await launch(replace(shell, user="1234:2345", working_dir="/data"))
    assert inside(name, "id -u; id -g; pwd").split() == ["1234", "2345", "/data"]


async def test_a_read_only_root_with_a_tmpfs(
    launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    name = await launch(replace(shell, read_only=True, tmpfs={"/scratch": "rw,noexec,size=1m"}))
    assert "Read-only file system" in inside(name, "touch /file")
    assert inside(name, "touch /scratch/file && echo done") == "done"
    mounts = inside(name, "cat /proc/mounts")
    scratch = next(line for line in mounts.splitlines() if " /scratch " in line)
    assert "noexec" in scratch
    assert "size=1024k" in scratch


async def test_capabilities_are_dropped_and_added(
    launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    plan = replace(shell, cap_drop=("NET_RAW", "CHOWN"), cap_add=("LINUX_IMMUTABLE",))
    name = await launch(plan)
    status = inside(name, "cat /proc/1/status")
    held = int(status.split("CapBnd:\t")[1].split()[0], 16)
    net_raw, chown, linux_immutable = 13, 0, 9  # linux/capability.h
    assert not held & (1 << net_raw)
    assert not held & (1 << chown)
    assert held & (1 << linux_immutable)


async def test_all_capabilities_can_be_dropped(
    launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    name = await launch(replace(shell, cap_drop=("ALL",)))
    assert "CapBnd:\t0000000000000000" in inside(name, "cat /proc/1/status")


async def test_new_privileges_can_be_allowed(
    launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    name = await launch(replace(shell, no_new_privileges=False))
    assert "NoNewPrivs:\t0" in inside(name, "cat /proc/1/status")


async def test_a_seccomp_profile_is_in_force(
    launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    name = await launch(replace(shell, seccomp=NO_CHMOD))
    assert "Operation not permitted" in inside(name, "mkdir /tmp/folder")
    assert "Seccomp:\t2" in inside(name, "cat /proc/1/status")


@pytest.mark.parametrize("init", [True, False])
async def test_init_is_process_1_only_when_asked_for(
    init: bool, launch: Launch, shell: ContainerPlan, inside: Inside
) -> None:
    name = await launch(replace(shell, init=init))
    assert ("init" in inside(name, "cat /proc/1/comm")) == init


async def test_command_and_args_take_the_images_place(
    engine: Engine, launch: Launch, shell: ContainerPlan
) -> None:
    command = ("bash", "-c", 'echo "$0 $1 $X"')
    plan = replace(shell, command=command, args=("a", "b c"), env={"X": "y=z "})
    name = await launch(plan)
    await engine.call(lambda client: client.wait(name), effect=False)
    assert await containers.logs_tail(engine, name, 10) == "a b c y=z \n"


async def test_command_alone_drops_the_images_arguments(
    engine: Engine, launch: Launch, echo: ContainerPlan
) -> None:
    name = await launch(replace(echo, command=("/echo", "no-such-command"), args=None))
    await engine.call(lambda client: client.wait(name), effect=False)
    assert "usage:" in await containers.logs_tail(engine, name, 20)


async def test_hostname_and_mounts(
    launch: Launch, shell: ContainerPlan, inside: Inside, tmp_path: Path
) -> None:
    (tmp_path / "flag").write_text("flag{x}")
    mount = Mount("bind", str(tmp_path / "flag"), "/run/challenge/flag", read_only=True)
    name = await launch(replace(shell, hostname="front", mounts=(mount,)))
    assert inside(name, "cat /proc/sys/kernel/hostname") == "front"
    assert inside(name, "cat /run/challenge/flag") == "flag{x}"
    assert "Read-only file system" in inside(name, "echo > /run/challenge/flag")


async def test_two_host_ports_for_one_port_and_udp(
    launch: Launch, shell: ContainerPlan, api: docker.APIClient, engine: Engine
) -> None:
    bindings = (
        PortBinding(53, "tcp", 21101, "127.0.0.1"),
        PortBinding(53, "tcp", 21102, "0.0.0.0"),
        PortBinding(53, "udp", 21101, "127.0.0.1"),
    )
    name = await launch(replace(shell, bindings=bindings, exposed=((99, "tcp"),)))
    assert (await containers.inspect(engine, name)).bindings == bindings
    uid_label = f"{labels.CONTAINER}=shell"
    listed: list[dict[str, Any]] = api.containers(filters={"label": uid_label, "name": name})
    shown = {(port["PrivatePort"], port["Type"]) for port in listed[0]["Ports"]}
    assert (99, "tcp") in shown


async def test_resolvers_of_our_own_choice(
    launch: Launch, shell: ContainerPlan, api: docker.APIClient
) -> None:
    name = await launch(replace(shell, dns=("192.0.2.53",)))
    assert api.inspect_container(name)["HostConfig"]["Dns"] == ["192.0.2.53"]


def _cgroups(pid: int) -> dict[str, Path]:
    """The process' folder of each cgroup v1 controller, or of v2 under the name ""."""
    found: dict[str, Path] = {}
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if unified:
            return {"": Path("/sys/fs/cgroup") / path.lstrip("/")}
        for name in names.split(","):
            found[name] = Path("/sys/fs/cgroup") / name / path.lstrip("/")
    found.pop("", None)
    return found
