"""Images are pulled once at a time, and a registry that fails is told in its words, soon."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from controller.runtime.engine import Engine
from controller.runtime.errors import ImageNotFound, PullFailed
from controller.runtime.images import Absent, Failed, Images, Present, Pulling

# Nothing listens on port 9 of the engine's own machine, and it needs no TLS there.
UNREACHABLE = "127.0.0.1:9/team/web:1"


@pytest.fixture
async def images(engine: Engine) -> AsyncIterator[Images]:
    """The engine's images."""
    made = Images(engine, concurrent_pulls=2)
    yield made
    await made.close()


async def test_a_local_image_needs_no_registry(images: Images, shell_image: str) -> None:
    woken = asyncio.Event()
    found = await images.present(shell_image)
    assert found is not None
    assert found.startswith("sha256:")
    for policy in ("IfNotPresent", "Never"):
        status = await images.ensure(shell_image, policy, woken.set)
        assert status == Present(found)
    assert await images.state(shell_image) == Present(found)
    assert await images.digest(shell_image) == found
    assert not woken.is_set()


async def test_an_unreachable_registry_fails_with_its_words_and_wakes_everyone(
    images: Images,
) -> None:
    assert await images.state(UNREACHABLE) == Absent()
    woken = [asyncio.Event(), asyncio.Event()]
    for event in woken:
        assert isinstance(await images.ensure(UNREACHABLE, "IfNotPresent", event.set), Pulling)
    async with asyncio.timeout(90):
        for event in woken:
            await event.wait()
    failed = await images.ensure(UNREACHABLE, "IfNotPresent", woken[0].set)
    assert isinstance(failed, Failed)
    assert "127.0.0.1:9" in failed.message
    assert "connection refused" in failed.message
    assert failed.retry_at > failed.at
    assert await images.state(UNREACHABLE) == failed
    assert images.progress(UNREACHABLE) is None


async def test_a_pull_that_is_waited_for_raises(images: Images) -> None:
    with pytest.raises(PullFailed, match="connection refused") as caught:
        await images.pull(UNREACHABLE)
    assert caught.value.image == UNREACHABLE


@pytest.mark.parametrize("name", ["UPPER/case:1", "a b", "-x/y"])
async def test_a_name_that_is_none_is_told(name: str, images: Images) -> None:
    with pytest.raises(PullFailed):
        await images.pull(name)


async def test_an_image_that_is_not_there_and_must_not_be_pulled(images: Images) -> None:
    status = await images.ensure("not-here:1", "Never", lambda: None)
    assert isinstance(status, Failed)
    assert status.message == "image not-here:1 is not on this node, and imagePullPolicy is Never"
    assert await images.present("not-here:1") is None
    with pytest.raises(ImageNotFound):
        await images.digest("not-here:1")
