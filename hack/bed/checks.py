"""`hack/test`: the stages of the project's checks, each timed, with a summary at the end.

hack/test              all of them, without the tests that are marked as slow
hack/test lint         style, types, layers
hack/test unit         tests that need neither Docker nor an API server
hack/test integration  tests on a bed of one node
hack/test nodes        tests on a bed of several nodes, slow ones too (-m "not slow": without)
hack/test faults       tests that break everything in turn on a bed of one node, slow ones too
hack/test helm         tests of image and chart on a Kubernetes of one node that runs pods (root)

Words after unit, integration, nodes, faults or helm go to pytest; files among them take the place
of all tests.
"""

import signal
import sys
from dataclasses import replace
from types import FrameType

from hack.bed import stages
from hack.bed.cache import REPOSITORY
from hack.bed.report import clock_text
from hack.bed.stages import Stage, Terminated

PYTEST = (sys.executable, "-m", "pytest", "-W", "error", "-q")


STAGES = (
    Stage("ruff check", "lint", ("ruff", "check", "--quiet")),
    Stage("ruff format", "lint", ("ruff", "format", "--check", "--quiet")),
    Stage("mypy", "lint", ("mypy", "--no-error-summary")),
    Stage("layers", "lint", ("lint-imports",)),
    Stage("unit tests", "unit", (*PYTEST, "-n", "auto", "tests/unit")),
    Stage("integration tests", "integration", (*PYTEST, "tests/integration"), parts=2),
    Stage("tests on several nodes", "nodes", (*PYTEST, "tests/nodes"), parts=1),
    Stage("tests with faults", "faults", (*PYTEST, "tests/faults"), parts=2),
    Stage("tests with Helm", "helm", (*PYTEST, "tests/helm"), parts=1),
)
GROUPS = tuple(dict.fromkeys(stage.group for stage in STAGES))
TESTS = ("unit", "integration", "nodes", "faults", "helm")
QUICK = ("-m", "not slow")


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
        wanted = [replace(stage, command=stage.command[:-1], parts=0) for stage in wanted]
    results = stages.run(wanted, further)
    print("\nstage                   result     time")
    for each in results:
        said = "ok" if each.code == 0 else f"failed ({each.code})"
        print(f"{each.stage.name:<23} {said:<10} {clock_text(each.seconds)}")
    return 0 if all(each.code == 0 for each in results) else 1


def _quick(stage: Stage) -> Stage:
    """The tests of a stage without those that are marked as slow."""
    *command, folder = stage.command
    return replace(stage, command=(*command, *QUICK, folder))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminated)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
