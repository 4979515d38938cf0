"""Stages of the project's checks as processes: some at a time, and none left when it is over."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from hack.bed.cache import REPOSITORY

AT_ONCE = 4
"""Beds at a time: on two cores as well, since a test mostly waits."""


@dataclass(frozen=True)
class Stage:
    """One check: its name, the group it belongs to, and the command that does it."""

    name: str
    group: str
    command: tuple[str, ...]
    parts: int = 0
    """Processes that share the tests out, each with a bed of its own, beside those of other stages;
    0 for a stage that wants the machine to itself."""


@dataclass(frozen=True)
class Result:
    """How a stage has ended: its exit code, and the seconds from the first start to its end."""

    stage: Stage
    code: int
    seconds: float


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


@dataclass
class _Process:
    """A share of a stage; `quiet` keeps what it says until its end, to be told in one piece."""

    stage: Stage
    share: tuple[str, ...]
    quiet: bool
    code: int = 1
    ended: float = 0.0
    _child: "subprocess.Popen[bytes] | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _cancelled: bool = False

    def run(self, further: Sequence[str]) -> None:
        """Start it and wait for its end, unless it was cancelled before."""
        command = (*self.stage.command, *further, *self.share)
        with tempfile.TemporaryFile() as said:
            with self._lock:
                if self._cancelled:
                    return
                print(f"== {self.stage.name}: {' '.join(command)}", flush=True)
                output = said if self.quiet else None
                self._child = subprocess.Popen(command, cwd=REPOSITORY, stdout=output)
            self.code = self._child.wait()
            self.ended = time.monotonic()
            if self.quiet:
                said.seek(0)
                text = said.read().decode(errors="replace").rstrip()
                print(f"== {' '.join((self.stage.name, *self.share))}\n{text}", flush=True)

    def cancel(self, terminate: bool) -> None:
        """Have it end. A terminal's Ctrl-C has told pytest too; who terminates us has not."""
        with self._lock:
            self._cancelled = True
            if self._child is not None and terminate:
                self._child.terminate()


def run(stages: Sequence[Stage], further: Sequence[str] = ()) -> list[Result]:
    """Run the stages, those that want the machine to themselves first; `further` words for each.

    When it is interrupted, it lets all that runs take its beds down, and raises KeyboardInterrupt.
    """
    results = [_run([stage], further)[0] for stage in stages if not stage.parts]
    shared = [stage for stage in stages if stage.parts]
    return results + (_run(shared, further) if shared else [])


def _run(stages: Sequence[Stage], further: Sequence[str]) -> list[Result]:
    started = time.monotonic()
    shares = [(stage, share) for stage in stages for share in _shares(stage)]
    processes = [_Process(stage, share, len(shares) > 1) for stage, share in shares]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(process.run, further) for process in processes]
        try:
            for each in running:
                each.result()
        except KeyboardInterrupt as interrupt:
            for process in processes:
                process.cancel(isinstance(interrupt, Terminated))
            raise
    return [
        Result(
            stage,
            max((process.code for process in processes if process.stage is stage), key=abs),
            max(process.ended for process in processes if process.stage is stage) - started,
        )
        for stage in stages
    ]


def _shares(stage: Stage) -> list[tuple[str, ...]]:
    if stage.parts < 2:
        return [()]
    return [(f"--part={number}/{stage.parts}",) for number in range(1, stage.parts + 1)]
