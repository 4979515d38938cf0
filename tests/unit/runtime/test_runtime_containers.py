"""What the engine refuses because a container has changed since it was looked at."""

import pytest

from controller.runtime import containers
from controller.runtime.engine import Engine
from controller.runtime.errors import EngineError
from tests.unit.runtime.fake_engine import FakeEngine


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
