"""Volumes and flags of whole instances: seen from inside, kept from everybody else, gone after."""

import base64
import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from controller.runtime import labels
from controller.runtime.folders import Folder, FolderOwner, Folders
from controller.runtime.labels import Owner
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.integration.runtime.support import shell_archive
from tests.integration.world import Object, World, instance, until

Start = Callable[..., RunningController]
Worlds = Callable[..., World]

QUICK = {"BACKOFF_INITIAL": "0.2", "BACKOFF_MAXIMUM": "2", "MANAGER_LEASE_DURATION": "8"}
"""The Lease is waited for after a kill, and not lost because a busy machine stalls."""
IMAGE = "volumes-shell:test"
QUICK_END = {"terminationGracePeriodSeconds": 0}
"""For a shell as process 1, which does not end when it is asked to."""


@pytest.fixture(scope="module")
def image(bed: Bed) -> str:
    """An image with bash and a few programs."""
    with docker_client(bed.docker_host) as client:
        repository, _, tag = IMAGE.partition(":")
        client.import_image_from_data(shell_archive(), repository=repository, tag=tag)
    return IMAGE


@pytest.fixture
def begin(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, image: str
) -> Iterator[Worlds]:
    """`begin(NAME="value")` starts a controller with these settings and gives the world with it."""
    worlds: list[World] = []

    def start(**settings: str) -> World:
        world = World(bed, kubectl, namespace, controller(**(QUICK | settings)))
        worlds.append(world)
        return world

    yield start
    worlds[-1].tell()
    if worlds[-1].controller.alive():
        worlds[-1].delete()
        worlds[-1].assert_nothing_left()
    for world in worlds:
        assert "Traceback" not in world.controller.logs()


def again(begin: Worlds, before: World) -> World:
    """The next controller on the same node, after the one before was killed."""
    world = begin(STATE_DIR=str(before.controller.state_dir))
    world.state_dir = before.state_dir
    return world


def shell(name: str = "shell", script: str = "sleep 600", **fields: Any) -> Object:
    """A container that runs a script."""
    return {"name": name, "image": IMAGE, "command": ["bash", "-c", script]} | fields


def mount(name: str, path: str, **fields: Any) -> Object:
    return {"name": name, "mountPath": path} | fields


