"""Whether a process is well: alive, which a restart would mend, and ready, which time would.

**Alive** is a process whose event loop turns and whose parts are at work. What is outside (API
server, engine, ledger) has no part in that: a restart mends none of it. **Ready** is a role that
does its work now; what is missing is told in words, without any secret.

The loop writes here and another thread reads, so all that is kept is read in one step each.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

STUCK: Final = 30.0
"""Seconds for which a loop may not have turned: a ledger on a hanging disk, or a machine that swaps
for a while, is no reason to end the process."""
PERIOD: Final = 1.0
"""Seconds between two turns that are noted."""

Missing = Callable[[], Iterable[str]]
"""What is missing for a role to be ready, each in words that name it."""


class Health:
    """One process' health, by the roles that it runs."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """No role runs yet."""
        self._monotonic = monotonic
        self._turned = monotonic()
        self._parts: dict[str, asyncio.Task[Any]] = {}
        self._roles: dict[str, Missing] = {}

    async def keep(self) -> None:
        """Note that the loop turns, until cancelled."""
        while True:
            self._turned = self._monotonic()
            await asyncio.sleep(PERIOD)

    def part(self, name: str, task: "asyncio.Task[Any]") -> None:
        """A part of the process that must be at work for the process to be alive."""
        self._parts = self._parts | {name: task}

    def role(self, name: str, missing: Missing) -> None:
        """A role of this process, and how to learn what it lacks; in place of what was said before.

        ``missing`` is called from another thread, and must not wait for anything.
        """
        self._roles = self._roles | {name: missing}

    def ailments(self) -> list[str]:
        """Why the process is to be started again; empty while it is alive."""
        silent = self._monotonic() - self._turned
        found = [f"event loop: has not turned for {silent:.0f} s"] if silent > STUCK else []
        return found + [f"{name}: has ended" for name, task in self._parts.items() if task.done()]

    def missing(self) -> list[str]:
        """What is missing for all roles to do their work; empty when they are ready."""
        lacks = [f"{role}: {what}" for role, ask in self._roles.items() for what in ask()]
        return self.ailments() + (lacks if self._roles else ["no role has started yet"])
