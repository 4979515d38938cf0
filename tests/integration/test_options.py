"""Every option of a container, in force from a manifest on: different ones side by side."""

import errno
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.running import RunningController
from tests.integration import kernel
from tests.integration.runtime.support import shell_archive
from tests.integration.world import Object, World, condition_of, container, instance, until

IMAGE = "options-shell:test"
MIB = 2**20
CHOWN, MKNOD, LINUX_IMMUTABLE, NET_RAW = 0, 27, 9, 13  # linux/capability.h
VMSPLICE = f"{75 if platform.machine() == 'aarch64' else 278}:-1:0:0:0"
STAY = ["bash", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]
NO_MKDIR = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's folder of seccomp profiles."""
    folder = tmp_path_factory.mktemp("seccomp")
    (folder / "no-mkdir.json").write_text(json.dumps(NO_MKDIR))
    (folder / "broken.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str, profiles: Path) -> Iterator[RunningController]:
    """One controller for all tests of this module, and an image with a shell."""
    repository, _, tag = IMAGE.partition(":")
    with docker_client(bed.docker_host) as client:
        client.import_image_from_data(shell_archive(), repository=repository, tag=tag)
    env = {
        "CHALLENGE_SECCOMP_DIR": str(profiles),
        "CHALLENGE_STORAGE_INTERVAL": "0.5",
        "CHALLENGE_CMGR_ENV": "true",
        "CHALLENGE_TMPFS_SIZE": "1Mi",
    }
    controller = RunningController.start(bed, "options", env=env)
    bed.wait_for_controller("options")
    yield controller
    controller.stop()


def shell(name: str, **fields: Any) -> Object:
    """A container with a shell that stays up."""
    return {"name": name, "image": IMAGE, "command": STAY} | fields


class Seen:
    """The containers of the one instance there is, from inside and from the kernel."""

    def __init__(self, world: World) -> None:
        self._world = world
        found = world.containers()
        self._ids = {each["Labels"][labels.CONTAINER]: each["Id"] for each in found}
        with world.docker() as client:
            states = {n: client.inspect_container(i)["State"] for n, i in self._ids.items()}
        self.pids = {name: int(state["Pid"]) for name, state in states.items()}

    def run(self, name: str, *command: str) -> str:
        """What a program in the container prints, its errors too."""
        with self._world.docker() as client:
            made = client.exec_create(self._ids[name], list(command))
            said: bytes = client.exec_start(made["Id"])
        return said.decode().strip()

    def shell(self, name: str, script: str) -> str:
        """What a script in the container prints."""
        return self.run(name, "bash", "-c", script)

    def each(self, look: Any) -> dict[str, Any]:
        """What a look at the process says for each container."""
        return {name: look(pid) for name, pid in self.pids.items()}


def tight() -> Object:
    """A container that may do little."""
    return shell(
        "tight",
        init=True,
        workingDir="/tmp",
        cgroupParent="heavy",
        resources={"limits": {"cpu": "250m", "memory": "64Mi", "pids": 17}},
        ulimits=[{"name": "nofile", "soft": 64, "hard": 128}],
        securityContext={
            "runAsUser": 1234,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]},
            "seccompProfile": {"type": "Localhost", "localhostProfile": "no-mkdir.json"},
        },
    )