def secret(name: str, value: str, **marks: str) -> Object:
    """A Secret with a flag, released for the controller's use unless labels say otherwise."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": marks or {"challenge-controller.io/use": "true"}},
        "data": {"flag": base64.b64encode(value.encode()).decode()},
    }


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def inside(world: World, container: str, script: str, name: str | None = None) -> str:
    """What a shell in a container (of that instance) prints; its errors too."""
    (found,) = [
        c["Id"]
        for c in world.containers()
        if c["Labels"][labels.CONTAINER] == container
        and name in (None, c["Labels"][labels.INSTANCE_NAME])
    ]
    with world.docker() as client:
        made = client.exec_create(found, ["bash", "-c", script])
        said: bytes = client.exec_start(made["Id"])
    return said.decode().strip()


def restart(world: World, name: str, container: str) -> None:
    """Kill a container of an instance, and wait until it was started again."""
    (found,) = [c["Id"] for c in world.containers() if c["Labels"][labels.CONTAINER] == container]
    with world.docker() as client:
        client.kill(found)
    path = f'{{.status.containers[?(@.name=="{container}")].restartCount}}'
    world.wait(f"jsonpath={path}=1", name)
    world.wait("Ready", name)


def rest(world: World, name: str, suspended: bool) -> None:
    """Have an instance rest, or go on."""
    patch = json.dumps({"spec": {"suspended": suspended}})
    world.kubectl("patch", "chinst", name, "-n", world.namespace, "--type=merge", "-p", patch)


VOLUMES = [
    {"name": "data", "emptyDir": {}},
    {"name": "cache", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    {
        "name": "texts",
        "configMap": {
            "name": "texts",
            "items": [
                {"key": "motd", "path": "a/motd"},
                {"key": "tool", "path": "tool", "mode": 0o555},
                {"key": "motd", "path": "private", "mode": 0o400},
            ],
        },
    },
]
FULL = {"flagSecretRef": {"name": "flags"}, "template": QUICK_END | {"volumes": VOLUMES}}


def full() -> list[Object]:
    """Two containers that share volumes, one of which has the flag."""
    shared = [mount("data", "/shared"), mount("cache", "/cache"), mount("texts", "/texts")]
    player = {"runAsUser": 1000, "readOnlyRootFilesystem": True}
    front = shell("front", mountFlag=True, volumeMounts=shared, securityContext=player)
    return [front, shell("back", volumeMounts=[mount("data", "/seen", readOnly=True), *shared[1:]])]


def test_volumes_and_flag_from_inside_and_nowhere_else(begin: Worlds) -> None:
    flag = f"flag{{{uuid.uuid4().hex}}}"
    world = begin(LOG_LEVEL="debug")
    texts = config_map("texts", motd="hello", tool="#!/bin/bash\necho ran\n")
    world.apply(secret("flags", flag), texts, instance("full", *full(), **FULL))
    world.wait("Ready", "full")

    assert inside(world, "front", "cat /run/challenge/flag") == flag
    assert "Read-only file system" in inside(world, "front", "echo > /run/challenge/flag")
    assert "Permission denied" in inside(
        world, "front", "echo > /texts/private; cat /texts/private"
    )
    assert "No such file" in inside(world, "back", "cat /run/challenge/flag")
    assert inside(world, "front", "echo one > /shared/file && echo two > /cache/file") == ""
    assert inside(world, "back", "cat /seen/file /cache/file").split() == ["one", "two"]
    assert "Read-only file system" in inside(world, "back", "echo > /seen/file")
    assert "Read-only file system" in inside(world, "back", "echo > /texts/a/motd")
    assert inside(world, "back", "cat /texts/a/motd /texts/private") == "hellohello"
    assert inside(world, "front", "/texts/tool") == "ran"
    filled = inside(world, "front", "for i in {1..300}; do printf '%08192d' 0; done > /cache/big")
    assert "No space left on device" in filled

    # A container that is started again, and an instance that rests, keep what they have written.
    restart(world, "full", "front")
    rest(world, "full", True)
    world.wait("Suspended", "full")
    rest(world, "full", False)
    world.wait("Ready", "full")
    assert inside(world, "front", "cat /shared/file /cache/file").split() == ["one", "two"]
    assert inside(world, "front", "cat /run/challenge/flag") == flag

    with world.docker() as client:
        inspected = [client.inspect_container(c["Id"]) for c in world.containers()]
        kept = [*inspected, client.volumes(), client.networks()]
    events = world.kubectl("get", "events", "-n", world.namespace, "-o", "json").stdout
    told = [json.dumps(kept), json.dumps(world.get("full")), events, world.controller.logs()]
    told += [f.read_bytes().decode(errors="replace") for f in world.state_dir.glob("ledger.db*")]
    node = world.kubectl("get", "chnode", "-o", "json").stdout
    encoded = base64.b64encode(flag.encode()).decode()
    for text in (*told, node):
        assert flag not in text
        assert encoded not in text
    assert world.folders() == [world.get("full")["metadata"]["uid"]]
    world.delete("full")
    world.assert_nothing_left()


def test_what_is_missing_or_not_released_is_waited_for(begin: Worlds) -> None:
    world = begin()
    asking = shell(mountFlag=True)
    world.apply(
        secret("locked", "flag{locked}", other="true"),
        instance("no-secret", asking, flagSecretRef={"name": "late"}, template=QUICK_END),
        instance("locked", asking, flagSecretRef={"name": "locked"}, template=QUICK_END),
        instance(
            "no-texts",
            shell(volumeMounts=[mount("texts", "/texts")]),
            template=QUICK_END | {"volumes": [{"name": "texts", "configMap": {"name": "texts"}}]},
        ),
        instance("no-flag", asking),
    )
    missing = world.wait_reason("no-secret", "SecretNotFound")
    assert "Secret 'late' does not exist" in missing["message"]
    locked = world.wait_reason("locked", "SecretNotFound")
    assert 'lacks the label challenge-controller.io/use: "true"' in locked["message"]
    texts = world.wait_reason("no-texts", "ConfigMapNotFound")
    assert "ConfigMap 'texts' does not exist" in texts["message"]
    refused = world.wait_reason("no-flag", "InvalidTemplate")
    assert "spec.flagSecretRef is not set" in refused["message"]
    assert world.containers() == []
    assert world.folders() == []
    world.apply(
        secret("late", "flag{late}"), secret("locked", "flag{open}"), config_map("texts", motd="hi")
    )
    for name in ("no-secret", "locked", "no-texts"):
        world.wait("Ready", name)
    assert inside(world, "shell", "cat /run/challenge/flag", "no-secret") == "flag{late}"
    assert inside(world, "shell", "cat /run/challenge/flag", "locked") == "flag{open}"
    assert inside(world, "shell", "cat /texts/motd", "no-texts") == "hi"


def test_a_volume_on_disk_that_is_over_its_limit_stops_its_instance_for_good(
    begin: Worlds,
) -> None:
    world = begin()
    volume = {"name": "data", "emptyDir": {"sizeLimit": "256Ki"}}
    script = "for i in {1..100}; do printf '%08192d' 0; done > /data/big; sleep 600"
    greedy = shell(script=script, volumeMounts=[mount("data", "/data")])
    modest = shell(script="echo x > /data/x; sleep 600", volumeMounts=[mount("data", "/data")])
    for name, container in (("greedy", greedy), ("modest", modest)):
        world.apply(instance(name, container, template=QUICK_END | {"volumes": [volume]}))
    world.wait("Ready", "modest")
    stopped = world.wait_reason("greedy", "StorageExceeded")
    assert "Volume data holds" in stopped["message"]
    assert "its sizeLimit is 256 KiB" in stopped["message"]
    assert world.running_containers("greedy") == 0
    world.controller.kill()
    world = again(begin, world)
    world.bed.wait_for_controller(world.controller.name)
    world.apply(instance("next", shell(), template=QUICK_END))
    world.wait("Ready", "next", "modest")
    assert world.running_containers("greedy") == 0
    assert world.condition("greedy")["reason"] == "StorageExceeded"


def test_volumes_and_flag_go_with_a_failed_launch_and_when_the_time_is_over(begin: Worlds) -> None:
    world = begin()
    broken = [full()[0], full()[1] | {"command": ["/no-such-program"]}]
    retained = FULL | {"ttl": "1s", "onExpiry": "Retain"}
    texts = config_map("texts", motd="hello", tool="")
    world.apply(secret("flags", "flag{1}"), texts)
    world.apply(instance("broken", *broken, **FULL), instance("over", *full(), **retained))
    world.wait("Expired", "over")
    world.wait_reason("broken", "LaunchFailed")
    until(lambda: [*world.folders(), *world.volumes()], lambda found: found == [])
    patch = '{"spec":{"ttl":"1h"}}'
    world.kubectl("patch", "chinst", "over", "-n", world.namespace, "--type=merge", "-p", patch)
    world.wait("Ready", "over")
    assert inside(world, "front", "cat /run/challenge/flag", "over") == "flag{1}"


def leave_behind(world: World) -> None:
    """What no ledger knows: half a folder, a whole one, and a volume without a folder."""
    root = world.state_dir / "instances"
    (root / ".new-half" / "volumes").mkdir(parents=True)
    lost, stray = str(uuid.uuid4()), str(uuid.uuid4())
    Folders(root).create(FolderOwner(lost, world.namespace, "lost"), (Folder("volumes/data"),))
    owner = Owner(world.bed.state.name, "node-1", stray, world.namespace, "stray", "hash")
    with world.docker() as client:
        client.create_volume(labels.volume_name(stray, "cache"), labels=owner.labels())


def test_nothing_of_instances_that_were_being_launched_outlives_a_crash(begin: Worlds) -> None:
    world = begin()
    world.bed.wait_for_controller(world.controller.name)
    texts = config_map("texts", motd="hello", tool="")
    names = [f"i{n}" for n in range(6)]
    world.apply(secret("flags", "flag{1}"), texts, *(instance(n, *full(), **FULL) for n in names))
    until(world.folders, lambda found: len(found) >= 3)
    world.controller.kill()
    # These vanish while nobody watches, as with a finalizer that was torn off by hand.
    for name in names[:3]:
        world.kubectl("delete", "chinst", name, "-n", world.namespace, "--wait=false")
        patch = '{"metadata":{"finalizers":null}}'
        world.kubectl(
            "patch", "chinst", name, "-n", world.namespace, "--type=merge", "-p", patch, check=False
        )
    leave_behind(world)
    world = again(begin, world)
    world.wait("Ready", *names[3:])
    uids = sorted(world.get(name)["metadata"]["uid"] for name in names[3:])
    until(world.folders, lambda found: found == uids)
    until(world.volumes, lambda found: found == [labels.volume_name(u, "cache") for u in uids])
    assert inside(world, "front", "cat /run/challenge/flag /texts/a/motd", "i5") == "flag{1}hello"
