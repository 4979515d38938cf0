"""kill -9 at every SQL statement: what had returned is still true, what had not is whole or absent.

A child works through WORKLOAD, from the creation of the file on, and kills itself at its N-th
statement, N = 1, 2, 3 … until it gets through. Here only some are taken, from a random one on;
`hack/test faults` takes them all.
"""

import multiprocessing
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from controller.ledger import Instance, Ledger, connection

POOL = IPv4Network("10.64.0.0/24")
RESTORED = Instance(uid="r", namespace="ns", name="r", ports={"http": 10007, "far": 30000})
Call = Callable[[Ledger], object]


def reserve(uid: str, *names: str) -> Call:
    return lambda ledger: ledger.reserve(uid, names, namespace="ns", name=uid, now=1)


WORKLOAD: list[Call] = [
    reserve("a", "http", "nc"),
    reserve("b", "http"),
    lambda ledger: ledger.begin_attempt("a", now=2),
    lambda ledger: ledger.swap("a", "http", now=3, until=5, reason="in use"),
    lambda ledger: ledger.confirm("a", now=4),
    lambda ledger: ledger.allocate_subnet("a", pool=POOL, prefix=28, now=4),
    lambda ledger: ledger.set_expiry("a", expires=99, now=4),
    lambda ledger: ledger.finalize(["a", "b"], now=5),
    lambda ledger: ledger.quarantine(10001, until=None, reason="cmgr"),
    lambda ledger: ledger.restore([RESTORED], now=6),
    lambda ledger: ledger.add_slot(
        "s", ["x", "y"], namespace="ns", challenge="c", template="t", now=6
    ),
    lambda ledger: ledger.claim_slot("s", "c", namespace="ns", name="c", now=7),
    lambda ledger: ledger.release("a", now=8),
    reserve("d", "http", "nc"),
    lambda ledger: ledger.lift([10001]),
    lambda ledger: ledger.release("r", now=9),
    lambda ledger: ledger.release("c", now=9),
]


def open_ledger(path: Path, *, wal: bool) -> Ledger:
    # A killed process loses nothing that the kernel has: no fsync is needed to show this.
    return Ledger.open(path, "10000-10009", seed=1, wal=wal, synchronous="OFF")


def snapshot(ledger: Ledger) -> dict[str, Any]:
    return {
        "instances": [asdict(row) for row in ledger.instances()],
        "slots": [asdict(slot) for slot in ledger.slots()],
        "subnets": ledger.subnets(),
        "quarantined": ledger.quarantined(),
        "usage": ledger.usage(),
    }


def kill_at(nth: int) -> None:
    """From now on, this process dies when its N-th SQL statement begins."""
    left = nth
    connect = sqlite3.connect

    def count(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
        opened: sqlite3.Connection = connect(*args, **kwargs)
        opened.set_trace_callback(count)
        return opened

    connection.sqlite3.connect = traced  # type: ignore[attr-defined] # the seam, in a child only


def work(path: Path, journal: int, *, wal: bool) -> None:
    """The whole workload; a byte in the journal after each call that returned."""
    with open_ledger(path, wal=wal) as ledger:
        os.write(journal, b".")
        for call in WORKLOAD:
            call(ledger)
            os.write(journal, b".")


def killed_run(path: Path, nth: int, *, wal: bool) -> tuple[int, bool]:
    """How many calls had returned, and whether the child got through without being killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            kill_at(nth)
            work(path, writing, wal=wal)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as journal:
        returned = len(journal.read())
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"statement {nth}: the child ended with {status}"
    return returned, status == 0


def sweep(folder: Path, wal: bool, first: int, step: int) -> int:
    """Kill at every `step`-th statement from `first` on; returns how many statements there were."""
    with open_ledger(folder / "reference.db", wal=wal) as ledger:
        expected = [snapshot(ledger)]
        for call in WORKLOAD:
            call(ledger)
            expected.append(snapshot(ledger))
    nth, through = first - step, False
    while not through:
        nth += step
        path = folder / f"{nth}.db"
        returned, through = killed_run(path, nth, wal=wal)
        with open_ledger(path, wal=wal) as ledger:
            assert ledger.set_aside is None, f"statement {nth}"
            assert ledger.check() == [], f"statement {nth}"
            possible = expected[max(returned - 1, 0) : returned + 1]
            assert snapshot(ledger) in possible, f"statement {nth}, {returned} calls returned"
    assert returned == len(WORKLOAD) + 1
    return nth


def sweep_apart(folder: Path, *, wal: bool, step: int) -> int:
    """Sweep in a process of its own, which has no threads: the children are forked there."""
    first = random.randint(1, step)
    print(f"every {step}. statement from {first} on")
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(sweep, folder, wal, first, step).result()


@pytest.mark.parametrize(("wal", "step"), [(True, 12), (False, 16)])
def test_killed_at_many_statements(tmp_path: Path, wal: bool, step: int) -> None:
    assert sweep_apart(tmp_path, wal=wal, step=step) > 100
