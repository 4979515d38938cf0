"""Images from a real registry: passwords, digests, one that is down, one that stalls mid-layer."""

import asyncio
from collections.abc import AsyncIterator

import docker
import pytest

from controller.runtime.engine import Engine
from controller.runtime.errors import PullFailed
from controller.runtime.images import Failed, Images, Present, Pulling, RegistryAuth
from hack.bed.bed import Bed
from hack.bed.registry import ACCOUNT, Registry
from tests.integration.registries import HeldDoor
from tests.integration.world import until

STALL = 8.0
RIGHT = RegistryAuth(ACCOUNT["username"], ACCOUNT["password"])
WRONG = RegistryAuth("player", "battery-staple")


class Clock:
    """Seconds that pass when a test says so: nobody waits for a back-off here."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def images(engine: Engine, clock: Clock) -> AsyncIterator[Images]:
    """The engine's images, two pulls at once."""
    made = Images(engine, concurrent_pulls=2, stall_timeout=120.0, clock=clock)
    yield made
    await made.close()


async def test_an_image_is_pulled_and_told_by_its_digest(
    images: Images, registry: Registry, echo_image: str
) -> None:
    digest = registry.push(echo_image, "ctf/plain")
    name = f"{registry.address}/ctf/plain"
    await images.pull(f"{name}:1")
    assert await images.digest(f"{name}:1") == f"{name}@{digest}"


async def test_an_image_is_pulled_by_its_digest_alone(
    images: Images, registry: Registry, echo_image: str
) -> None:
    name = f"{registry.address}/ctf/pinned"
    pinned = registry.push(echo_image, "ctf/pinned")
    registry.push(echo_image, "ctf/pinned")  # the tag has moved on
    await images.pull(f"{name}@{pinned}")
    assert await images.digest(f"{name}@{pinned}") == f"{name}@{pinned}"
    assert await images.present(f"{name}:1") is None


async def test_twenty_who_want_an_image_make_one_pull_of_it(
    images: Images, registry: Registry, echo_image: str
) -> None:
    registry.push(echo_image, "ctf/wanted")
    name = f"{registry.address}/ctf/wanted:1"
    wakes = [asyncio.Event() for _ in range(20)]
    asked = [await images.ensure(name, "IfNotPresent", woken.set) for woken in wakes]
    assert isinstance(asked[0], Pulling)
    # On a busy machine it can be there before the last one asks.
    waiting = [w for w, status in zip(wakes, asked, strict=True) if isinstance(status, Pulling)]
    await asyncio.gather(*(woken.wait() for woken in waiting))
    assert isinstance(await images.ensure(name, "IfNotPresent", wakes[0].set), Present)
    assert registry.requests("GET /v2/ctf/wanted/manifests/") == 1


async def test_always_brings_what_was_pushed_since(
    images: Images, registry: Registry, clock: Clock, echo_image: str
) -> None:
    name = f"{registry.address}/ctf/moving"
    ids = []
    for waiter in ("first", "second"):
        digest = registry.push(echo_image, "ctf/moving")
        clock.now += 1
        woken = asyncio.Event()
        status = await images.ensure(f"{name}:1", "Always", woken.set, waiter=waiter)
        assert isinstance(status, Pulling)
        await woken.wait()
        found = await images.ensure(f"{name}:1", "Always", woken.set, waiter=waiter)
        assert isinstance(found, Present)
        assert images.digests.named(found.id, name) == f"{name}@{digest}"
        ids.append(found.id)
    assert ids[0] != ids[1]
    assert await images.ensure(f"{name}:1", "Never", woken.set) == Present(ids[1])


async def test_a_password_is_asked_for_and_the_right_one_of_several_is_found(
    images: Images, locked_registry: Registry, echo_image: str
) -> None:
    locked_registry.push(echo_image, "ctf/secret")
    name = f"{locked_registry.address}/ctf/secret:1"
    with pytest.raises(PullFailed, match="no basic auth credentials"):
        await images.pull(name)
    with pytest.raises(PullFailed, match="unauthorized: authentication required") as caught:
        await images.pull(name, auths=(WRONG,))
    assert WRONG.password not in caught.value.message
    assert await images.present(name) is None
    await images.pull(name, auths=(WRONG, RIGHT))
    assert await images.present(name) is not None


async def test_a_registry_that_is_down_is_told_and_tried_again(
    bed: Bed, images: Images, clock: Clock, echo_image: str
) -> None:
    coming = Registry(bed, "coming-registry")
    coming.start()
    coming.push(echo_image, "ctf/late")
    coming.stop()
    name = f"{coming.address}/ctf/late:1"
    with pytest.raises(PullFailed, match="connection refused"):
        await images.pull(name)
    coming.start()
    failed = await images.ensure(name, "IfNotPresent", lambda: None)
    assert isinstance(failed, Failed)
    clock.now = failed.retry_at
    woken = asyncio.Event()
    assert isinstance(await images.ensure(name, "IfNotPresent", woken.set), Pulling)
    await woken.wait()
    assert isinstance(await images.ensure(name, "IfNotPresent", woken.set), Present)
    coming.stop()


async def test_a_layer_that_stops_in_its_middle_fails_and_is_had_when_it_goes_on(
    engine: Engine, registry: Registry, door: HeldDoor, echo_image: str, api: docker.APIClient
) -> None:
    images = Images(engine, concurrent_pulls=2, stall_timeout=STALL)
    registry.push(echo_image, "ctf/stalled", megabytes=4)
    name = f"{door.address}/ctf/stalled:1"
    with door.held():
        with pytest.raises(PullFailed, match="no progress for 8 s"):
            await images.pull(name)
        assert door.requests("/blobs/"), "it had begun"
    await images.pull(name)
    assert await images.present(name) is not None
    api.remove_image(name)
    await images.close()


async def test_no_more_images_are_asked_for_at_once_than_allowed(
    engine: Engine, registry: Registry, door: HeldDoor, echo_image: str
) -> None:
    images = Images(engine, concurrent_pulls=2, stall_timeout=120.0)
    names = [f"ctf/gate-{number}" for number in range(4)]
    for name in names:
        registry.push(echo_image, name, megabytes=2)
    with door.held():
        pulls = [asyncio.create_task(images.pull(f"{door.address}/{name}:1")) for name in names]
        await asyncio.to_thread(door.wait_for, "/blobs/", 2)
        first = f"{door.address}/ctf/gate-0:1"
        await asyncio.to_thread(until, lambda: images.progress(first), lambda p: "MB" in str(p))
        for _ in range(5):  # the time that a third would take to get there
            await engine.ping()
        assert len(set(door.requests("HEAD /v2/ctf/gate"))) == 2
    await asyncio.gather(*pulls)
    assert len(set(door.requests("HEAD /v2/ctf/gate"))) == 4
    await images.close()
