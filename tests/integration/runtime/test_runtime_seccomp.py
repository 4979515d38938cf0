"""Which system calls containers may make: our own profile beside the engine's and none at all."""

import errno
import platform
from dataclasses import replace

import docker
import pytest

from controller.runtime import containers, labels
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import Engine
from controller.runtime.labels import Owner
from controller.runtime.seccomp import Profiles
from tests.integration.runtime.support import Inside

ASLR = "personality without random addresses"
EVERYTHING = '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}'

# Number on x86_64 and on arm64, and arguments with which a kernel that is asked says something else
# than that it is not permitted, or nothing at all.
REFUSED = {
    "io_uring_setup": (425, 425, "0:0"),
    "userfaultfd": (323, 282, "1"),
    "keyctl": (250, 219, "999"),
    "add_key": (248, 217, "0:0:0:0:0"),
    "request_key": (249, 218, "0:0:0:0"),
    "unshare": (272, 97, "0x10000000"),
    "setns": (308, 268, "-1:0"),
    "clone with a user namespace": (56, 220, "0x10000200"),
    "perf_event_open": (298, 241, "0:0:0:0:0"),
    "process_vm_readv": (310, 270, "0:0:1:0:1:0"),
    "pidfd_getfd": (438, 438, "-1:0:0"),
    "name_to_handle_at": (303, 264, "-1:0:0:0:0"),
    "open_tree": (428, 428, "-1:0:0xffff"),
    "mount": (165, 40, "1:1:1:0:0"),
    "vmsplice": (278, 75, "-1:0:0:0"),
    "move_pages": (279, 239, "0:0:0:0:0:0xff"),
    "socket of the kernel's ciphers": (41, 198, "38:5:0"),
    "personality of another system": (135, 92, "0x0400006"),
}
ALLOWED = {
    "ptrace, for gdb": (101, 117, "0:0:0:0"),
    "socket": (41, 198, "2:1:0"),
    "memfd_create": (319, 279, "0:0"),
    "personality": (135, 92, "0xffffffff"),
    ASLR: (135, 92, "0x40000"),
}
CLONE3 = "435:0:0"


def calls(table: dict[str, tuple[int, int, str]]) -> list[str]:
    """The table as arguments of `echo syscall`."""
    which = 1 if platform.machine() == "aarch64" else 0
    return [f"{row[which]}:{row[2]}" for row in table.values()]


async def answers(
    engine: Engine, owner: Owner, plan: ContainerPlan, network: str, table: list[str]
) -> list[int]:
    """What the kernel says to each call in a container of that plan."""
    made = replace(plan, name=f"c{hash(plan.seccomp) % 10**6}", args=("syscall", *table))
    await containers.launch(engine, owner, made, network)
    name = labels.container_name(owner.uid, made.name)
    await engine.call(lambda client: client.wait(name), effect=False)
    return [int(line) for line in (await containers.logs_tail(engine, name, 100)).splitlines()]


async def test_what_escapes_are_made_of_is_refused_and_nothing_else(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    ours = replace(echo, seccomp=Profiles().challenge_default())
    table = [*calls(REFUSED), *calls(ALLOWED), CLONE3]
    strict = await answers(engine, owner, ours, network, table)
    free = await answers(engine, owner, replace(echo, seccomp=EVERYTHING), network, table)

    told = dict(zip([*REFUSED, *ALLOWED, "clone3"], zip(strict, free, strict=True), strict=True))
    refused = {name for name, (code, _) in told.items() if code == errno.EPERM}
    assert refused == set(REFUSED)
    assert errno.EPERM not in free, "it is the profile that refuses, not the kernel"
    assert told["clone3"] == (errno.ENOSYS, errno.EINVAL), "so that C libraries take clone"


async def test_it_differs_from_the_engines_own(
    engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    table = [*calls(REFUSED), *calls(ALLOWED)]
    engines = await answers(engine, owner, echo, network, table)
    refused = {
        name
        for name, code in zip([*REFUSED, *ALLOWED], engines, strict=True)
        if code == errno.EPERM
    }
    # What Docker refuses differs from version to version; vmsplice none has refused.
    assert "vmsplice" not in refused, "ours is stricter"
    assert refused - set(REFUSED) <= {ASLR}, "and allows one thing more, for gdb and pwn"


async def test_a_shell_and_its_programs_run_under_it(
    engine: Engine,
    owner: Owner,
    network: str,
    shell: ContainerPlan,
    inside: Inside,
    api: docker.APIClient,
) -> None:
    profile = Profiles().challenge_default()
    await containers.launch(engine, owner, replace(shell, seccomp=profile), network)
    name = labels.container_name(owner.uid, shell.name)
    assert "Seccomp:\t2" in inside(name, "cat /proc/1/status")
    said = inside(
        name, "mkdir /tmp/a && touch /tmp/a/b && (sleep 0 | id -u); timeout 1 cat /tmp/a/b"
    )
    assert said == "0"
    kept = api.inspect_container(name)["HostConfig"]["SecurityOpt"]
    assert f"seccomp={profile}" in kept
    assert len(profile) < 8192, "the engine parses and keeps it with each container"


@pytest.mark.parametrize("extra", ["sleep", "serve"])
async def test_a_program_with_threads_runs_under_it(
    extra: str, engine: Engine, owner: Owner, network: str, echo: ContainerPlan
) -> None:
    plan = replace(echo, args=(extra,), seccomp=Profiles().challenge_default())
    await containers.launch(engine, owner, plan, network)
    state = await containers.inspect(engine, labels.container_name(owner.uid, plan.name))
    assert state.running
