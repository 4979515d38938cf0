"""Whose processes are killed, and whose are not: the engine's word on each is asked for."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from controller.reconcile import collect, lost
from controller.runtime import containers, labels, processes
from controller.runtime.containers import ContainerState
from controller.runtime.errors import NotFound

MINE = {labels.INSTALLATION: "default", labels.NODE: "node-1"}
KNOWN = ContainerState("known", "chal-x", "echo", "x", "", "created", "", labels=MINE)


async def ended(
    monkeypatch: pytest.MonkeyPatch,
    *listed: ContainerState,
    alive: tuple[str, ...] = ("known",),
    unlisted: tuple[str, ...] = (),
    gone: tuple[str, ...] = (),
    **how: Any,
) -> list[str]:
    """The containers whose processes were killed."""
    killed: list[str] = []
    told: list[tuple[str, int]] = []

    async def everybodys(_engine: Any) -> list[ContainerState]:
        return list(listed)

    async def inspect(_engine: Any, container: str) -> ContainerState:
        if container in unlisted:
            return KNOWN
        raise NotFound(404, "No such container")

    def kill(container: str, *_: object) -> int:
        if container in gone:
            return 0
        killed.append(container)
        return 1

    monkeypatch.setattr(containers, "list_everybodys", everybodys)
    monkeypatch.setattr(containers, "inspect", inspect)
    monkeypatch.setattr(processes, "alive", lambda *_: {each: [1] for each in alive})
    monkeypatch.setattr(processes, "kill", kill)
    monkeypatch.setattr(collect, "tell", lambda _services, *what: told.append(what))
    settings = SimpleNamespace(
        installation="default", node_name="node-1", cgroup_parent="challenges"
    )
    services: Any = SimpleNamespace(settings=settings, engine=None, engine_info=None)
    info: Any = SimpleNamespace(root="/var/lib/docker")
    number = await lost.end(services, info, **how)
    assert number == len(killed)
    assert told in ([], [("process", number)])
    return killed


async def test_what_the_engine_does_not_know_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ended(monkeypatch) == ["known"]


async def test_what_was_removed_a_moment_ago_is_no_find(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its processes were there when they were looked for, and the engine had it then."""
    assert await ended(monkeypatch, alive=("known", "new"), gone=("known",)) == ["new"]
    assert "container known" not in caplog.text


async def test_what_it_has_just_told_of_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lists nothing here: whoever is asked for is taken for unknown."""
    assert await ended(monkeypatch, listed={"known"}) == []
    assert await ended(monkeypatch, KNOWN, alive=("known", "new"), listed={"known"}) == ["new"]


async def test_what_it_has_and_does_not_list_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ended(monkeypatch, unlisted=("known",)) == []
    assert await ended(monkeypatch, unlisted=("known",), in_new_run=True) == []


@pytest.mark.parametrize("state", ["created", "exited", "dead"])
async def test_what_it_holds_for_stopped_is_ended_before_anything_can_be_started(
    monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    there = replace(KNOWN, state=state)
    assert await ended(monkeypatch, there, in_new_run=True) == ["known"]
    assert await ended(monkeypatch, there) == [], "one may be about to start"


@pytest.mark.parametrize("state", ["running", "paused", "removing", "restarting"])
async def test_what_it_knows_to_run_is_left(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    assert await ended(monkeypatch, replace(KNOWN, state=state), in_new_run=True) == []


@pytest.mark.parametrize("mark", [labels.INSTALLATION, labels.NODE])
async def test_what_is_another_ones_is_left(monkeypatch: pytest.MonkeyPatch, mark: str) -> None:
    there = replace(KNOWN, labels=MINE | {mark: "other"})
    assert await ended(monkeypatch, there, in_new_run=True) == []
