"""What the runtime knows of a call when the engine is away, hangs, or dies in the middle."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import docker
import pytest

from controller.runtime import containers, labels
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineUnavailable, NotFound, OutcomeUnknown
from controller.runtime.events import Event
from controller.runtime.labels import Owner
from hack.bed.engine import Engine as BedEngine

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds for an engine that is there, on a machine that is busy with more."""


@pytest.fixture
def frozen(bed_engine: BedEngine) -> Iterator[BedEngine]:
    """The engine's process; thawed at the end, whatever the test did to it."""
    yield bed_engine
    bed_engine.thaw()


class Watched(Engine):
    """Tells when a call has begun, and can no longer be taken back."""

    def watch(self) -> asyncio.Event:
        self.begun = asyncio.Event()
        return self.begun

    async def call(self, fn: Callable[[docker.APIClient], T], **options: Any) -> T:
        loop = asyncio.get_running_loop()

        def told(client: docker.APIClient) -> T:
            loop.call_soon_threadsafe(self.begun.set)
            return fn(client)

        return await super().call(told, **options)


async def test_the_engine_says_who_it_is(engine: Engine) -> None:
    info = await engine.identity()
    assert info.id
    assert info.version
    assert info.cpus >= 1
    assert info.memory > 0
    assert await engine.identity() == info


async def test_an_absent_engine_is_unavailable_and_found_when_it_comes(
    bed_engine: BedEngine, tmp_path: Path
) -> None:
    socket = Path(bed_engine.url.removeprefix("unix://"))
    link = tmp_path / "docker.sock"
    engine = Engine(f"unix://{link}", timeout=10)
    with pytest.raises(EngineUnavailable, match="no such file or directory"):
        await engine.ping()
    with pytest.raises(EngineUnavailable):
        await engine.call(lambda client: client.pause("x"), effect=True, name="x")
    waiting = asyncio.create_task(engine.wait(attempts=100, interval=0.05))
    link.symlink_to(socket)
    await waiting
    link.unlink()
    with pytest.raises(EngineUnavailable):
        await engine.wait(attempts=3, interval=0.01)
    await engine.close()


async def test_calls_work_again_after_the_engine_was_killed(
    engine: Engine, bed_engine: BedEngine, owner: Owner, network: str, shell: ContainerPlan
) -> None:
    await asyncio.gather(*(engine.ping() for _ in range(4)))
    bed_engine.kill()
    try:
        with pytest.raises(EngineUnavailable):
            await engine.ping()
        # A dying engine's socket can still take a call and cut it.
        with pytest.raises((EngineUnavailable, OutcomeUnknown)):
            await containers.launch(engine, owner, shell, network)
    finally:
        bed_engine.start()
    await asyncio.gather(*(engine.ping() for _ in range(4)))
    assert await containers.launch(engine, owner, shell, network)


async def test_a_create_that_hangs_is_pending_until_the_engine_answers(
    bed_engine: BedEngine,
    frozen: BedEngine,
    engine: Engine,
    owner: Owner,
    network: str,
    shell: ContainerPlan,
) -> None:
    hasty = Engine(bed_engine.url, timeout=0.5)
    await hasty.wait(attempts=100, interval=0.1)
    name = labels.container_name(owner.uid, "shell")
    frozen.freeze()
    with pytest.raises(OutcomeUnknown, match=r"no answer within 0\.5 s"):
        await containers.create(hasty, owner, shell, network)
    assert hasty.pending(name)
    with pytest.raises(EngineUnavailable):
        await hasty.ping()
    with pytest.raises(OutcomeUnknown, match="not answered yet"):
        await containers.remove(hasty, name, stop_timeout=0)
    frozen.thaw()
    async with asyncio.timeout(PATIENCE):
        await hasty.settled(name)
    assert (await containers.inspect(engine, name)).state == "created"
    hasty.timeout = PATIENCE
    await containers.remove(hasty, name, stop_timeout=0)
    await hasty.close()


