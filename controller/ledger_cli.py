"""The operator's view of a node's ledger: `challenge-controller ledger …`.

Responsible for showing it, as a table or as JSON. All commands but `quarantine` use a read-only
connection and are safe beside a running agent; none starts a ledger or moves a bad one away.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from controller.api.labels import DEFAULT_INSTALLATION
from controller.identity_settings import STATE_DIR, state_dir
from controller.ledger import Ledger, LedgerError, LedgerReader, cmgr
from controller.ledger.portrange import format_spans, spans

_RANGES = ("ports", "ports_override")


def _with_file(command: Callable[..., None]) -> Callable[..., None]:
    """Add the option that names the file; the ledger's errors become one line and exit code 1."""

    @click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="CHALLENGE_STATE_DIR",
        default=lambda: state_dir(os.environ.get("CHALLENGE_INSTALLATION", DEFAULT_INSTALLATION)),
        show_default=str(STATE_DIR),
        help="The agent's folder; the ledger is ledger.db in it.",
    )
    @wraps(command)
    def run(state_dir: Path, **options: Any) -> None:
        try:
            command(state_dir / "ledger.db", **options)
        except LedgerError as error:
            raise click.ClickException(str(error)) from error
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise click.ClickException(
                f"ledger {state_dir / 'ledger.db'}: a row cannot be read ({error}); "
                "see `challenge-controller ledger check`, then restart the agent"
            ) from error

    return run


_output = click.option(
    "--output",
    "-o",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table to read, or JSON for programs.",
)


@click.group("ledger")
def ledger() -> None:
    """Look into this node's ledger of ports."""


@ledger.command("check")
@_output
@_with_file
def check(file: Path, output: str) -> None:
    """Check every invariant; exit code 1 when one does not hold."""
    with LedgerReader.open_read_only(file) as reader:
        problems = reader.check()
    if output == "json":
        _print_json([asdict(problem) for problem in problems])
    elif problems:
        _print_table(["KIND", "DETAIL"], ([p.kind, p.detail] for p in problems))
    else:
        click.echo(f"{file}: every invariant holds")
    if problems:
        raise SystemExit(1)


@ledger.command("show")
@_output
@_with_file
def show(file: Path, output: str) -> None:
    """Show how many ports are in use, and the instances that hold them."""
    with LedgerReader.open_read_only(file) as reader:
        all_of_it = reader.everything()
    meta, usage, instances = _readable(all_of_it.meta), asdict(all_of_it.usage), all_of_it.instances
    if output == "json":
        found = [asdict(instance) for instance in instances]
        _print_json({"meta": meta, "usage": usage, "instances": found})
        return
    _print_table(["KEY", "VALUE"], meta.items())
    click.echo()
    _print_table([name.upper() for name in usage], [list(usage.values())])
    click.echo()
    _print_table(
        ["NAMESPACE", "NAME", "CHALLENGE", "PORTS", "FINALIZED", "CREATED", "EXPIRES", "UID"],
        (
            [
                found.namespace,
                found.name,
                found.challenge,
                ",".join(f"{name}:{port}" for name, port in sorted(found.ports.items())),
                "yes" if found.is_finalized else "no",
                _time(found.created),
                _time(found.expires),
                found.uid,
            ]
            for found in instances
        ),
    )


@ledger.command("export")
@_output
@_with_file
def export(file: Path, output: str) -> None:
    """Print everything in the ledger: a line for each port in use, or one JSON document."""
    with LedgerReader.open_read_only(file) as reader:
        all_of_it = reader.everything()
    document = {
        "meta": _readable(all_of_it.meta),
        "usage": asdict(all_of_it.usage),
        "instances": [asdict(instance) for instance in all_of_it.instances],
        "slots": [asdict(slot) for slot in all_of_it.slots],
        "subnets": [
            {"owner": held.owner, "pool": str(held.pool), "subnet": str(held.subnet)}
            for held in all_of_it.subnets
        ],
        "quarantined": [asdict(aside) for aside in all_of_it.quarantined],
    }
    if output == "json":
        _print_json(document)
        return
    _print_table(["PORT", "NAME", "KIND", "OWNER", "DETAIL"], sorted(_rows(document)))


def _rows(document: dict[str, Any]) -> Iterable[tuple[int, str, str, str, str]]:
    for found in document["instances"]:
        for name, port in found["ports"].items():
            yield port, name, "instance", found["uid"], f"{found['namespace']}/{found['name']}"
    for slot in document["slots"]:
        if slot["instance"] is None:
            for name, port in slot["ports"].items():
                yield port, name, "slot", slot["slot"], f"{slot['namespace']}/{slot['challenge']}"
    for aside in document["quarantined"]:
        until = "until lifted" if aside["until"] is None else f"until {_time(aside['until'])}"
        yield aside["port"], "-", "quarantine", "-", f"{aside['reason']}, {until}"


@ledger.command("quarantine")
@click.option(
    "--from-cmgr",
    type=click.Path(path_type=Path, dir_okay=False),
    help="cmgr's database: keep the ports that it still holds out of ours.",
)
@click.option("--lift-bindable", is_flag=True, help="Free those of them that can be bound by now.")
@_with_file
def quarantine(file: Path, from_cmgr: Path | None, lift_bindable: bool) -> None:
    """Keep ports of cmgr's out of ours while a host moves over.

    Safe while an agent of this version runs; a ledger of an older one is refused.
    """
    if from_cmgr is None and not lift_bindable:
        raise click.UsageError("give --from-cmgr FILE, --lift-bindable, or both")
    with Ledger.open(file, None, wal=None) as book:
        if from_cmgr is not None:
            aside = cmgr.quarantine(book, from_cmgr)
            click.echo(
                f"put aside: {len(aside)} port(s) {format_spans(spans(sorted(aside)))}".rstrip()
            )
        if lift_bindable:
            freed = cmgr.lift_bindable(book)
            click.echo(f"freed: {len(freed)} port(s) {format_spans(spans(sorted(freed)))}".rstrip())


def _readable(meta: Mapping[str, str]) -> dict[str, str]:
    """The meta table with the ranges of ports as people write them."""
    return {
        key: format_spans(json.loads(value)) if value and key in _RANGES else value
        for key, value in meta.items()
    }


def _time(stamp: int | None) -> str:
    if stamp is None:
        return "-"
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):  # beyond the year 9999
        return f"{stamp} ms"


def _print_json(document: object) -> None:
    click.echo(json.dumps(document, indent=2, sort_keys=True))


def _print_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns with two or more spaces between them, as kubectl prints them."""
    lines = [list(header), *(["-" if c is None else str(c) for c in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("   ".join(cells).rstrip())
