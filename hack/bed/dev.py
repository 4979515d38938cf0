"""`hack/dev`: development beds for people, from one shell command to the next."""

import os
import shlex
import signal
import sys
from pathlib import Path
from types import FrameType

import click

from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY, state_folder
from hack.bed.controlplane import ControlPlane
from hack.bed.errors import BedError
from hack.bed.fleet import MOST_NODES, Fleet, start_nodes
from hack.bed.logs import find, follow
from hack.bed.processes import tail
from hack.bed.report import Report
from hack.bed.state import BedState, every_bed
from hack.bed.sweep import remove_orphans

NAME_LENGTH = 32
PLUGIN = REPOSITORY / "hack" / "plugin"


def _name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    plain = value.replace("-", "").isalnum() and value.isascii() and value == value.lower()
    if not plain or value.startswith("-") or value.endswith("-") or len(value) > NAME_LENGTH:
        raise click.BadParameter(
            f"{value!r}: expected 1 to {NAME_LENGTH} lower-case letters, digits and dashes"
        )
    return value


class Commands(click.Group):
    """Commands that answer a BedError with its words, not with a traceback."""

    def invoke(self, context: click.Context) -> object:
        """Run the command that was asked for."""
        try:
            return super().invoke(context)
        except BedError as error:
            raise click.ClickException(str(error)) from error


