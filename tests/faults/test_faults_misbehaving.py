"""Templates that misbehave once they run: each is contained, and its neighbour answers on."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.errors import BedError
from hack.bed.instances import ask
from hack.bed.running import RunningController
from tests.faults.shell import import_shell, shell
from tests.faults.verdicts import until_told, verdicts
from tests.integration.world import Object, World, container, instance, until

PIDS, MIB = 40, 2**20
LOG = 2 * 2 * MIB
"""What the engine keeps of a container's log: two files of CHALLENGE_LOG_MAX_SIZE."""
SETTINGS = {
    "CHALLENGE_BACKOFF_INITIAL": "0.2",
    "CHALLENGE_BACKOFF_MAXIMUM": "2",
    "CHALLENGE_MANAGER_LEASE_DURATION": "5",
    "CHALLENGE_RESTART_BUDGET": "2",
    "CHALLENGE_STORAGE_INTERVAL": "1",
}
SLOWLY = {"cpu": "200m"}
AT_ONCE = {"terminationGracePeriodSeconds": 0}
IDLE = "while :; do sleep 1; done"


@pytest.fixture(scope="module")
def running(bed: Bed, echo_image: str) -> Iterator[RunningController]:
    """One controller, on an engine that has the image with the shell too."""
    import_shell(bed)
    controller = RunningController.start(bed, "misbehaving", env=SETTINGS)
    controller.wait_until_serving()
    yield controller
    controller.stop()


def limited(script: str, **limits: Any) -> Object:
    """A shell that may use so much."""
    return shell(script, resources={"limits": SLOWLY | limits})


def probing(image: str, path: str) -> Object:
    """An echo that is asked for that page."""
    return container(image, readinessProbe={"httpGet": {"path": path, "port": "http"}})


def misbehaving(image: str) -> dict[str, tuple[Object, str]]:
    """Who does what, and the reason that shows it in the end."""
    grow = "x=xxxxxxxx; while :; do x=$x$x; done"
    fill = "while :; do printf %1048576s >>/full; sleep 0.05; done"
    fill_memory = f"cat /dev/zero >/memory/full && exit 9; {IDLE}"
    connect = "for ((i = 0; i < 3000; i++)); do exec {fd}<>/dev/tcp/back/9000 || break; done"
    memory = [{"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}]
    mounts = [{"name": "v", "mountPath": "/memory"}]
    alert = {"tcpSocket": {"port": "nc"}, "periodSeconds": 1, "failureThreshold": 1}
    shy = container(image, args=["serve", "--close-after", "4s"], readinessProbe=alert)
    loop = container(image, args=["serve", "--exit-after", "1ms", "--exit-code", "3"])
    back = container(image, "back", ports=[])
    found: dict[str, tuple[list[Object], str, Object]] = {
        "forks": ([limited(f"f() {{ f & f & wait; }}; f; {IDLE}", pids=PIDS)], "", {}),
        "grows": ([limited(grow, memory="32Mi")], "CrashLoop", {}),
        "fills-disk": ([limited(fill, **{"ephemeral-storage": "16Mi"})], "StorageExceeded", {}),
        "fills-memory": (
            [limited(fill_memory) | {"volumeMounts": mounts}],
            "Ready",
            {"volumes": memory},
        ),
        "deaf": (
            [shell(f"trap '' TERM; {IDLE}")],
            "Ready",
            {"terminationGracePeriodSeconds": 1},
        ),
        "shouts": ([limited("x=$(printf %8192s); while :; do echo $x; done")], "Ready", {}),
        "connects": ([limited(f"{connect}; {IDLE}"), back], "Ready", {}),
        "shy": ([shy], "ProbeFailing", {}),
        "loops": ([loop], "CrashLoop", {}),
        "endless": ([probing(image, "/endless")], "Ready", {}),
        "redirects": ([probing(image, "/metadata")], "Ready", {}),
    }
    return {
        name: (instance(name, *containers, template=AT_ONCE | more), reason)
        for name, (containers, reason, more) in found.items()
    }


@contextmanager
def asked_all_the_while(world: World, name: str, into: list[float]) -> Iterator[None]:
    """Ask an instance's ports as fast as it answers; seconds that each answer took."""
    doors = [each for each in world.endpoints() if each.instance == name]
    over, failed = threading.Event(), list[BedError]()

    def look() -> None:
        try:
            while not over.is_set():
                for door in doors:
                    begun = time.monotonic()
                    ask(door)
                    into.append(time.monotonic() - begun)
                over.wait(0.02)
        except BedError as error:
            failed.append(error)

    asker = threading.Thread(target=look)
    asker.start()
    try:
        yield
    finally:
        over.set()
        asker.join()
    assert failed == []


def told(what: str, seconds: list[float]) -> str:
    """Figures for who reads the test's output."""
    cut = statistics.quantiles(seconds, n=100)
    return (
        f"neighbour {what}: {len(seconds)} answers, p50 {cut[49] * 1000:.1f} ms, "
        f"p99 {cut[98] * 1000:.1f} ms, slowest {max(seconds) * 1000:.1f} ms"
    )


def of(world: World, name: str) -> str:
    """The engine's id of an instance's only container."""
    (found,) = [c["Id"] for c in world.containers() if c["Labels"][labels.INSTANCE_NAME] == name]
    return str(found)


def processes(world: World, name: str) -> int:
    """How many processes an instance's container has."""
    with world.docker() as client:
        found = client.stats(of(world, name), stream=False)
    return int(found["pids_stats"].get("current", 0))


def logged(world: World, name: str) -> int:
    """Bytes of log on the node's disk."""
    with world.docker() as client:
        path = Path(client.inspect_container(of(world, name))["LogPath"])
    return sum(each.stat().st_size for each in path.parent.glob(f"{path.name}*"))


@pytest.mark.slow
def test_each_is_contained_and_the_neighbour_goes_on_answering(
    world: World, echo_image: str
) -> None:
    world.apply(instance("neighbour", container(echo_image)))
    world.wait("Ready", "neighbour")
    alone: list[float] = []
    with asked_all_the_while(world, "neighbour", alone):
        until(lambda: len(alone) >= 200)
    all_of_them = misbehaving(echo_image)
    beside: list[float] = []
    with asked_all_the_while(world, "neighbour", beside):
        world.apply(*(made for made, _ in all_of_them.values()))
        messages = until_told(
            world,
            {n: reason for n, (_, reason) in all_of_them.items() if reason},
            {"shy": "connection refused"},
        )
        assert "OOMKilled" in messages["grows"]
        assert "exit code 3" in messages["loops"]
        assert "16.0 MiB" in messages["fills-disk"]
        until(lambda: processes(world, "forks"), lambda seen: seen == PIDS)
        until(lambda: logged(world, "shouts"), lambda seen: seen > LOG // 2)
        assert logged(world, "shouts") <= LOG + MIB
    print(told("alone", alone))
    print(told("beside", beside))
    assert verdicts(world)["neighbour"][0] == "Ready"
    assert len(beside) > 20
    world.delete()
    world.assert_nothing_left()
