"""`hack/chaos`: the command."""

import json
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from random import SystemRandom
from types import FrameType

import click

from hack.bed.bed import Bed
from hack.bed.cache import temporary_folder
from hack.bed.errors import BedError
from hack.bed.fleet import start_nodes
from hack.bed.report import Report
from hack.bed.sweep import remove_orphans
from hack.benchmarks.machine import describe
from hack.chaosrun.journal import Journal
from hack.chaosrun.kinds import FAULTS
from hack.chaosrun.leftovers import left_behind
from hack.chaosrun.plan import Plan, draw
from hack.chaosrun.run import DAEMONS, NODES, Result, Run, log_files, tell

LAST_LINES = 60
UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _kinds(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """Names of faults, or the beginnings of them."""
    wanted = [word.strip() for word in value.split(",") if word.strip()]
    if wanted == ["none"]:
        return ()
    found = [name for word in wanted for name in FAULTS if name.startswith(word)]
    unknown = [word for word in wanted if not any(name.startswith(word) for name in FAULTS)]
    if unknown:
        raise click.BadParameter(f"{', '.join(unknown)}: expected some of {', '.join(FAULTS)}")
    return tuple(dict.fromkeys(found)) or tuple(FAULTS)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Faults: " + "; ".join(f"{each.name} ({each.text})" for each in FAULTS.values()) + ".",
)
@click.option("--minutes", default=3.0, show_default=True, help="How long load and faults last.")
@click.option("--seed", type=int, help="Draws the plan; without one it is drawn and printed.")
@click.option(
    "--instances",
    type=click.IntRange(3, 500),
    default=20,
    show_default=True,
    help="Long-lived instances at most at a time.",
)
@click.option(
    "--faults",
    "kinds",
    default="",
    callback=_kinds,
    help="Only these kinds, comma-separated, or the beginnings of their names, such as "
    "agent,link-cut; none for load alone. Default: all.",
)
@click.option("--show-plan", is_flag=True, help="Print what would be done, and do nothing.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the journal and all logs. Default: a new one in /tmp, which goes after a run "
    "in which nothing was found.",
)
def main(
    minutes: float,
    seed: int | None,
    instances: int,
    kinds: tuple[str, ...],
    show_plan: bool,
    output: Path | None,
) -> None:
    """Have instances come and go on two nodes while everything else is killed, frozen and cut.

    At the end all must be there that should be, answer as itself, and nothing else be left. Exit
    code 1 when it is not; then the findings and the journal tell what was done. Needs root.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    seed = SystemRandom().randrange(10**6) if seed is None else seed
    seconds = minutes * 60
    plan = draw(seed, seconds=seconds, instances=instances, nodes=NODES, faults=kinds)
    if show_plan:
        for step in sorted((*plan.load, *plan.faults), key=lambda step: step.at):
            click.echo(f"{step.at:7.1f}  {step}")
        return
    kept = output is not None
    output = output or Path(tempfile.mkdtemp(prefix=f"challenge-chaos-{seed}-"))
    output.mkdir(parents=True, exist_ok=True)
    report = Report(sys.stdout)
    report.line(f"Seed {seed}, {minutes:g} minutes, {instances} instances, {describe()}")
    try:
        journal = Journal(output / "journal.txt")
        result = _on_a_bed(plan, seed, seconds, journal, report, output)
    except BedError as error:
        raise click.ClickException(f"{error}\nThe journal is in {output}") from error
    _print(report, result, journal, seed)
    if result.findings:
        report.line(f"\nThe journal and all logs are in {output}")
        sys.exit(1)
    if not kept:
        shutil.rmtree(output)


def _on_a_bed(
    plan: Plan, seed: int, seconds: float, journal: Journal, report: Report, output: Path
) -> Result:
    """Bring a bed up, run, and take it down, whatever happens."""
    remove_orphans(report)
    name = f"chaos-{os.getpid()}"
    bed = Bed.create(name, temporary_folder() / name, report, temporary=True, own_engines=True)
    try:
        bed.start_control_plane()
        start_nodes(bed, len(NODES), daemons=DAEMONS)
        run = Run(bed, plan, seed, journal)
        try:
            result = run.go(seconds)
            if result.findings:
                (output / "objects.json").write_text(json.dumps(tell(run), indent=1))
        finally:
            run.close()
            for log in log_files(bed):
                shutil.copy(log, output)
    finally:
        state = bed.state.model_copy(deep=True)
        with report.stage("take the bed down"):
            bed.down()
    for text in left_behind(state):
        journal.found(text)
    return result


def _print(report: Report, result: Result, journal: Journal, seed: int) -> None:
    counts = journal.counts
    faults = {key: n for key, n in counts.items() if key.startswith("fault ")}
    report.line(f"\nSeed {seed} on {describe()}")
    report.line("Users:  " + _listed({k: n for k, n in counts.items() if k not in faults}))
    by_kind = {key.removeprefix("fault "): n for key, n in faults.items()}
    report.line(f"Faults: {sum(faults.values())}: " + _listed(by_kind))
    report.line("Events: " + _listed(result.events))
    report.line(
        f"{result.events['Ready']} times up, {result.events['Rescheduled']} moves to another node"
    )
    after = result.converged_after
    healed = "never as wanted" if after is None else f"all as wanted {after:.0f} s after all faults"
    report.line(f"{result.live} instances in the end, {healed}")
    remains = ", ".join(sorted(result.engine_remains)) or "none"
    report.line(f"What a killed dockerd has left of its own: {remains}")
    lost, collided = _about(result, "lost"), _about(result, "collide", "says that it is")
    others = len(result.findings) - lost - collided
    report.line(f"{lost} lost, {collided} collided, {others} leaked or otherwise wrong")
    if result.findings:
        report.line("\nFound:")
        for text in result.findings:
            report.line(f"  {text}")
        report.line("\nOf these the journal says:")
        uids = {uid for text in result.findings for uid in UID.findall(text)}
        for line in journal.about(uids) or journal.lines[-LAST_LINES:]:
            report.line(f"  {line}")


def _about(result: Result, *words: str) -> int:
    return sum(any(word in text for word in words) for text in result.findings)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {key}" for key, n in sorted(counts.items())) or "none"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="hack/chaos")