on_bed = click.option(
    "--name", default="dev", show_default=True, callback=_name, help="Which bed is meant."
)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Bring a development bed up and down: a control plane, Docker engines, the controller."""


@main.command()
@click.option("--controller/--no-controller", default=True, help="Whether to start the controller.")
@click.option(
    "--use-current-cluster",
    is_flag=True,
    help="Use the cluster of $KUBECONFIG instead of a control plane of the bed's own.",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, MOST_NODES),
    default=1,
    show_default=True,
    help="How many Docker hosts; two or more have an engine, an address and an agent each, beside "
    "one manager (root only).",
)
@on_bed
def up(name: str, nodes: int, controller: bool, use_current_cluster: bool) -> None:
    """Start a bed; the first time, its programs are built (about 7 minutes on 2 CPUs)."""
    _check(nodes, use_current_cluster)
    report = Report(sys.stdout)
    remove_orphans(report)
    folder = state_folder() / name
    if folder.exists() and not _make_way(name, folder, report):
        click.echo(f'The bed {name} is up already. Use it: eval "$(hack/dev env --name {name})"')
        return
    bed = Bed.create(name, folder, report, temporary=False, own_engines=nodes > 1)
    with bed.removed_on_failure():
        if use_current_cluster:
            bed.use_current_cluster()
        else:
            bed.start_control_plane()
        if nodes > 1:
            _start_several(bed, nodes, controller=controller)
        else:
            _start_one(bed, controller=controller)
        bed.state.complete = True
        bed.state.save()
    click.echo(f'The bed {name} is up. Use it: eval "$(hack/dev env --name {name})"')


def _start_one(bed: Bed, *, controller: bool) -> None:
    bed.start_engine()
    with bed.report.stage("import the image challenge-echo:dev"):
        bed.import_image()
    if controller:
        with bed.report.stage("start the controller"):
            bed.start_controller(env=_own_settings())
            bed.wait_for_controller()


def _start_several(bed: Bed, nodes: int, *, controller: bool) -> None:
    start_nodes(bed, nodes)
    if controller:
        with bed.report.stage(f"start the manager and {nodes} agents"):
            Fleet(bed, _own_settings()).start()


@main.command()
@click.option("--node", default=1, show_default=True, help="Whose engine docker is to talk to.")
@on_bed
def env(name: str, node: int) -> None:
    """Print the exports that make kubectl, with our plugin, and docker talk to the bed."""
    bed = _load(name)
    click.echo(f'export PATH={shlex.quote(str(PLUGIN))}:"$PATH"')
    click.echo(f"export KUBECONFIG={shlex.quote(str(bed.kubeconfig))}")
    click.echo(f"export DOCKER_HOST={shlex.quote(bed.engine(node).url)}")


@main.command()
def status() -> None:
    """Show every bed and what of it runs. Exit code 1 when something of a bed has died."""
    beds = every_bed()
    if not beds:
        click.echo("No bed is up; `hack/dev up` starts one.")
    for state in beds:
        click.echo(f"{state.name}{'' if state.complete else ' (not complete)'}: {state.folder}")
        for part, text, _ in parts(state):
            click.echo(f"  {part:<12} {text}")
    sys.exit(0 if all(ok for state in beds for *_, ok in parts(state)) else 1)


@main.command()
@click.argument("part", default="controller")
@click.option("--follow", "-f", "is_followed", is_flag=True, help="Go on printing what is added.")
@click.option("--lines", "-n", default=200, show_default=True, help="How many lines to begin with.")
@on_bed
def logs(name: str, part: str, is_followed: bool, lines: int) -> None:
    """Print what a part of the bed has logged.

    The parts are those that `hack/dev status` shows: controller (or manager, agent-1, …),
    apiserver, etcd, dockerd (or dockerd-node-2, …), containerd.
    """
    path = find(_load(name).state.folder, part)
    click.echo(tail(path, lines))
    if is_followed:
        follow(path, click.echo)


@main.command()
@click.option("--all", "is_all", is_flag=True, help="Every bed of this user.")
@on_bed
def down(name: str, is_all: bool) -> None:
    """Stop a bed and remove everything of it. Does nothing when there is none."""
    report = Report(sys.stdout)
    if is_all:
        remove_orphans(report)
        found = [Bed(state, report) for state in every_bed() if not state.temporary]
    else:
        found = [bed] if (bed := Bed.load(state_folder() / name, report)) else []
    if not found:
        click.echo("No bed is up." if is_all else f"There is no bed {name}.")
    for bed in found:
        with report.stage(f"remove the bed {bed.state.name}"):
            bed.down()


def parts(state: BedState) -> list[tuple[str, str, bool]]:
    """What a bed consists of: the part, how it is in words, and whether it is well."""
    rows: list[tuple[str, str, bool]] = []
    if state.control_plane is not None:
        plane = ControlPlane(state.control_plane, None, dies_with_parent=False)
        alive = plane.alive()
        rows.append(("apiserver", f"{'up' if alive else 'DEAD'}  {plane.server}", alive))
    if state.cluster is not None:
        rows.append(("cluster", f"not ours  {state.cluster.source}", True))
    for node in state.nodes:
        bed = Bed(state, Report(quiet=True))
        alive = bed.engine(node.number).alive()
        owner = "ours" if node.engine.owned else "not ours"
        words = f"{'up' if alive else 'DEAD'}  {node.engine.url} ({owner}), {node.address}"
        rows.append((node.name, words, alive))
    for name, process in state.controllers.items():
        alive = process.alive()
        rows.append((name, f"{'up' if alive else 'DEAD'}  pid {process.pid}", alive))
    return rows


def _load(name: str) -> Bed:
    bed = Bed.load(state_folder() / name, Report())
    if bed is None:
        raise BedError(f"there is no bed {name}; `hack/dev up --name {name}` starts it")
    return bed


def _check(nodes: int, use_current_cluster: bool) -> None:
    """Refuse what does not go together, before anything is made."""
    if nodes == 1:
        return
    if os.environ.get("DOCKER_HOST"):
        raise BedError(f"--nodes {nodes} starts an engine for each: unset DOCKER_HOST")
    if use_current_cluster:
        raise BedError(f"--nodes {nodes} needs a control plane that its nodes reach: the bed's own")


def _make_way(name: str, folder: Path, report: Report) -> bool:
    """Remove what is left of a bed that has died as a whole; false when the bed is up.

    Raises BedError when it is being started, or half of it has died.
    """
    bed = Bed.load(folder, report)
    if bed is None:
        raise BedError(f"{folder} is in the way: it holds no bed; remove it")
    if not bed.state.complete:
        raise BedError(f"the bed {name} is being started by pid {bed.state.owner.pid}")
    health = parts(bed.state)
    if all(ok for *_, ok in health):
        return False
    if any(ok for *_, ok in health):
        dead = ", ".join(part for part, _, ok in health if not ok)
        raise BedError(f"of the bed {name}, {dead} has died; `hack/dev down --name {name}` first")
    with report.stage(f"remove what is left of the bed {name}"):
        bed.down()
    return True


def _own_settings() -> dict[str, str]:
    """The controller's settings that the caller has set for it."""
    return {key: value for key, value in os.environ.items() if key.startswith("CHALLENGE_")}


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    main(prog_name="hack/dev")
