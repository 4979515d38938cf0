"""The stages of hack/test: which there are, how they share the machine, and what they say."""

from pathlib import Path

import pytest

from hack.bed import checks, stages
from hack.bed.report import clock_text
from hack.bed.stages import Result, Stage


def test_checks_refuse_unknown_stages(capsys: pytest.CaptureFixture[str]) -> None:
    assert checks.main(["everything"]) == 2
    assert checks.main(["lint", "-x"]) == 2
    assert "usage: hack/test [lint|unit|integration|nodes|faults|helm]" in capsys.readouterr().err


def test_slow_tests_are_for_those_who_ask_for_their_group(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[str] = []

    def run(wanted: list[Stage], further: list[str]) -> list[Result]:
        commands.extend(" ".join((*stage.command[3:], *further)) for stage in wanted)
        return [Result(stage, 0, 0.0) for stage in wanted]

    monkeypatch.setattr(stages, "run", run)
    assert checks.main([]) == 0
    shared = ("integration", "nodes", "faults", "helm")
    assert commands[-4:] == [f"-W error -q -m not slow tests/{name}" for name in shared]
    assert checks.main(["nodes", "-x"]) == 0
    assert commands[-1] == "-W error -q tests/nodes -x"
    file = "tests/nodes/test_nodes_kills.py"
    assert checks.main(["nodes", file]) == 0
    assert commands[-1] == f"-W error -q {file}"


def test_stages_that_share_the_machine_run_at_once_and_each_says_how_it_ended(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Each of the two ends when it has met the other."""
    (tmp_path / "tmp").mkdir()
    meet = "touch {0}/{1}; until test -e {0}/{2}; do sleep 0.01; done; echo {1} met; exit {3}"
    sides = (("a", "b", 0), ("b", "a", 3))
    wanted = [
        Stage(me, me, ("sh", "-c", meet.format(tmp_path, me, other, code)), parts=1)
        for me, other, code in sides
    ]
    alone = Stage("alone", "alone", ("sh", "-c", f"test ! -e {tmp_path}/a"))
    results = stages.run([*wanted, alone])
    assert [(each.stage.name, each.code) for each in results] == [("alone", 0), ("a", 0), ("b", 3)]
    said = capsys.readouterr().out
    assert "a met" in said
    assert "b met" in said


def test_shares_of_a_stage_are_told_which_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "tmp").mkdir()
    stage = Stage("echo", "echo", ("echo", "share"), parts=2)
    (result,) = stages.run([stage], ["-x"])
    assert result.code == 0
    said = capsys.readouterr().out.splitlines()
    assert {"share -x --part=1/2", "share -x --part=2/2"} <= set(said)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.3, "12 s"), (400, "6:40")]
)
def test_times_read_well(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text
