"""What a caller can rely on after a call that was refused, cut, or not answered."""

import asyncio
import gc
import threading
import warnings
from pathlib import Path

import docker
import pytest
import requests

from controller.runtime.engine import Engine
from controller.runtime.errors import (
    EngineError,
    EngineUnavailable,
    ImageNotFound,
    NotFound,
    OutcomeUnknown,
)
from tests.unit.runtime.fake_engine import CutOff, FakeEngine, Request

SENT = 1.0
"""Seconds after which a call that is not answered is given up: long after it was sent, on a busy
machine too."""


def _pause(client: docker.APIClient) -> None:
    client.pause("box")


def _cut(request: Request) -> tuple[int, object]:
    raise CutOff


async def test_an_answer_is_handed_over(fake: FakeEngine, engine: Engine) -> None:
    fake.answer = lambda request: (200, {"Id": "abc"})
    found = await engine.call(lambda client: client.inspect_container("box"), effect=False)
    assert found["Id"] == "abc"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "No such container: box", NotFound),
        (404, "No such image: web:1", ImageNotFound),
        (500, "out of order", EngineError),
    ],
)
async def test_a_refusal_is_in_the_engines_words(
    status: int, message: str, kind: type[EngineError], fake: FakeEngine, engine: Engine
) -> None:
    fake.answer = lambda request: (status, {"message": message})
    with pytest.raises(EngineError) as caught:
        await engine.call(_pause, effect=True, name="box")
    assert type(caught.value) is kind
    assert caught.value.message == message
    assert not engine.pending("box")


async def test_nothing_connects_before_the_first_call(fake: FakeEngine) -> None:
    await fake.stop()
    engine = Engine(fake.url)
    assert not engine.pending("box")
    with pytest.raises(EngineUnavailable, match="no such file or directory"):
        await engine.ping()
    await engine.close()


async def test_a_socket_that_nobody_listens_on_refuses(fake: FakeEngine, engine: Engine) -> None:
    assert fake.server is not None
    fake.server.close()
    await fake.server.wait_closed()
    with pytest.raises(EngineUnavailable, match="connection refused"):
        await engine.call(_pause, effect=True, name="box")


async def test_a_cut_call_with_an_effect_is_unknown_and_has_ended(
    fake: FakeEngine, engine: Engine
) -> None:
    fake.answer = _cut
    with pytest.raises(OutcomeUnknown, match="closed before the answer"):
        await engine.call(_pause, effect=True, name="box")
    assert not engine.pending("box")
    assert len(fake.requests) == 1


async def test_a_cut_read_is_just_unavailable(fake: FakeEngine, engine: Engine) -> None:
    fake.answer = _cut
    with pytest.raises(EngineUnavailable):
        await engine.ping()
    fake.answer = lambda request: (200, "OK")
    await engine.ping()


async def test_a_call_without_an_answer_is_unknown_and_pending_until_it_has_one(
    fake: FakeEngine, engine: Engine
) -> None:
    fake.held.clear()
    with pytest.raises(OutcomeUnknown, match=r"no answer within 1 s"):
        await engine.call(_pause, effect=True, name="box", timeout=SENT)
    assert engine.pending("box")
    assert not engine.pending("other")
    fake.held.set()
    await engine.settled("box")
    assert not engine.pending("box")


async def test_a_read_without_an_answer_is_unavailable(fake: FakeEngine, engine: Engine) -> None:
    fake.held.clear()
    with pytest.raises(EngineUnavailable):
        await engine.call(lambda client: client.inspect_container("box"), effect=False, timeout=0.3)


async def test_calls_on_one_name_follow_one_another(fake: FakeEngine, engine: Engine) -> None:
    fake.held.clear()
    first = asyncio.create_task(engine.call(_pause, effect=True, name="box"))
    await fake.asked.wait()
    second = asyncio.create_task(
        engine.call(lambda client: client.unpause("box"), effect=True, name="box")
    )
    await engine.call(lambda client: None, effect=True, name="other")
    assert [request.path for request in fake.requests] == ["/containers/box/pause"]
    fake.held.set()
    await asyncio.gather(first, second)
    assert [request.path for request in fake.requests][1:] == ["/containers/box/unpause"]


async def test_the_next_call_on_a_name_is_not_sent_while_one_is_unanswered(
    fake: FakeEngine, engine: Engine
) -> None:
    fake.held.clear()
    with pytest.raises(OutcomeUnknown):
        await engine.call(_pause, effect=True, name="box", timeout=SENT)
    with pytest.raises(OutcomeUnknown, match="an earlier call on box"):
        await engine.call(_pause, effect=True, name="box", timeout=0.3)
    assert len(fake.requests) == 1


async def test_a_cancelled_call_that_was_sent_stays_pending(
    fake: FakeEngine, engine: Engine
) -> None:
    fake.held.clear()
    task = asyncio.create_task(engine.call(_pause, effect=True, name="box"))
    await fake.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.pending("box")
    fake.held.set()
    await engine.settled("box")


async def test_a_call_that_had_no_turn_is_certainly_not_carried_out(fake: FakeEngine) -> None:
    engine = Engine(fake.url, timeout=SENT, workers=1)
    fake.held.clear()
    with pytest.raises(OutcomeUnknown):
        await engine.call(_pause, effect=True, name="box")
    with pytest.raises(EngineUnavailable, match="too many earlier calls"):
        await engine.call(_pause, effect=True, name="other")
    assert not engine.pending("other")
    assert len(fake.requests) == 1
    fake.held.set()
    await engine.settled("box")
    await engine.call(_pause, effect=True, name="other")
    await engine.close()


async def test_a_call_that_never_got_to_the_engine_is_not_sent_later(
    fake: FakeEngine, engine: Engine
) -> None:
    fake.holds = lambda request: request.path == "/version"
    fake.held.clear()
    with pytest.raises(EngineUnavailable):
        await engine.call(_pause, effect=True, name="box", timeout=0.3)
    fake.held.set()
    await engine.settled("box")
    assert fake.requests == []


async def test_a_lane_of_the_callers_own_is_given_back(fake: FakeEngine, engine: Engine) -> None:
    lane = asyncio.Semaphore(1)
    fake.answer = _cut
    with pytest.raises(EngineUnavailable):
        await engine.call(_pause, effect=False, lane=lane)
    assert not lane.locked()


async def test_a_mistake_in_the_call_reaches_the_caller_as_it_is(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError):
        await engine.call(lambda client: 1 // 0, effect=True, name="box")
    assert not engine.pending("box")


async def test_waiting_gives_up_after_the_attempts(fake: FakeEngine, engine: Engine) -> None:
    fake.answer = _cut
    with pytest.raises(EngineUnavailable):
        await engine.wait(attempts=3, interval=0.0)
    assert len(fake.requests) == 3


async def test_waiting_ends_with_the_first_answer(fake: FakeEngine, engine: Engine) -> None:
    def second(request: Request) -> tuple[int, object]:
        return (200, "OK") if len(fake.requests) == 2 else _cut(request)

    fake.answer = second
    await engine.wait(attempts=5, interval=0.0)
    assert len(fake.requests) == 2


async def test_an_engine_that_refuses_a_ping_is_unavailable(
    fake: FakeEngine, engine: Engine
) -> None:
    fake.answer = lambda request: (500, {"message": "starting up"})
    with pytest.raises(EngineUnavailable, match="starting up"):
        await engine.ping()


async def test_a_closed_door_sends_nothing(fake: FakeEngine, engine: Engine) -> None:
    await engine.close()
    with pytest.raises(EngineUnavailable, match="closed"):
        await engine.ping()
    assert fake.requests == []


async def test_leaving_the_events_ends_their_thread(fake: FakeEngine, engine: Engine) -> None:
    fake.held.clear()
    events = engine.events("mine")
    first = asyncio.ensure_future(anext(events))
    await fake.asked.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await events.aclose()
    fake.held.set()
    readers = [thread for thread in threading.enumerate() if thread.name == "docker-events"]
    for thread in readers:
        await asyncio.to_thread(thread.join, 30)
    assert not any(thread.is_alive() for thread in readers)


async def test_a_call_that_was_given_up_is_counted_until_it_is_answered_and_then_told(
    fake: FakeEngine, engine: Engine
) -> None:
    told: list[str] = []
    engine.answered = told.append
    release = threading.Event()
    with pytest.raises(OutcomeUnknown):
        await engine.call(lambda _: release.wait(), effect=True, name="box", timeout=SENT)
    begun = threading.Event()

    def late(_: docker.APIClient) -> None:
        begun.set()
        release.wait()

    cancelled = asyncio.create_task(engine.call(late, effect=True, name="other", timeout=30))
    await asyncio.to_thread(begun.wait)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert engine.unanswered == 2
    assert told == []
    release.set()
    await engine.settled("box")
    await engine.settled("other")
    await asyncio.sleep(0)
    assert engine.unanswered == 0
    assert sorted(told) == ["box", "other"]


async def test_a_read_that_was_given_up_is_not_counted(fake: FakeEngine, engine: Engine) -> None:
    fake.held.clear()
    with pytest.raises(EngineUnavailable):
        await engine.call(lambda client: client.ping(), effect=False, timeout=0.05)
    assert engine.unanswered == 0


def test_an_engine_that_went_away_in_the_last_moment_leaks_no_socket(tmp_path: Path) -> None:
    """It is asked again and again while it is away: each socket left open would be one more."""
    client = docker.APIClient(base_url=f"unix://{tmp_path}/docker.sock", version="1.41")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gc.collect()
        told.clear()  # what other tests have left
        with pytest.raises(requests.exceptions.ConnectionError):
            client.ping()
        client.close()
        gc.collect()
    assert [str(warning.message) for warning in told] == []


async def test_a_busy_engine_still_gives_a_sign_of_life(fake: FakeEngine) -> None:
    """Hundreds of instances that are deleted at once ask it more than it can answer at a time."""
    busy = Engine(fake.url, timeout=30.0, workers=1)
    fake.holds = lambda request: request.path.startswith("/containers")
    fake.held.clear()
    asking = [
        asyncio.create_task(busy.call(lambda client: client.containers(), effect=False))
        for _ in range(3)
    ]
    await fake.asked.wait()
    await asyncio.wait_for(busy.ping(), 30.0)
    fake.answer = lambda request: (200, [])
    fake.held.set()
    await asyncio.gather(*asking)
    await busy.close()
