"""The agent's three doors with the seam in them, each at the one place that all calls go through.

Responsible for what a fault looks like at each door, in the door's own terms: the caller must not
be able to tell it from a real one.
"""

import asyncio
import inspect
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import Any, Final
from unittest.mock import patch

import docker
import requests

from controller.cluster.client import JSON, REQUEST_TIMEOUT, Cluster, Object
from controller.cluster.errors import ApiUnavailable
from controller.ledger import Ledger
from controller.ledger.doors import SlotDoor, SubnetDoor
from controller.ledger.errors import LedgerError, translate
from controller.ledger.reader import LedgerReader
from controller.reconcile.instance import InstanceReconciler
from controller.reconcile.queue import Key
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineError
from tests.faults.seam import API, ENGINE, LEDGER, PATIENCE, SILENCE, Fault, Seam, When

SAID: Final = "a fault was planned here"


def install(seam: Seam) -> ExitStack:
    """Put the seam in all doors of this process; closing the result takes it out."""
    stack = ExitStack()
    stack.enter_context(patch.object(InstanceReconciler, "reconcile", _marking(seam)))
    stack.enter_context(patch.object(Engine, "call", _engine(seam)))
    stack.enter_context(patch.object(Cluster, "request", _api(seam)))
    for owner, name, method in _ledger_methods():
        changes = owner is not LedgerReader
        stack.enter_context(patch.object(owner, name, _ledger(seam, method, changes)))
    return stack


def _marking(seam: Seam) -> Callable[..., Any]:
    """A reconcile that tells whose it is to all that is called in it, in other threads too."""
    real = InstanceReconciler.reconcile

    async def reconcile(self: InstanceReconciler, key: Key) -> float | None:
        seam.names[key.uid] = key.name
        marked = seam.instance.set(key.name)
        try:
            return await real(self, key)
        finally:
            seam.instance.reset(marked)

    return reconcile


def _engine(seam: Seam) -> Callable[..., Any]:
    real = Engine.call

    async def call(
        self: Engine,
        fn: Callable[[docker.APIClient], Any],
        *,
        effect: bool,
        name: str | None = None,
        timeout: float | None = None,
        lane: asyncio.Semaphore | None = None,
    ) -> Any:
        called = f"{fn.__module__.rpartition('.')[2]}.{fn.__qualname__.partition('.')[0]}"
        fault = seam.reach(ENGINE, f"{called} {name or ''}".strip(), effect=effect)
        made = fn
        if fault is not None:
            timeout = PATIENCE if fault.what in ("timeout", "late") else timeout

            def made(client: docker.APIClient) -> Any:
                return _in_the_engine(fault, lambda: fn(client))

        return await real(self, made, effect=effect, name=name, timeout=timeout, lane=lane)

    return call


def _in_the_engine(fault: Fault, do: Callable[[], Any]) -> Any:
    """Runs in the thread of the call, whose caller has given it up when SILENCE is over."""
    fault.kill("before")
    if fault.is_to("before", "timeout", "late"):
        time.sleep(SILENCE)
    if fault.is_to("before", "delay"):
        time.sleep(PATIENCE / 2)
    _refuse_in_the_engine(fault, "before")
    result = do()
    fault.kill("after")
    if fault.is_to("after", "timeout"):
        time.sleep(SILENCE)
    if fault.is_to("after", "delay"):
        time.sleep(PATIENCE / 2)
    _refuse_in_the_engine(fault, "after")
    return result


def _refuse_in_the_engine(fault: Fault, when: When) -> None:
    if fault.is_to(when, "error"):
        raise EngineError(500, SAID)
    if fault.is_to(when, "cut") or (when == "before" and fault.is_to(when, "timeout")):
        raise requests.exceptions.ConnectionError(SAID)


def _ledger_methods() -> Iterator[tuple[type, str, Callable[..., Any]]]:
    for owner in (Ledger, SlotDoor, SubnetDoor, LedgerReader):
        for name, method in vars(owner).items():
            if inspect.isfunction(method) and not name.startswith("_") and name != "close":
                yield owner, name, method


def _ledger(seam: Seam, real: Callable[..., Any], changes: bool) -> Callable[..., Any]:
    name = real.__name__

    @wraps(real)
    def method(self: LedgerReader, *args: Any, **words: Any) -> Any:
        # These are in one batch, outside of any reconcile.
        batch = [seam.names[uid] for uid in args[0]] if name == "finalize" else [None]
        reached = [seam.reach(LEDGER, name, effect=changes, instance=each) for each in batch]
        fault = next((each for each in reached if each is not None), None)
        if fault is None:
            return real(self, *args, **words)
        _in_the_ledger(fault, self, "before")
        result = real(self, *args, **words)
        _in_the_ledger(fault, self, "after")
        return result

    return method


def _in_the_ledger(fault: Fault, ledger: LedgerReader, when: When) -> None:
    fault.kill(when)
    if fault.is_to(when, "timeout"):
        time.sleep(PATIENCE)
        raise _refusal(ledger, sqlite3.SQLITE_BUSY)
    if fault.is_to(when, "delay"):
        time.sleep(PATIENCE / 2)
    if fault.is_to(when, "error", "cut", "late"):
        raise _refusal(ledger, sqlite3.SQLITE_IOERR)


def _refusal(ledger: LedgerReader, code: int) -> LedgerError:
    error = sqlite3.OperationalError(SAID)
    error.sqlite_errorcode = code
    return translate(ledger.path, error)


def _api(seam: Seam) -> Callable[..., Any]:
    real = Cluster.request

    async def request(
        self: Cluster,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: dict[str, str] | None = None,
        content_type: str = JSON,
        timeout: float = REQUEST_TIMEOUT,
    ) -> Object:
        # An Event is sent later, in a task of its own.
        about = (body or {}).get("involvedObject", {}).get("name")
        fault = seam.reach(API, f"{method} {path}", effect=method != "GET", instance=about)

        async def send() -> Object:
            return await real(
                self, method, path, body, query=query, content_type=content_type, timeout=timeout
            )

        return await (send() if fault is None else _at_the_api_server(fault, send))

    return request


late: Final[set[asyncio.Task[Any]]] = set()
"""Requests that are on their way though they were given up."""


async def _at_the_api_server(fault: Fault, send: Callable[[], Any]) -> Object:
    await _unanswered(fault, "before", send)
    result: Object = await send()
    await _unanswered(fault, "after", send)
    return result


async def _unanswered(fault: Fault, when: When, send: Callable[[], Any]) -> None:
    fault.kill(when)
    if fault.is_to(when, "error"):
        raise ApiUnavailable(SAID, status=500)
    if fault.is_to(when, "delay"):
        await asyncio.sleep(PATIENCE / 2)
    if fault.is_to(when, "timeout", "late"):
        await asyncio.sleep(PATIENCE)
    if fault.is_to(when, "late"):
        task = asyncio.create_task(_send_late(send))
        late.add(task)
        task.add_done_callback(late.discard)
    if fault.is_to(when, "timeout", "late", "cut"):
        raise ApiUnavailable(f"The API server does not answer: {SAID}")


async def _send_late(send: Callable[[], Any]) -> None:
    """What was given up on its way arrives after all; its answer reaches nobody."""
    await asyncio.sleep(SILENCE - PATIENCE)
    await asyncio.gather(send(), return_exceptions=True)
