"""Each image is pulled once at a time, a few at once, and a failure is not hammered."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import docker
import pytest

from controller.runtime.engine import Engine
from controller.runtime.errors import EngineUnavailable, PullFailed
from controller.runtime.images import Failed, Images, Present, Pulling
from controller.runtime.pull import pull_image
from tests.unit.runtime.fake_engine import CutOff, FakeEngine, Request


class Registry:
    """Answers as an engine does that pulls from a registry."""

    def __init__(self) -> None:
        self.local: set[str] = set()
        self.fault: tuple[int, Any] | None = None
        self.pulls: list[str] = []

    def answer(self, request: Request) -> tuple[int, Any]:
        """The images in the engine, and pulls that succeed at once or fail as told."""
        if request.path == "/_ping":
            return 200, "OK"
        if request.method == "GET":
            name = request.path.removeprefix("/images/").removesuffix("/json")
            found = name in self.local
            return (200, {"Id": f"id of {name}"}) if found else (404, {"message": "No such image"})
        query = dict(each.split("=") for each in request.path.partition("?")[2].split("&"))
        self.pulls.append(f"{query['fromImage']}:{query['tag']}")
        if self.fault is not None:
            return self.fault
        self.local.add(self.pulls[-1])
        return 200, b"".join(json.dumps(line).encode() + b"\r\n" for line in LINES)


HERE, ALL = 1_000_000, 4_000_000
LINES = [
    {"status": "Pulling from team/web", "id": "1"},
    {"status": "Pulling fs layer", "progressDetail": {}, "id": "a"},
    {
        "status": "Downloading",
        "progressDetail": {"current": HERE, "total": ALL},
        "id": "a",
    },
    {"status": "Download complete", "progressDetail": {}, "id": "a"},
    {"status": "Status: Downloaded newer image"},
]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The time of the images."""
    return Clock()


@pytest.fixture
def registry(fake: FakeEngine) -> Registry:
    """What the engine has, and what it can pull."""
    made = Registry()
    fake.answer = made.answer
    return made


@pytest.fixture
async def images(engine: Engine, registry: Registry, clock: Clock) -> AsyncIterator[Images]:
    """The images of the stand-in."""
    made = Images(engine, concurrent_pulls=2, stall_timeout=30.0, clock=clock)
    yield made
    await made.close()


async def _pulled(images: Images, image: str, **options: Any) -> None:
    """Ask, and wait to be woken."""
    woken = asyncio.Event()
    status = await images.ensure(image, options.pop("policy", "IfNotPresent"), woken.set, **options)
    assert isinstance(status, Pulling)
    await woken.wait()


async def test_an_image_that_is_there_is_not_pulled(images: Images, registry: Registry) -> None:
    registry.local.add("web:1")
    status = await images.ensure("web:1", "IfNotPresent", lambda: None)
    assert status == Present("id of web:1")
    assert registry.pulls == []


async def test_an_answer_that_is_young_enough_will_do(
    images: Images, registry: Registry, fake: FakeEngine, clock: Clock
) -> None:
    registry.local.add("web:1")

    async def looks(within: float) -> int:
        before = len(fake.requests)
        assert await images.ensure("web:1", "IfNotPresent", lambda: None, within=within) == Present(
            "id of web:1"
        )
        return len([each for each in fake.requests[before:] if "/images/" in each.path])

    assert await looks(10.0) == 1
    clock.now += 9.0
    assert (await looks(10.0), await looks(5.0)) == (0, 1)
    images.missing("web:1")
    assert await looks(10.0) == 1
    assert await looks(0.0) == 1


async def test_many_who_wait_for_one_image_share_a_pull_and_are_all_woken(
    fake: FakeEngine, images: Images, registry: Registry
) -> None:
    # The pull goes on until all have asked: one who asks after its end would find the image.
    fake.holds = lambda request: request.method == "POST"
    fake.held.clear()
    wakes = [asyncio.Event() for _ in range(20)]
    asked = (images.ensure("web:1", "IfNotPresent", woken.set) for woken in wakes)
    assert {type(status) for status in await asyncio.gather(*asked)} == {Pulling}
    fake.held.set()
    await asyncio.gather(*(woken.wait() for woken in wakes))
    assert registry.pulls == ["web:1"]
    assert await images.state("web:1") == Present("id of web:1")


async def test_who_waits_for_a_pull_is_known_until_it_ends(
    fake: FakeEngine, images: Images, registry: Registry
) -> None:
    fake.holds = lambda request: request.method == "POST"
    fake.held.clear()
    woken = asyncio.Event()
    await images.ensure("web:1", "IfNotPresent", woken.set, waiter="uid")
    assert (images.awaited_by("uid"), images.awaited_by("other")) == (True, False)
    fake.held.set()
    await woken.wait()
    await asyncio.sleep(0)
    assert not images.awaited_by("uid")


async def test_no_more_pulls_at_once_than_allowed(
    fake: FakeEngine, engine: Engine, images: Images, registry: Registry
) -> None:
    fake.holds = lambda request: request.method == "POST"
    fake.held.clear()
    waiting = [asyncio.create_task(_pulled(images, f"web:{number}")) for number in range(6)]
    while fake.inside["POST"] < 2:
        await engine.ping()
    for _ in range(10):  # the time that any others would take to get there
        await engine.ping()
    assert all(images.progress(f"web:{number}") for number in range(6))
    fake.held.set()
    await asyncio.gather(*waiting)
    assert len(registry.pulls) == 6
    assert fake.most["POST"] == 2


