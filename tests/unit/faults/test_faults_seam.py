"""The seam in the agent's doors: which call fails is exact, and what it leaves is as said."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from controller.cluster.client import Cluster
from controller.cluster.errors import ApiUnavailable
from controller.ledger import Ledger, LedgerUnavailable
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineError
from tests.faults import doors, seam
from tests.faults.points import share
from tests.faults.seam import AGENT, API, ENGINE, LEDGER, READS, Control, Fault, Seam

RESERVE: dict[str, Any] = {"namespace": "team", "name": "web", "now": 1}


class Killed(BaseException):
    """The process would have ended here."""


@pytest.fixture
def control(tmp_path: Path) -> Control:
    """A folder of plans."""
    return Control(tmp_path)


@pytest.fixture
def sent() -> list[str]:
    """What has reached the API server."""
    return []


@pytest.fixture
def inside(control: Control, sent: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Seam]:
    """The seam in the doors of this process, where nothing takes time; nobody is behind them."""

    def kill() -> None:
        raise Killed

    async def engine(self: Engine, fn: Callable[[Any], Any], **words: Any) -> Any:
        return fn(None)

    async def api(self: Cluster, method: str, path: str, body: Any = None, **words: Any) -> Any:
        sent.append(method)
        return {}

    monkeypatch.setattr(seam, "kill_process", kill)
    monkeypatch.setattr(doors, "PATIENCE", 0.0)
    monkeypatch.setattr(doors, "SILENCE", 0.0)
    made = Seam(control.folder)
    with (
        patch.object(Engine, "call", engine),
        patch.object(Cluster, "request", api),
        doors.install(made),
    ):
        yield made
    made.close()


@pytest.fixture
def ledger(tmp_path: Path, inside: Seam) -> Iterator[Ledger]:
    """Eight ports."""
    with Ledger.open(tmp_path / "ledger.db", "12000-12007", seed=1) as opened:
        yield opened


def test_the_nth_call_of_its_instance_meets_its_fault_and_no_other(
    control: Control, inside: Seam
) -> None:
    fault = Fault.parse("engine-2-before-error")
    control.plan("web", fault)
    names = ["web", "other", "other", "other", "web", "web"]
    met = [inside.reach(ENGINE, "start", effect=True, instance=name) for name in names]
    assert met == [None, None, None, None, fault, None]
    assert control.met("web")
    assert not control.met("other")
    assert [call.n for call in control.calls("web")] == [1, 2, 3]
    assert [call.fault for call in control.calls("web")] == ["", str(fault), ""]


def test_reads_are_counted_apart_and_each_door_by_itself(control: Control, inside: Seam) -> None:
    fault = Fault.parse("engine.read-2-before-error")
    control.plan("web", fault)
    calls = [(ENGINE, True), (LEDGER, False), (ENGINE, False), (ENGINE, True), (ENGINE, False)]
    met = [inside.reach(door, "", effect=effect, instance="web") for door, effect in calls]
    assert met == [None, None, None, None, fault]


def test_a_fault_that_was_met_is_not_met_again_after_a_restart(
    control: Control, inside: Seam
) -> None:
    control.plan("web", Fault.parse("api-1-after-kill"))
    assert inside.reach(API, "PUT", effect=True, instance="web")
    again = Seam(control.folder)
    assert again.reach(API, "PUT", effect=True, instance="web") is None
    again.close()
    assert control.ends() == 1


@pytest.mark.parametrize("text", ["engine-x-after-kill", "engine-1-during-kill", "a-1-after-b", ""])
def test_what_is_no_point_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as engine-7-after-kill"):
        Fault.parse(text)


def test_a_share_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    counts = {ENGINE: 15, LEDGER: 10, API: 8}
    chosen = share(counts, "1", kills=2, others=8)
    assert chosen == share(counts, "1", kills=2, others=8)
    assert chosen != share(counts, "2", kills=2, others=8)
    assert [point.what == "kill" for point in chosen] == [False] * 8 + [True] * 2
    assert all(Fault.parse(str(point)) == point for point in chosen)
    assert all(1 <= point.n <= counts[point.door] for point in chosen)


@pytest.mark.parametrize(("when", "held"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("what", ["error", "timeout", "kill"])
def test_a_transaction_fails_before_or_after_it_was_made(
    control: Control, ledger: Ledger, when: str, held: int, what: str
) -> None:
    control.plan(AGENT, Fault.parse(f"ledger-1-{when}-{what}"))
    with pytest.raises(Killed if what == "kill" else LedgerUnavailable):
        ledger.reserve("uid-1", ["http"], **RESERVE)
    assert ledger.usage().reserved == held
    ledger.reserve("uid-1", ["http"], **RESERVE)
    assert ledger.usage().reserved == 1


@pytest.mark.parametrize(("when", "done"), [("before", []), ("after", ["done"])])
@pytest.mark.parametrize("what", ["error", "kill"])
async def test_a_call_to_the_engine_fails_before_or_after_it_was_carried_out(
    control: Control, inside: Seam, when: str, done: list[str], what: str
) -> None:
    control.plan(AGENT, Fault.parse(f"engine-1-{when}-{what}"))
    carried_out: list[str] = []
    engine = Engine("unix:///nonexistent")
    with pytest.raises(Killed if what == "kill" else EngineError):
        await engine.call(lambda _: carried_out.append("done"), effect=True, name="web")
    assert carried_out == done


@pytest.mark.parametrize(("when", "arrived"), [("before", []), ("after", ["PUT"])])
@pytest.mark.parametrize("what", ["error", "timeout", "kill"])
async def test_a_request_fails_before_or_after_it_reached_the_api_server(
    control: Control, inside: Seam, sent: list[str], when: str, arrived: list[str], what: str
) -> None:
    control.plan(AGENT, Fault.parse(f"api-1-{when}-{what}"))
    with pytest.raises(Killed if what == "kill" else ApiUnavailable):
        await Cluster(None).request("PUT", "/apis/x")
    assert sent == arrived


async def test_a_request_that_was_given_up_can_arrive_late(
    control: Control, inside: Seam, sent: list[str]
) -> None:
    control.plan(AGENT, Fault.parse("api-1-before-late"))
    with pytest.raises(ApiUnavailable):
        await Cluster(None).request("PUT", "/apis/x")
    assert sent == []
    await asyncio.gather(*doors.late)
    assert sent == ["PUT"]


def test_every_public_method_of_the_ledger_is_a_call_at_its_door(
    control: Control, ledger: Ledger
) -> None:
    ledger.reserve("uid-1", ["http"], **RESERVE)
    ledger.get("uid-1")
    ledger.release("uid-1", now=2)
    made = [(call.door, call.called) for call in control.calls(AGENT)]
    assert made == [(LEDGER, "reserve"), (LEDGER + READS, "get"), (LEDGER, "release")]
