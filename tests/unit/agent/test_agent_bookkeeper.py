"""The ledger's file is taken away, or spoiled, while the agent runs."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from controller.agent import bookkeeper
from controller.ledger import Ledger, LedgerLost, Loss

PORTS = "10000-10019"
LOST_AFTER = 10.0


@dataclass
class Keeping:
    """A bookkeeper at work on an agent's ledger, with a clock that the test sets."""

    path: Path
    ledger: Ledger
    now: float = 0.0
    told: int = 0
    task: asyncio.Task[None] = field(init=False)

    def __post_init__(self) -> None:
        """Begin."""
        self.task = asyncio.create_task(
            bookkeeper.keep(
                self.ledger,
                lost_after=LOST_AFTER,
                troubled=self._tell,
                monotonic=lambda: self.now,
                period=0.001,
            )
        )

    def _tell(self) -> None:
        self.told += 1

    async def looks(self, times: int = 2) -> None:
        """Wait until it has looked so often again; or has ended."""
        left, enough, loop = times + 1, asyncio.Event(), asyncio.get_running_loop()
        look = self.ledger.look

        def counted() -> Loss:
            nonlocal left
            left -= 1
            if left == 0:
                loop.call_soon_threadsafe(enough.set)
            return look()

        self.ledger.look = counted  # type: ignore[method-assign] # counts, and looks
        waiting = asyncio.create_task(enough.wait())
        await asyncio.wait({waiting, self.task}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        self.ledger.look = look  # type: ignore[method-assign]


@pytest.fixture
async def keeping(tmp_path: Path) -> AsyncIterator[Keeping]:
    path = tmp_path / "state" / "ledger.db"
    path.parent.mkdir()
    with Ledger.open(path, PORTS, sole_writer=True) as ledger:
        ledger.reserve("a", ["p"], namespace="ns", name="a", now=1)
        made = Keeping(path, ledger)
        yield made
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


async def test_a_file_that_is_gone_is_told_and_put_back_after_a_while(
    keeping: Keeping, caplog: pytest.LogCaptureFixture
) -> None:
    await keeping.looks()
    assert keeping.told == 0
    keeping.path.unlink()
    await keeping.looks()
    assert keeping.told == 1, "the node says so, once"
    assert not keeping.path.exists(), "who has moved it has time to put it back"
    assert caplog.text.count("was removed or replaced") == 1
    keeping.now = LOST_AFTER
    await keeping.looks()
    assert keeping.ledger.uids() == {"a"}
    assert keeping.ledger.look() is Loss.NONE
    assert keeping.told == 2
    assert f"Put the ledger {keeping.path} back, with all that it had" in caplog.text


async def test_a_file_that_comes_back_by_itself_starts_no_clock(keeping: Keeping) -> None:
    away = keeping.path.with_suffix(".away")
    keeping.path.rename(away)
    await keeping.looks()
    away.rename(keeping.path)
    await keeping.looks()
    keeping.now = LOST_AFTER
    keeping.path.rename(away)
    await keeping.looks()
    assert not keeping.path.exists(), "the time counts anew"
    away.rename(keeping.path)


async def test_a_folder_that_is_gone_is_waited_for(
    keeping: Keeping, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = keeping.path.parent.rename(keeping.path.parent.with_name("hidden"))
    await keeping.looks()
    keeping.now = LOST_AFTER
    await keeping.looks()
    assert not keeping.task.done()
    assert "Cannot mend the ledger, trying again" in caplog.text
    hidden.rename(keeping.path.parent)
    await keeping.looks()
    assert keeping.ledger.uids() == {"a"}


async def test_a_file_that_was_written_over_is_given_up_and_set_aside(keeping: Keeping) -> None:
    keeping.path.write_bytes(b"")
    await keeping.looks()
    assert not keeping.task.done(), "the node tells it first"
    keeping.now = LOST_AFTER
    with pytest.raises(LedgerLost, match="another program has written into the file") as lost:
        await keeping.task
    assert "Set aside as" in str(lost.value)
    assert not keeping.path.exists()
    with Ledger.open(keeping.path, PORTS) as fresh:
        assert fresh.needs_restore