async def test_no_tag_is_latest_not_every_tag(images: Images, registry: Registry) -> None:
    with pytest.raises(PullFailed):  # "web" is not among the stand-in's, "web:latest" is
        await images.pull("web")
    assert registry.pulls == ["web:latest"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ((404, {"message": "manifest for web:1 not found"}), "manifest for web:1 not found"),
        ((500, {"message": "Get https://r/v2/: connection refused"}), "connection refused"),
        ((200, b'{"status":"x"}\r\n{"errorDetail":{},"error":"toomanyrequests"}\r\n'), "toomany"),
    ],
)
async def test_a_failure_is_told_in_the_engines_words(
    fault: tuple[int, Any], words: str, images: Images, registry: Registry
) -> None:
    registry.fault = fault
    with pytest.raises(PullFailed, match=words):
        await images.pull("web:1")


async def test_a_failed_pull_is_tried_again_after_a_pause_that_grows(
    images: Images, registry: Registry, clock: Clock
) -> None:
    registry.fault = (500, {"message": "no"})
    pauses = []
    for tries in range(1, 8):
        await _pulled(images, "web:1")
        failed = await images.ensure("web:1", "IfNotPresent", lambda: None)
        assert isinstance(failed, Failed)
        assert (failed.message, failed.at, len(registry.pulls)) == ("no", clock.now, tries)
        pauses.append(failed.retry_at - failed.at)
        clock.now = failed.retry_at
    assert pauses == [10, 20, 40, 80, 160, 300, 300]
    registry.fault = None
    await _pulled(images, "web:1")
    assert isinstance(await images.ensure("web:1", "IfNotPresent", lambda: None), Present)


async def test_an_image_that_comes_by_another_way_ends_the_failure(
    images: Images, registry: Registry
) -> None:
    registry.fault = (500, {"message": "no"})
    await _pulled(images, "web:1")
    registry.local.add("web:1")
    status = await images.ensure("web:1", "IfNotPresent", lambda: None)
    assert status == Present("id of web:1")


async def test_always_pulls_once_for_all_who_asked_before_it_began(
    fake: FakeEngine, images: Images, registry: Registry
) -> None:
    registry.local.add("web:1")
    fake.holds = lambda request: request.method == "POST"
    fake.held.clear()
    wakes = [asyncio.Event() for _ in range(20)]
    for number, woken in enumerate(wakes):
        await images.ensure("web:1", "Always", woken.set, waiter=number)
    fake.held.set()
    await asyncio.gather(*(woken.wait() for woken in wakes))
    for number in range(20):
        status = await images.ensure("web:1", "Always", lambda: None, waiter=number)
        assert status == Present("id of web:1")
    assert registry.pulls == ["web:1"]


async def test_always_pulls_again_for_who_asked_when_a_pull_was_under_way(
    fake: FakeEngine, images: Images, registry: Registry, clock: Clock
) -> None:
    """Between the pull's beginning and the question somebody may have pushed another image."""
    fake.holds = lambda request: request.method == "POST"
    fake.held.clear()
    first, second = asyncio.Event(), asyncio.Event()
    await images.ensure("web:1", "Always", first.set, waiter="early")
    await fake.asked.wait()  # by the pull: nothing else is sent to the engine
    clock.now += 0.1
    await images.ensure("web:1", "Always", second.set, waiter="late")
    fake.held.set()
    await asyncio.gather(first.wait(), second.wait())
    assert isinstance(await images.ensure("web:1", "Always", first.set, waiter="early"), Present)
    await _pulled(images, "web:1", policy="Always", waiter="late")
    assert registry.pulls == ["web:1", "web:1"]


async def test_a_pull_that_stalls_fails(fake: FakeEngine, engine: Engine) -> None:
    images = Images(engine, concurrent_pulls=1, stall_timeout=0.1)
    fake.held.clear()
    with pytest.raises(PullFailed, match=r"no progress for 0\.1 s"):
        async with asyncio.timeout(30):
            await images.pull("web:1")


async def test_a_pull_that_is_cut_fails(
    fake: FakeEngine, images: Images, registry: Registry
) -> None:
    def cut(request: Request) -> tuple[int, Any]:
        raise CutOff

    fake.answer = cut
    with pytest.raises(PullFailed, match="closed before the answer"):
        await images.pull("web:1")


async def test_an_engine_that_is_away_is_said_so_and_not_taken_for_a_missing_image(
    fake: FakeEngine, images: Images
) -> None:
    await fake.stop()
    with pytest.raises(EngineUnavailable):
        await images.ensure("web:1", "IfNotPresent", lambda: None)
    await fake.start()


async def test_who_gives_up_waiting_does_not_end_the_pull(
    fake: FakeEngine, images: Images, registry: Registry
) -> None:
    fake.held.clear()
    first = asyncio.create_task(images.pull("web:1"))
    await fake.asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert images.progress("web:1") is not None
    fake.held.set()
    await images.pull("web:1")
    assert registry.pulls == ["web:1"]


async def test_progress_is_told_in_a_few_words(engine: Engine, registry: Registry) -> None:
    told: list[str] = []

    def pull(client: docker.APIClient) -> None:
        deadline = time.monotonic() + 60
        pull_image(
            client,
            "web:1",
            None,
            told.append,
            stall_timeout=30.0,
            deadline=deadline,
            given_up=lambda: False,
        )

    await engine.call(pull, effect=False)
    assert told == [
        "Pulling from team/web",
        "Pulling fs layer",
        "1 of 4 MB",
        "4 of 4 MB",
        "4 of 4 MB",
    ]
