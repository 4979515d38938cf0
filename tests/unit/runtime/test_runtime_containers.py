"""What the engine refuses because a container has changed since it was looked at."""

from typing import Any

import pytest

from controller.runtime import containers
from controller.runtime.engine import Engine
from controller.runtime.errors import Conflict, EngineError
from controller.runtime.labels import Owner
from tests.unit.runtime.fake_engine import FakeEngine, Request

OWNER = Owner("default", "n1", "0b6f3c1e", "team", "web", "hash")
PLAN = containers.ContainerPlan(name="web", image="img:1")


def half_made(request: Request) -> tuple[int, dict[str, str]]:
    """An engine that is making a container, for somebody who is gone."""
    if request.method == "POST":
        return 409, {"message": "Conflict. The container name is already in use"}
    return 404, {"message": "No such container"}


@pytest.mark.parametrize("words", ["is not running", "is already paused"])
async def test_a_container_that_has_just_ended_or_rests_needs_no_pause(
    fake: FakeEngine, engine: Engine, words: str
) -> None:
    fake.answer = lambda request: (409, {"message": f"Container 4f1c {words}"})
    await containers.pause(engine, "chal-x-web")
    assert [request.path for request in fake.requests] == ["/containers/chal-x-web/pause"]


async def test_any_other_refusal_of_a_pause_is_told(fake: FakeEngine, engine: Engine) -> None:
    fake.answer = lambda request: (500, {"message": "cannot freeze the cgroup"})
    with pytest.raises(EngineError, match="freeze"):
        await containers.pause(engine, "chal-x-web")


async def test_one_whose_name_is_taken_and_that_is_not_there_yet_is_waited_for(
    fake: FakeEngine, engine: Engine
) -> None:
    """An agent was killed while the engine made it: it is there a little later, or never was."""

    def answer(request: Request) -> Any:
        over = len(fake.requests) > 10
        return (201, {"Id": "4f1c"}) if over else half_made(request)

    fake.answer = answer
    assert await containers.create(engine, OWNER, PLAN, "net") == "4f1c"


async def test_that_wait_has_an_end(
    fake: FakeEngine, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "_HALF_MADE_SECONDS", 0.0)
    fake.answer = half_made
    with pytest.raises(Conflict, match="already in use"):
        await containers.create(engine, OWNER, PLAN, "net")
