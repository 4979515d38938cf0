"""Background programs: started, told apart, stopped, whatever they do."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.bed.errors import BedError, ProgramFailed
from hack.bed.processes import Process, run, spawn, tail

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
WAIT = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def started() -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        process.kill()


def start(started: list[Process], folder: Path, code: str) -> Process:
    process = spawn(
        "python", [sys.executable, "-c", code], log=folder / "log", dies_with_parent=False
    )
    started.append(process)
    return process


def until_logged(process: Process, text: str) -> None:
    for _ in range(3000):
        if text in tail(process.log, 10):
            return
        process.wait(0.01)
    raise AssertionError(f"{text!r} was never logged: {process.log_tail()!r}")


def test_stop_ends_a_program_that_listens(started: list[Process], tmp_path: Path) -> None:
    process = start(started, tmp_path, WAIT)
    until_logged(process, "up")
    assert process.alive()
    process.stop()
    assert not process.alive()


def test_stop_kills_a_program_that_does_not(started: list[Process], tmp_path: Path) -> None:
    process = start(started, tmp_path, f"{STUBBORN}; {WAIT}")
    until_logged(process, "up")
    process.stop(timeout=0.1)
    assert not process.alive()


def test_a_program_stands_still_once_all_of_its_threads_do(
    started: list[Process], tmp_path: Path
) -> None:
    threads = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()"
    process = start(started, tmp_path, f"{threads}; {WAIT}")
    until_logged(process, "up")
    assert not process.stands_still()
    process.signal(signal.SIGSTOP)
    for _ in range(3000):
        if process.stands_still():
            break
        process.wait(0.01)
    assert process.stands_still()
    process.signal(signal.SIGCONT)


def test_stop_ends_a_frozen_program(started: list[Process], tmp_path: Path) -> None:
    process = start(started, tmp_path, WAIT)
    until_logged(process, "up")
    process.signal(signal.SIGSTOP)
    process.stop()
    assert not process.alive()


def test_another_program_with_the_same_pid_is_left_alone(
    started: list[Process], tmp_path: Path
) -> None:
    process = start(started, tmp_path, WAIT)
    stale = process.model_copy(update={"started": process.started - 1})
    assert not stale.alive()
    assert stale.wait(0)
    stale.stop()
    stale.kill()
    assert process.alive()


def test_what_was_written_down_finds_the_program_again(
    started: list[Process], tmp_path: Path
) -> None:
    process = start(started, tmp_path, WAIT)
    again = Process.model_validate_json(process.model_dump_json())
    assert again.alive()
    again.kill()
    assert not process.alive()


def test_program_ends_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from hack.bed.processes import spawn\n"
        f"p = spawn('s', ['sleep', '600'], log=pathlib.Path({str(tmp_path / 'log')!r}), "
        "dies_with_parent=True)\n"
        "print(p.model_dump_json(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as parent:
        assert parent.stdout is not None
        child = Process.model_validate_json(parent.stdout.readline())
        # setpriv asks the kernel for it and becomes the program; only then does it hold. In
        # between the kernel shows no words at all.
        while not Path(f"/proc/{child.pid}/cmdline").read_bytes().startswith(b"sleep"):
            child.wait(0.01)
        parent.kill()
    assert child.wait(30)


def test_program_that_would_end_with_a_thread_is_refused(tmp_path: Path) -> None:
    def start_it() -> None:
        with pytest.raises(BedError, match="sleep would end with this thread"):
            spawn("sleep", ["sleep", "9"], log=tmp_path / "log", dies_with_parent=True)
        refused.set()

    refused = threading.Event()
    thread = threading.Thread(target=start_it)
    thread.start()
    thread.join()
    assert refused.is_set()


def test_failure_tells_command_and_output() -> None:
    with pytest.raises(ProgramFailed, match=r"`sh -c echo no >&2; exit 3` .* exit code 3: no$"):
        run("sh", "-c", "echo no >&2; exit 3")


def test_missing_program_is_named() -> None:
    with pytest.raises(BedError, match="the program `no-such-program` is needed"):
        run("no-such-program")


def test_program_that_hangs_is_given_up() -> None:
    with pytest.raises(BedError, match=r"`sleep 600` did not end within 0.1 s"):
        run("sleep", "600", timeout=0.1)
