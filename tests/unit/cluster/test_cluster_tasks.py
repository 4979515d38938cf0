"""Parts that run together end together, and a try is repeated until it is done."""

import asyncio

import pytest

from controller.cluster.errors import ApiError
from controller.cluster.tasks import PAUSE, together, until_done
from tests.unit.reconcile.virtual_time import now, virtual


class Part:
    """Runs for ever; notes its end."""

    def __init__(self) -> None:
        self.ended = False

    async def run(self) -> None:
        """Wait until cancelled."""
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True


@virtual
async def test_the_first_part_that_ends_ends_the_others_and_tells_why() -> None:
    part = Part()

    async def fails() -> None:
        await asyncio.sleep(1)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        await together(part.run(), fails())
    assert part.ended


@virtual
async def test_a_part_that_ends_in_good_order_raises_nothing() -> None:
    part = Part()
    await together(part.run(), asyncio.sleep(1))
    assert part.ended


@virtual
async def test_parts_end_with_the_one_who_waits_for_them() -> None:
    parts = [Part(), Part()]
    waiting = asyncio.create_task(together(*(part.run() for part in parts)))
    await asyncio.sleep(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [part.ended for part in parts] == [True, True]


@virtual
async def test_a_try_is_repeated_until_it_is_done_and_another_error_is_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outcomes: list[Exception | None] = [ApiError(500, "Boom", "no leader", {}), None]

    async def attempt() -> str:
        if outcome := outcomes.pop(0):
            raise outcome
        return "done"

    assert await until_done("Cannot write", attempt) == "done"
    assert now() == PAUSE
    assert "Cannot write, trying again" in caplog.text
    assert "no leader" in caplog.text
    outcomes.append(ValueError("mistake"))
    with pytest.raises(ValueError, match="mistake"):
        await until_done("Cannot write", attempt)
