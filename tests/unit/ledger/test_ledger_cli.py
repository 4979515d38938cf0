"""`challenge-controller ledger …`: what an operator reads, and the exit codes that scripts use."""

import json
import sqlite3
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.ledger import Ledger
from controller.ledger_cli import ledger as command

Run = Callable[..., Result]


@pytest.fixture
def run(path: Path) -> Run:
    """The command on the ledger at `path`, while an agent has it open."""

    def invoke(*args: str | Path) -> Result:
        words = [*map(str, args), "--state-dir", str(path.parent)]
        return CliRunner().invoke(command, words, catch_exceptions=False)

    return invoke


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Ports in the fixed order of the seed: 10006, 10008 to a, 10009 to the slot."""
    ledger.set_meta("engine_id", "ABCD")
    ledger.reserve("a", ["http", "nc"], namespace="ns", name="web-1", challenge="web", now=1000)
    ledger.finalize(["a"], now=1000)
    ledger.set_expiry("a", expires=3_600_000, now=1000)
    ledger.add_slot("s", ["http"], namespace="ns", challenge="web", template="t", now=1000)
    ledger.quarantine(10000, until=None, reason="held by cmgr")
    ledger.allocate_subnet("a", pool=IPv4Network("10.64.0.0/24"), prefix=28, now=1000)
    return ledger


def test_check_of_a_sound_ledger(filled: Ledger, run: Run, path: Path) -> None:
    result = run("check")
    assert (result.exit_code, result.output) == (0, f"{path}: every invariant holds\n")
    assert json.loads(run("check", "--output", "json").output) == []


def test_check_of_a_damaged_ledger(path: Path, run: Run) -> None:
    with Ledger.open(path, "10000-10009") as book:
        book.reserve("a", ["http"], namespace="ns", name="web-1", now=1)
    db = sqlite3.connect(path)
    db.execute("UPDATE instances SET port_count = 2")
    db.commit()
    db.close()
    result = run("check")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "KIND                      DETAIL",
        "InstanceWithoutItsPorts   instance a (ns/web-1) has 1 of its 2 ports",
    ]
    as_json = run("check", "-o", "json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.output)[0]["kind"] == "InstanceWithoutItsPorts"


def test_show_as_a_table(filled: Ledger, run: Run) -> None:
    held = filled.instances()[0].ports
    lines = run("show").output.splitlines()
    assert "engine_id        ABCD" in lines
    assert "ports            10000-10009" in lines
    assert lines[lines.index("FREE   RESERVED   CONFIRMED   QUARANTINED") + 1].split() == [
        *("6", "3", "0", "1")
    ]
    assert lines[-1].split() == [
        *("ns", "web-1", "web", f"http:{held['http']},nc:{held['nc']}", "yes"),
        *("1970-01-01T00:00:01Z", "1970-01-01T01:00:00Z", "a"),
    ]


def test_show_as_json(filled: Ledger, run: Run) -> None:
    shown = json.loads(run("show", "--output", "json").output)
    assert shown["usage"] == {"free": 6, "reserved": 3, "confirmed": 0, "quarantined": 1}
    assert shown["meta"]["ports"] == "10000-10009"
    assert shown["instances"][0]["ports"] == dict(filled.instances()[0].ports)


def test_export_has_every_port_in_use(filled: Ledger, run: Run) -> None:
    held = filled.instances()[0].ports
    slot = filled.slots()[0].ports["http"]
    lines = [line.split(maxsplit=4) for line in run("export").output.splitlines()]
    assert lines[0] == ["PORT", "NAME", "KIND", "OWNER", "DETAIL"]
    assert lines[1:] == sorted(
        [
            [str(held["http"]), "http", "instance", "a", "ns/web-1"],
            [str(held["nc"]), "nc", "instance", "a", "ns/web-1"],
            [str(slot), "http", "slot", "s", "ns/web"],
            ["10000", "-", "quarantine", "-", "held by cmgr, until lifted"],
        ]
    )


def test_export_as_json_has_everything(filled: Ledger, run: Run) -> None:
    document = json.loads(run("export", "-o", "json").output)
    assert {key: len(document[key]) for key in sorted(document)} == {
        **{"instances": 1, "meta": 4, "quarantined": 1, "slots": 1, "subnets": 1, "usage": 4}
    }
    assert document["subnets"][0]["subnet"] == "10.64.0.0/28"


def test_quarantine_from_cmgr(ledger: Ledger, run: Run, tmp_path: Path) -> None:
    source = tmp_path / "cmgr.db"
    db = sqlite3.connect(source)
    db.execute("CREATE TABLE portAssignments (instance INTEGER, name TEXT, port INTEGER)")
    db.executemany("INSERT INTO portAssignments VALUES (1, 'x', ?)", [(10001,), (10002,), (7,)])
    db.commit()
    db.close()
    result = run("quarantine", "--from-cmgr", source)
    assert (result.exit_code, result.output) == (0, "put aside: 2 port(s) 10001-10002\n")
    result = run("quarantine", "--lift-bindable")
    assert (result.exit_code, result.output) == (0, "freed: 2 port(s) 10001-10002\n")
    assert ledger.usage().free == 10


def test_quarantine_wants_to_be_told_what(ledger: Ledger, run: Run) -> None:
    result = run("quarantine")
    assert result.exit_code == 2
    assert "give --from-cmgr FILE, --lift-bindable, or both" in result.output


@pytest.mark.parametrize(
    "words", [["check"], ["show"], ["export"], ["quarantine", "--lift-bindable"]]
)
def test_no_ledger_is_an_error_and_none_is_made(path: Path, run: Run, words: list[str]) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: ledger {path}: ")
    assert len(result.output.splitlines()) == 1
    assert not path.exists()


def test_a_far_deadline_is_shown_as_it_is(filled: Ledger, run: Run) -> None:
    filled.set_expiry("a", expires=2**50, now=1)
    assert f"{2**50} ms" in run("show").output


def test_a_row_that_cannot_be_read_is_one_line(filled: Ledger, run: Run) -> None:
    with filled._connection.write as db:
        db.execute("UPDATE meta SET value = '{' WHERE key = 'ports'")
    for word in ("show", "export"):
        done = run(word)
        assert done.exit_code == 1
        assert "cannot be read" in done.output
    with filled._connection.write as db:  # for the fixture's own check
        db.execute("UPDATE meta SET value = '[[10000, 10009]]' WHERE key = 'ports'")