def loose() -> Object:
    """A container that may do more than others."""
    return shell(
        "loose",
        workingDir="/data",
        args=["ignored-by-bash-c"],
        resources={"limits": {"cpu": "1500m", "memory": "128Mi", "pids": 33}},
        ulimits=[
            {"name": "nofile", "soft": 256, "hard": 512},
            {"name": "core", "soft": 1024, "hard": 2048},
        ],
        securityContext={
            "allowPrivilegeEscalation": True,
            "capabilities": {"drop": ["MKNOD"], "add": ["LINUX_IMMUTABLE"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )


def test_containers_of_one_instance_are_held_to_what_each_says(
    world: World, echo_image: str
) -> None:
    silent = container(echo_image, "silent")
    env = [{"name": "LEVEL", "value": "hard"}]
    world.apply(instance("mixed", tight(), loose(), silent, user="alice", env=env))
    world.wait("Ready", "mixed")
    seen = Seen(world)

    assert seen.each(kernel.limits) == {
        "tight": (64 * MIB, 17, 0.25),
        "loose": (128 * MIB, 33, 1.5),
        "silent": (512 * MIB, 256, 1.0),
    }
    nofile = seen.each(kernel.open_files)
    assert (nofile["tight"], nofile["loose"]) == ((64, 128), (256, 512))
    assert seen.shell("tight", "ulimit -c; ulimit -Hc").split() == ["0", "0"]
    assert seen.shell("loose", "ulimit -c; ulimit -Hc").split() == ["1", "2"]
    _cgroups(world, seen)
    _rights(seen)
    _seccomp(seen)
    _places(seen)
    assert seen.shell("loose", "echo $CHALLENGE_LEVEL $CMGR_LEVEL $CMGR_USER_ID") == (
        "hard hard alice"
    )


def _cgroups(world: World, seen: Seen) -> None:
    namespace = world.bed.node().engine.namespace
    parent = f"/{namespace}/challenges" if namespace else "/challenges"
    paths = seen.each(kernel.cgroup)
    if not paths["silent"].startswith(parent):
        pytest.skip("the engine's cgroups are not seen from here")
    assert paths["tight"].startswith(f"{parent}/heavy/")
    assert Path(paths["silent"]).parent == Path(paths["loose"]).parent == Path(parent)


def _rights(seen: Seen) -> None:
    assert seen.each(lambda pid: kernel.status(pid, "NoNewPrivs")) == {
        "tight": "1",
        "loose": "0",
        "silent": "1",
    }
    held = {
        name: {c for c in (CHOWN, MKNOD, LINUX_IMMUTABLE, NET_RAW) if kernel.has_capability(pid, c)}
        for name, pid in seen.pids.items()
    }
    assert held == {
        "tight": {CHOWN},
        "loose": {CHOWN, LINUX_IMMUTABLE},
        "silent": {CHOWN, MKNOD},
    }
    assert seen.shell("tight", "id -u") == "1234"
    assert seen.shell("loose", "id -u") == "0"


def _seccomp(seen: Seen) -> None:
    assert seen.each(lambda pid: kernel.status(pid, "Seccomp")) == dict.fromkeys(seen.pids, "2")
    assert "Operation not permitted" in seen.shell("tight", "mkdir /tmp/folder")
    assert seen.shell("loose", "mkdir /tmp/folder") == ""
    assert seen.run("silent", "/echo", "syscall", VMSPLICE) == str(errno.EPERM)


def _places(seen: Seen) -> None:
    assert "init" in seen.shell("tight", "cat /proc/1/comm")
    assert seen.shell("loose", "cat /proc/1/comm") == "bash"
    assert seen.shell("tight", "pwd") == "/tmp"
    assert seen.shell("loose", "pwd") == "/data"
    assert "Read-only file system" in seen.shell("tight", "touch /data/file")
    assert seen.shell(
        "tight", "for p in /tmp /var/tmp /run; do touch $p/file && echo $p; done"
    ) == ("/tmp\n/var/tmp\n/run")
    assert "No space left" in seen.shell(
        "tight", 'x=$(printf "%1048576s"); echo -n "$x$x" > /run/large'
    )
    assert seen.shell("loose", "touch /file && echo written") == "written"


def test_who_writes_more_than_it_may_is_stopped_and_stays_so(world: World, echo_image: str) -> None:
    limits = {"limits": {"ephemeral-storage": "2Mi"}}
    fill = 'x=$(printf "%1048576s"); echo -n "$x$x$x" > /file; trap "exit 0" TERM; sleep 600 & wait'
    hog = shell("hog", command=["bash", "-c", fill], resources=limits)
    world.apply(
        instance("greedy", hog, container(echo_image, resources=limits)),
        instance("thrifty", container(echo_image, resources=limits)),
    )
    world.wait("Ready", "thrifty")
    seen = world.caught_reason("greedy", "StorageExceeded")
    condition, status = condition_of(seen), seen["status"]
    assert "Container hog has written 3.0 MiB" in condition["message"]
    assert "limits.ephemeral-storage allows 2.0 MiB" in condition["message"]
    assert condition_of(seen, "Stalled")["status"] == "True"

    assert {c["name"]: c["state"] for c in status["containers"]} == dict.fromkeys(
        ("hog", "echo"), "Terminated"
    )
    assert status["containers"][0]["reason"] == "StorageExceeded"
    assert [c.get("restartCount", 0) for c in status["containers"]] == [0, 0]
    assert len(status["ports"]) == 2, "its ports stay held"
    assert world.running_containers("greedy") == 0
    until(lambda: "StorageExceeded" in world.events("greedy"))
    assert world.condition("thrifty")["status"] == "True"


@pytest.mark.parametrize(
    ("file", "complaint"),
    [("absent.json", "cannot be read: No such file"), ("broken.json", "expected defaultAction")],
)
def test_a_profile_that_cannot_be_had_is_told_and_nothing_runs(
    world: World, echo_image: str, file: str, complaint: str
) -> None:
    wanted = {"seccompProfile": {"type": "Localhost", "localhostProfile": file}}
    world.apply(instance("guarded", container(echo_image, securityContext=wanted)))
    message = world.wait_reason("guarded", "SeccompProfileInvalid")["message"]
    assert file in message
    assert complaint in message
    assert world.containers() == []
