"""`hack/test`: the stages of the project's checks, each timed, with a summary at the end.

hack/test              all of them, without the tests that are marked as slow
hack/test lint         style, types, layers
hack/test unit         tests that need neither Docker nor an API server
hack/test integration  tests on a bed of one node
hack/test nodes        tests on a bed of several nodes, slow ones too (-m "not slow": without)
hack/test faults       tests that break everything in turn on a bed of one node, slow ones too

Words after unit, integration, nodes or faults go to pytest; files among them take the place of all
tests.
"""

import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from types import FrameType
from typing import IO

from hack.bed.cache import REPOSITORY
from hack.bed.report import clock_text

PYTEST = (sys.executable, "-m", "pytest", "-W", "error", "-q")


@dataclass(frozen=True)
class Stage:
    """One check: its name, the group it belongs to, and the command that does it."""

    name: str
    group: str
    command: tuple[str, ...]
    parts: int = 1
    """Processes that share the tests out, each with a bed of its own: mostly, a test waits."""


STAGES = (
    Stage("ruff check", "lint", ("ruff", "check", "--quiet")),
    Stage("ruff format", "lint", ("ruff", "format", "--check", "--quiet")),
    Stage("mypy", "lint", ("mypy", "--no-error-summary")),
    Stage("layers", "lint", ("lint-imports",)),
    Stage("unit tests", "unit", (*PYTEST, "-n", "auto", "tests/unit")),
    Stage("integration tests", "integration", (*PYTEST, "tests/integration"), parts=2),
    Stage("tests on several nodes", "nodes", (*PYTEST, "tests/nodes")),
    Stage("tests with faults", "faults", (*PYTEST, "tests/faults"), parts=2),
)
GROUPS = tuple(dict.fromkeys(stage.group for stage in STAGES))
TESTS = ("unit", "integration", "nodes", "faults")
QUICK = ("-m", "not slow")


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def _terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated


def main(words: list[str]) -> int:
    """Run the stages of a group, or all of them; returns the exit code."""
    group, further = (words[0], words[1:]) if words else ("all", [])
    if group not in ("all", *GROUPS) or (further and group not in TESTS):
        print(f"usage: hack/test [{'|'.join(GROUPS)}] [words for pytest]", file=sys.stderr)
        return 2
    if group == "all":
        wanted = [_quick(stage) if stage.group in TESTS else stage for stage in STAGES]
    else:
        wanted = [stage for stage in STAGES if stage.group == group]
    if any((REPOSITORY / word.partition("::")[0]).exists() for word in further):
        # Files or folders that are named take the place of all those of the group.
        wanted = [replace(stage, command=stage.command[:-1], parts=1) for stage in wanted]
    results = [(stage, *_run(stage, further)) for stage in wanted]
    print("\nstage                   result     time")
    for stage, code, seconds in results:
        result = "ok" if code == 0 else f"failed ({code})"
        print(f"{stage.name:<23} {result:<10} {clock_text(seconds)}")
    return 0 if all(code == 0 for _, code, _ in results) else 1


def _quick(stage: Stage) -> Stage:
    """The tests of a stage without those that are marked as slow."""
    *command, folder = stage.command
    return replace(stage, command=(*command, *QUICK, folder))


def _run(stage: Stage, further: list[str]) -> tuple[int, float]:
    command = (*stage.command, *further)
    print(f"== {stage.name}: {' '.join(command)}", flush=True)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        others = []
        for number in range(2, stage.parts + 1):
            # What the others say is told after the first has ended, in one piece.
            said = stack.enter_context(tempfile.TemporaryFile())
            others.append((_start(command, stage.parts, number, stdout=said), said))
        first = _start(command, stage.parts, 1)
        children = [first, *(child for child, _ in others)]
        try:
            codes = [child.wait() for child in children]
        except KeyboardInterrupt as interrupt:
            # A terminal has told pytest too, which is taking its beds down; who kills us has not.
            for child in children:
                if isinstance(interrupt, Terminated):
                    child.terminate()
            for child in children:
                child.wait()
            raise
        for _, said in others:
            said.seek(0)
            print(said.read().decode(errors="replace"), flush=True)
    return max(codes, key=abs), time.monotonic() - started


def _start(
    command: tuple[str, ...], parts: int, number: int, stdout: IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    share = (f"--part={number}/{parts}",) if parts > 1 else ()
    return subprocess.Popen((*command, *share), cwd=REPOSITORY, stdout=stdout)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
