"""What the tests that break a Docker engine share: what has to be true in the end, and the breaks.

All of it is seen from outside: the API server's objects, the engine's list, the ledger's rows.
"""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.engine import Engine, docker_client
from hack.bed.instances import Endpoint, silent
from tests.integration.world import Object, World, container, instance, until

PATIENCE: Final = 150.0
"""Seconds for everything to be as it should be after the last break, on a machine that is busy."""
EAGER: Final = {"tcpSocket": {"port": 9000}, "periodSeconds": 1, "failureThreshold": 1}
"""A probe that notices within a second or two."""


def single(image: str, name: str, **spec: object) -> Object:
    """An instance of one container, on a bridge that it shares."""
    return instance(name, container(image, readinessProbe=EAGER), **spec)


def pair(image: str, name: str, **spec: object) -> Object:
    """An instance of two containers, on a network of its own."""
    front = container(image, "front", readinessProbe=EAGER)
    return instance(name, front, container(image, "back", ports=[]), **spec)


def bodies(world: World) -> list[Object]:
    """All instances of the namespace."""
    out = world.kubectl("get", "chinst", "-n", world.namespace, "-o", "json").stdout
    found: list[Object] = json.loads(out)["items"]
    return found


def ports(world: World) -> dict[str, list[int]]:
    """The host ports of each instance, as its status tells them."""
    return {
        body["metadata"]["name"]: [port["hostPort"] for port in body["status"].get("ports", [])]
        for body in bodies(world)
    }


def ids(world: World) -> dict[tuple[str, str], str]:
    """The engine's id of each container, by instance and its name in the template."""
    return {
        (each["Labels"][labels.INSTANCE_NAME], each["Labels"][labels.CONTAINER]): each["Id"]
        for each in world.containers()
    }


def wrong(world: World) -> list[str]:
    """What is not as it has to be: who is not Ready, or has other containers than its own."""
    found, wanted = [], Counter[tuple[str, str, str]]()
    for body in bodies(world):
        name, status = body["metadata"]["name"], body["status"]
        conditions: list[Object] = status.get("conditions", [])
        ready: Object = next((c for c in conditions if c["type"] == "Ready"), {})
        rests = body["spec"].get("suspended", False)
        if not rests and ready.get("status") != "True":
            found.append(f"{name} is not Ready: {ready.get('reason')}: {ready.get('message')}")
        for each in (status.get("template") or {"containers": []})["containers"]:
            wanted[name, each["name"], "paused" if rests else "running"] += 1
    there = Counter(
        (each["Labels"][labels.INSTANCE_NAME], each["Labels"][labels.CONTAINER], each["State"])
        for each in world.containers()
    )
    found += [f"{key} is there {n} times too often" for key, n in sorted((there - wanted).items())]
    return found + [f"{key} is missing" for key in sorted(wanted - there)]


def wait_until_well(world: World) -> None:
    """Wait until every instance is Ready with just its containers, then look behind each port.

    Each port answers for its own instance, is nobody else's, and is what the ledger has. Those that
    are suspended have just their containers, paused.
    """
    # One that was started again may not listen yet, and still be called Ready.
    until(
        lambda: wrong(world) or silent(_awake(world)),
        lambda found: found == [],
        timeout=PATIENCE,
    )
    endpoints = world.endpoints()
    doors = Counter(each.port for each in endpoints)
    assert [door for door, times in doors.items() if times > 1] == []
    booked = {row.name: sorted(row.ports.values()) for row in world.rows().values()}
    assert booked == {name: sorted(held) for name, held in ports(world).items()}
    assert world.ports_held() == len(endpoints)
    assert world.problems() == []


def _awake(world: World) -> list[Endpoint]:
    """The ports of who is not suspended."""
    resting = {b["metadata"]["name"] for b in bodies(world) if b["spec"].get("suspended")}
    return [each for each in world.endpoints() if each.instance not in resting]


def restarts(world: World) -> int:
    """The restarts that are counted of all containers: what the engine does is none."""
    return sum(
        each.get("restartCount", 0)
        for body in bodies(world)
        for each in body["status"].get("containers", [])
    )


def name_of(world: World, instance_name: str, container_name: str = "echo") -> str:
    """The engine's name of a container, as a launch gives it."""
    return labels.container_name(world.get(instance_name)["metadata"]["uid"], container_name)


@contextmanager
def watching(engine: Engine, action: str, kind: str = "container") -> Iterator[Iterator[Object]]:
    """What the engine does to containers or networks from now on, such as `create`."""
    filters = {"type": [kind], "event": [action]}
    with docker_client(engine.url, timeout=120) as client:
        stream = client.events(filters=filters, decode=True)
        try:
            yield iter(stream)
        finally:
            stream.close()


def owned(bed: Bed) -> Engine:
    """The node's engine, whose files a test may change."""
    engine = bed.engine()
    assert engine.owned, "needs an engine of the bed's own: run it where no other is there"
    return engine


def folder_of(engine: Engine) -> Path:
    """The folder that all of an engine's files are in."""
    assert engine.state.folder is not None
    return engine.state.folder


def known_to_one_alone(bed: Bed) -> list[str]:
    """Containers that containerd runs and the engine does not know: nobody would end them."""
    engine = bed.engine()
    with docker_client(engine.url) as client:
        known = {each["Id"] for each in client.containers()}
    tasks = "containerd-state/io.containerd.runtime.v2.task/moby"
    return sorted({path.name for path in (folder_of(engine) / tasks).iterdir()} ^ known)


def start(bed: Bed) -> None:
    """Start the node's engine again, with the test image on it."""
    bed.engine().start()
    bed.state.save()
    bed.import_image()


@contextmanager
def small_disk(engine: Engine, megabytes: int) -> Iterator[Path]:
    """Give an engine that does not run an empty data root of that size; undone at the end."""
    data = folder_of(engine) / "data"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(data)],
        check=True,
        timeout=20,
    )
    try:
        yield data
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True, timeout=20)


def fill(folder: Path) -> Path:
    """Use up all that is left of a disk; returns what to remove so that there is room again."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**16, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast
