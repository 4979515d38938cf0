"""What an organiser reads in the log during an outage: each thing once, and no traces of kopf's."""

import asyncio
import json
import logging
from typing import Any

import aiohttp
import pytest
from kopf._cogs.clients import api
from kopf._cogs.clients.errors import APIError

from controller.cluster.operator import operator_settings
from controller.log import CLIENTS, ENDS, KEPT, WHILE, Repeats, without_trace


def record(text: str, *args: Any, level: int = logging.WARNING, name: str = "x") -> Any:
    return logging.LogRecord(name, level, __file__, 1, text, args, None)


class Log:
    """What gets through, on a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.repeats = Repeats(lambda: self.now)
        self.lines: list[str] = []

    def say(self, text: str, *args: Any, **rest: Any) -> None:
        """A line of the product's."""
        made = record(text, *args, **rest)
        if self.repeats.filter(made):
            self.lines.append(made.getMessage())


def test_what_is_said_every_second_is_written_once_and_counted() -> None:
    log = Log()
    for number in range(int(WHILE) + 1):
        log.say("Reconciling %s failed, again in %.1f s: %s", "a/b", 0.1 * number, "away")
        log.now += 1.0
    assert log.lines == [
        "Reconciling a/b failed, again in 0.0 s: away",
        "Reconciling a/b failed, again in 6.0 s: away (and 59 times since)",
    ]


def test_attempts_that_a_library_counts_are_one_line() -> None:
    log = Log()
    for number in range(3):
        log.say(f"Request attempt #{number} failed; will retry: GET https://x -> Error({number})")
    assert len(log.lines) == 1


def test_what_says_something_else_is_written_at_once() -> None:
    log = Log()
    for text in ("a failed", "b failed", "a failed", "a failed: why"):
        log.say(text)
    assert log.lines == ["a failed", "b failed", "a failed: why"]


def test_of_one_thing_three_causes_are_told_in_a_while() -> None:
    log = Log()
    for number in range(10):
        log.say("Cannot renew %s: %s", "x", f"error {number}", name="controller.x")
        log.say("Cannot renew %s: %s", "y", "away", name="controller.x")
        log.say(f"Request failed: GET {number % 3}", name="kopf.x")
    log.now += WHILE
    log.say("Cannot renew %s: %s", "x", "error 9", name="controller.x")
    assert log.lines == [
        "Cannot renew x: error 0",
        "Cannot renew y: away",
        "Request failed: GET 0",
        "Cannot renew x: error 1",
        "Request failed: GET 1",
        "Cannot renew x: error 2",
        "Request failed: GET 2",
        "Cannot renew x: error 9 (and 7 times since)",
    ]


def test_what_is_no_warning_is_always_written() -> None:
    log = Log()
    for _ in range(3):
        log.say("Managing", level=logging.INFO)
    assert len(log.lines) == 3


def test_the_memory_of_lines_is_bounded() -> None:
    log = Log()
    for number in range(2 * KEPT):
        log.say(f"n{number} failed")
    assert len(log.lines) == 2 * KEPT
    assert len(log.repeats._said) <= KEPT


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ClientPayloadError("cut"),
        TimeoutError(),
        json.JSONDecodeError("Expecting value", "{", 1),
    ],
)
def test_a_watch_that_was_cut_leaves_no_trace(error: Exception) -> None:
    made = record("Watcher has failed", level=logging.ERROR, name="kopf._core.reactor.x")
    made.exc_info = (type(error), error, None)
    assert without_trace(made)
    assert made.exc_info is None


@pytest.mark.parametrize("name", ["kopf._core.reactor.x", "controller.agent.run"])
def test_a_bug_keeps_its_trace(name: str) -> None:
    made = record("failed", level=logging.ERROR, name=name)
    error = KeyError("x") if name.startswith("kopf") else TimeoutError()
    made.exc_info = (type(error), error, None)
    assert without_trace(made)
    assert made.exc_info is not None


@pytest.mark.parametrize(
    ("error", "written"), [(APIError(status=410, headers={}), False), (KeyError(), True)]
)
def test_what_asyncio_says_of_a_watch_that_was_told_of_is_left_out(
    error: Exception, written: bool
) -> None:
    made = record("Task exception was never retrieved", level=logging.ERROR, name="asyncio")
    made.exc_info = (type(error), error, None)
    assert without_trace(made) is written


@pytest.mark.parametrize(("module", "traced"), [(f"{CLIENTS}.watching", False), ("x", True)])
def test_an_event_that_is_none_leaves_no_trace_but_a_handlers_bug_does(
    module: str, traced: bool
) -> None:
    """Kopf takes what is JSON for an event; our handlers are called from beneath its modules."""
    made = record("Watcher has failed", level=logging.ERROR, name="kopf._core.reactor.running")
    names = {"__name__": module}
    exec(compile("def fail(event): return event['type']", module, "exec"), names)
    outer = {"__name__": f"{CLIENTS}.api", "fail": names["fail"]}
    try:
        exec(compile("fail({})", "api", "exec"), outer)
    except KeyError as error:
        made.exc_info = (KeyError, error, error.__traceback__)
    assert without_trace(made)
    assert (made.exc_info is not None) is traced


def test_a_watcher_whose_session_was_closed_under_it_leaves_no_trace() -> None:
    made = record("Watcher has failed", level=logging.ERROR, name=ENDS)
    made.exc_info = (AssertionError, AssertionError(), None)
    assert without_trace(made)
    assert made.exc_info is None


async def test_kopf_stops_in_the_middle_of_a_request_without_a_trace(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, stop = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def request(**_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    async def watch() -> None:
        settings = operator_settings({})
        async for _ in api.stream("", settings=settings, stopper=stop, logger=logging.getLogger()):
            pass

    monkeypatch.setattr(api, "request", request)
    task = asyncio.create_task(watch())
    await asked.wait()
    stop.set_result(None)
    await asyncio.wait([task], timeout=0)
    task.cancel()
    await asyncio.wait([task])
    (said,) = [each for each in caplog.records if each.name == "asyncio"]
    assert not without_trace(said)


def test_any_other_assertion_keeps_its_trace() -> None:
    made = record("Exception in callback", level=logging.ERROR, name="asyncio")
    try:
        raise AssertionError
    except AssertionError as error:
        made.exc_info = (AssertionError, error, error.__traceback__)
    assert without_trace(made)
    assert made.exc_info is not None


ATHROW = "Task exception was never retrieved\nfuture: <Task coro=<<async_generator_athrow …>()>>"
PENDING = "Task was destroyed but it is pending!\ntask: <Task coro=<wait() running at {}/x.py:1>>"


@pytest.mark.parametrize(
    ("text", "error", "written"),
    [
        (ATHROW, RuntimeError("aclose(): asynchronous generator is already running"), False),
        (ATHROW, KeyError(), True),
        ("Task exception was never retrieved", RuntimeError(), True),
        (PENDING.format("/lib/kopf/_cogs"), None, False),
        (PENDING.format("/lib/controller"), None, True),
    ],
)
def test_what_an_ended_operator_of_kopfs_leaves_to_asyncio_is_left_out(
    text: str, error: Exception | None, written: bool
) -> None:
    made = record(text, level=logging.ERROR, name="asyncio")
    made.exc_info = (type(error), error, None) if error else None
    assert without_trace(made) is written
