"""Many threads, many processes, one file: every port is given once."""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from controller.ledger import Ledger, PortsExhausted

PROCESSES, THREADS = 3, 12
"""A small share: `hack/test faults` takes more of both."""


def test_fifty_workers_reserve_at_once(path: Path) -> None:
    with Ledger.open(path, "10000-10049") as ledger:
        start = threading.Barrier(50)

        def work(i: int) -> int:
            start.wait()
            return ledger.reserve(f"u{i}", ["p"], namespace="ns", name="n", now=1)["p"]

        with ThreadPoolExecutor(50) as pool:
            ports = list(pool.map(work, range(50)))
        assert sorted(ports) == list(range(10000, 10050))
        assert ledger.check() == []


def run_process(path: Path, process: int, threads: int) -> dict[str, int]:
    """One process: its threads reserve, confirm, finalize, and half of them release and again."""
    with Ledger.open(path, None, busy_timeout=60.0) as ledger:
        start = threading.Barrier(threads)

        def work(thread: int) -> tuple[str, int]:
            uid = f"u{process}-{thread}"
            start.wait()
            for _ in range(1 + thread % 2):
                ledger.release(uid, now=1)
                port = ledger.reserve(uid, ["p"], namespace="ns", name=uid, now=2)["p"]
            ledger.confirm(uid, now=3)
            assert ledger.finalize([uid], now=4) == {uid}
            return uid, port

        with ThreadPoolExecutor(threads) as pool:
            return dict(pool.map(work, range(threads)))


def test_processes_share_the_file_down_to_its_last_port(path: Path) -> None:
    share(path, PROCESSES, THREADS)


def share(path: Path, processes: int, threads: int) -> None:
    """Have processes with so many threads each take all ports of a file."""
    demand = processes * threads
    with Ledger.open(path, range(10000, 10000 + demand)) as ledger:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["controller.ledger"])
        with ProcessPoolExecutor(processes, mp_context=context) as pool:
            each = ([path] * processes, range(processes), [threads] * processes)
            results = list(pool.map(run_process, *each))
        held = {uid: port for result in results for uid, port in result.items()}
        assert sorted(held.values()) == list(range(10000, 10000 + demand))
        assert {row.uid: row.ports["p"] for row in ledger.instances()} == held
        assert all(row.is_finalized for row in ledger.instances())
        with pytest.raises(PortsExhausted):
            ledger.reserve("one-more", ["p"], namespace="ns", name="n", now=5)
        assert ledger.check() == []


def open_and_count(path: Path) -> int:
    with Ledger.open(path, "10000-10049", busy_timeout=60.0) as ledger:
        return ledger.usage().free


def test_processes_may_create_the_file_at_once(path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        assert list(pool.map(open_and_count, [path] * 6)) == [50] * 6