async def test_a_cancelled_create_goes_on_and_the_removal_waits_for_it(
    bed_engine: BedEngine,
    frozen: BedEngine,
    engine: Engine,
    owner: Owner,
    network: str,
    shell: ContainerPlan,
) -> None:
    watched = Watched(bed_engine.url, timeout=30.0)
    begun = watched.watch()
    await watched.ping()
    begun.clear()
    name = labels.container_name(owner.uid, "shell")
    frozen.freeze()
    create = asyncio.create_task(containers.create(watched, owner, shell, network))
    await begun.wait()
    create.cancel()
    with pytest.raises(asyncio.CancelledError):
        await create
    assert watched.pending(name)
    removal = asyncio.create_task(containers.remove(watched, name, stop_timeout=0))
    frozen.thaw()
    await removal
    assert not watched.pending(name)
    with pytest.raises(NotFound):
        await containers.inspect(engine, name)
    await watched.close()


async def test_a_full_queue_of_unanswered_calls_does_not_keep_reads_waiting(
    bed_engine: BedEngine, frozen: BedEngine
) -> None:
    engine = Engine(bed_engine.url, timeout=0.3, workers=2)
    await asyncio.gather(*(engine.wait(attempts=100, interval=0.1) for _ in range(2)))
    frozen.freeze()
    calls = [
        engine.call(lambda client: client.pause("none"), effect=True, name=f"n{number}")
        for number in range(4)
    ]
    faults = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(each, OutcomeUnknown | EngineUnavailable) for each in faults)
    with pytest.raises(EngineUnavailable, match="not answered yet"):
        await engine.call(lambda client: client.pause("none"), effect=True, name="n9")
    frozen.thaw()
    engine.timeout = PATIENCE
    await engine.wait(attempts=50, interval=0.1)
    async with asyncio.timeout(PATIENCE):
        for number in range(4):
            await engine.settled(f"n{number}")
    with pytest.raises(NotFound):
        await engine.call(lambda client: client.pause("none"), effect=True, name="n9")
    await engine.close()


async def _next(events: AsyncIterator[Event], action: str) -> Event:
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if event.action == action:
                return event
    raise AssertionError("the stream ended")


async def test_events_of_our_containers_and_networks_only(
    engine: Engine, owner: Owner, network: str, shell: ContainerPlan
) -> None:
    events = engine.events(owner.installation)
    assert (await anext(events)).action == "connected"
    stranger = engine.events("another-installation")
    assert (await anext(stranger)).action == "connected"
    name = labels.container_name(owner.uid, "shell")
    await containers.launch(engine, owner, shell, network)
    started = await _next(events, "start")
    assert (started.type, started.name, started.uid) == ("container", name, owner.uid)
    assert started.container == "shell"
    assert started.time > 1_700_000_000_000
    await containers.remove(engine, name, stop_timeout=0)
    assert (await _next(events, "die")).uid == owner.uid
    await engine.call(lambda client: client.remove_network(network), effect=True)
    gone = await _next(events, "destroy")
    while gone.type != "network":
        gone = await _next(events, "destroy")
    assert gone.name == network
    # Of the same time the stranger heard of the network only, which has no labels to tell by.
    assert (await _next(stranger, "destroy")).type == "network"
    for stream in (events, stranger):
        await stream.aclose()
    for thread in threading.enumerate():
        if thread.name == "docker-events":
            await asyncio.to_thread(thread.join, PATIENCE)
            assert not thread.is_alive()


async def test_a_cut_event_stream_ends_as_unavailable(
    engine: Engine, bed_engine: BedEngine
) -> None:
    events = engine.events("nobody")
    assert (await anext(events)).action == "connected"
    bed_engine.kill()
    try:
        with pytest.raises(EngineUnavailable):
            async with asyncio.timeout(PATIENCE):
                await anext(events)
    finally:
        bed_engine.start()
