"""The sweep wakes whose time is over by the ledger, and nobody else."""

from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from controller.agent.overdue import sweep
from controller.ledger import Ledger
from controller.reconcile.clock import milliseconds
from controller.reconcile.queue import Backoff, Key, WorkQueue
from controller.reconcile.services import Services
from tests.unit.reconcile.world import NOON, SetClock


async def test_only_those_whose_time_is_over_are_looked_at(tmp_path: Path) -> None:
    now = milliseconds(NOON)
    with Ledger.open(tmp_path / "ledger.db", "10000-10009", seed=1) as ledger:
        for uid, expires in (("over", now), ("later", now + 1), ("for ever", None)):
            ledger.reserve(uid, ["x"], namespace="team", name=uid, now=0)
            ledger.set_expiry(uid, expires=expires, now=0)
        seen: list[Key] = []

        async def reconcile(key: Key) -> None:
            seen.append(key)

        async def book(method: Any, **kwargs: Any) -> Any:
            return method(ledger, **kwargs)

        services = cast(Services, SimpleNamespace(book=book, clock=SetClock()))
        queue = WorkQueue(reconcile, Backoff(1.0, 1.0, Random()))
        await sweep(services, queue)
        await queue.stop(5.0)
        assert seen == [Key("over", "team", "over")]
