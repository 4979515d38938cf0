"""`hack/demo`: from nothing to running challenges that answer, and back to nothing."""

import json
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from hack.bed import instances, traces
from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY, state_folder
from hack.bed.errors import BedError
from hack.bed.report import Report
from hack.bed.sweep import remove_orphans

MANIFESTS = REPOSITORY / "hack" / "demo.d"
READY_TIMEOUT = "60s"
LOG_LINES = 25


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--keep", is_flag=True, help="Leave everything up at the end and tell how to use it.")
def main(keep: bool) -> None:
    """Start everything, run the demo challenges, talk to them, remove all of it again."""
    signal.signal(signal.SIGTERM, _interrupt)
    report = Report(sys.stdout)
    try:
        remove_orphans(report)
        _run(keep, report)
    except BedError as error:
        raise click.ClickException(str(error)) from error


def _run(keep: bool, report: Report) -> None:
    folder = state_folder() / "demo"
    if folder.exists():
        raise BedError("a demo is up already; remove it with: hack/dev down --name demo")
    bed = Bed.create("demo", folder, report, temporary=False)
    with bed.removed_on_failure():
        report.line("\nThe bed: a control plane, a Docker engine, the controller")
        _start(bed)
        before = traces.take(bed)
        try:
            _play(bed)
            if keep:
                bed.state.complete = True
                bed.state.save()
                _tell_how_to_use(report)
                return
            _remove(bed, before)
        except BedError:
            _explain(bed)
            raise
    with report.stage("take the bed down"):
        bed.down()
    report.line("\nThe demo is through: nothing of it is left.")


def _start(bed: Bed) -> None:
    bed.start_control_plane()
    bed.start_engine()
    with bed.report.stage("import the image challenge-echo:dev"):
        bed.import_image()
    with bed.report.stage("start the controller"):
        bed.start_controller()
        bed.wait_for_controller()


def _play(bed: Bed) -> None:
    """Apply the manifests one by one and talk to each port."""
    for manifest in sorted(MANIFESTS.glob("*.yaml")):
        bed.report.line(f"\nkubectl apply -f {manifest.relative_to(REPOSITORY)}")
        with bed.report.stage("applied and Ready"):
            _apply(bed, manifest)
        for endpoint in instances.endpoints(bed.kubectl):
            if endpoint.instance in _names(bed, manifest):
                answer = json.dumps(instances.ask(endpoint))
                bed.report.line(f"       {endpoint.text}\n         {answer}")
    bed.report.line("\nkubectl get challenges")
    bed.report.line(bed.kubectl("get", "challenges").stdout.rstrip())


def _apply(bed: Bed, manifest: Path) -> None:
    bed.kubectl("apply", "-f", manifest)
    wanted = [f"chinst/{name}" for name in _names(bed, manifest)]
    bed.kubectl("wait", "--for=condition=Ready", f"--timeout={READY_TIMEOUT}", *wanted)


def _names(bed: Bed, manifest: Path) -> list[str]:
    """The instances that a manifest holds."""
    listed = bed.kubectl("get", "-f", manifest, "-o", "name").stdout.split()
    return [name.rpartition("/")[2] for name in listed if name.startswith("challengeinstance.")]


def _remove(bed: Bed, before: traces.Traces) -> None:
    """Delete everything and compare the node with how it was."""
    bed.report.line("\nkubectl delete -f hack/demo.d")
    with bed.report.stage("deleted"):
        bed.kubectl("delete", "-f", MANIFESTS, "--timeout=60s")
    with bed.report.stage("no container, network, volume, firewall rule or port is left"):
        left = traces.take(bed).left_over(before)
        if left:
            raise BedError("\n  ".join(["something is left on the node:", *left]))


def _explain(bed: Bed) -> None:
    """Show what the controller and the instances say for themselves."""
    process = bed.state.controllers["controller"]
    state = "runs" if process.alive() else "HAS ENDED"
    bed.report.line(f"\nThe controller {state}; its last lines:\n{process.log_tail(LOG_LINES)}")
    shown = bed.kubectl("get", "challenges,chnode", "--ignore-not-found", check=False)
    bed.report.line(shown.stdout.rstrip())
    path = '{range .items[*]}{.metadata.name}{" "}{.status.conditions}{"\\n"}{end}'
    conditions = bed.kubectl("get", "chinst", "-o", f"jsonpath={path}", check=False)
    bed.report.line(conditions.stdout.rstrip())


def _tell_how_to_use(report: Report) -> None:
    report.line(
        "\nThe demo stays up. Use it:\n"
        '  eval "$(hack/dev env --name demo)"\n'
        "  kubectl get challenges\n"
        "  hack/dev logs --name demo --follow\n"
        "Remove it:\n"
        "  hack/dev down --name demo"
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="hack/demo")
