"""Whether containers serve: probes each on its own schedule and wakes the instance on a change.

The reconcile only reads the verdict, so an instance whose verdict stays the same costs the API
server nothing. It decides nothing about launching or removing.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from controller.runtime.errors import EngineUnavailable
from controller.runtime.probes import Check, ProbeResult, Probes

FIRST_PAUSES: Final = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Seconds between the first tries of a container that is just starting, capped by its period: a
service answers within a second, and its player waits."""


@dataclass(frozen=True)
class Target:
    """How to probe one container; times in seconds, thresholds as in a Pod."""

    container: str
    engine_name: str
    address: str
    checks: tuple[Check, ...]
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success_threshold: int = 1
    failure_threshold: int = 3


@dataclass(eq=False)
class _Verdict:
    target: Target
    ready: bool = False
    decided: bool = False
    message: str = "not probed yet"
    task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        if self.task:
            with contextlib.suppress(RuntimeError):  # its loop is closed already
                self.task.cancel()


class Readiness:
    """The verdicts on all containers of a node, by instance uid."""

    def __init__(self, probes: Probes, wake: Callable[[str], object]) -> None:
        """``wake`` is called with an uid whose verdict has changed."""
        self._probes = probes
        self._wake = wake
        self._verdicts: dict[str, list[_Verdict]] = {}
        self._awaited: dict[str, asyncio.Event] = {}

    def watch(self, uid: str, targets: list[Target], believed: set[str]) -> None:
        """Probe these containers of an instance from now on, and no others of it.

        ``believed`` names those that were ready when an earlier process last looked: they are
        until the probe has failed as often as it takes for one that is.
        """
        before = self._verdicts.get(uid, [])
        kept = {v.target.container: v for v in before if v.target in targets}
        for verdict in before:
            if verdict not in kept.values():
                verdict.cancel()
        self._verdicts[uid] = [
            kept.get(target.container)
            or self._begin(uid, target, believed=target.container in believed)
            for target in targets
        ]

    async def first(self, uid: str, timeout: float) -> None:
        """Wait until every container of the instance is ready, ``timeout`` seconds at most.

        Who waits is not woken beside.
        """
        if not self.failing(uid):
            return
        changed = self._awaited[uid] = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                while self.failing(uid):
                    changed.clear()
                    await changed.wait()
        except TimeoutError:
            return
        finally:
            del self._awaited[uid]

    def watches(self, uid: str) -> bool:
        """Whether a container of the instance is being probed."""
        return bool(self._verdicts.get(uid))

    def forget(self, uid: str) -> None:
        """Probe nothing of this instance any more."""
        for verdict in self._verdicts.pop(uid, []):
            verdict.cancel()
            self._probes.forget(verdict.target.engine_name)

    def ready(self, uid: str) -> dict[str, bool]:
        """The verdict on each container, by its name in the template."""
        return {v.target.container: v.ready for v in self._verdicts.get(uid, [])}

    def failing(self, uid: str) -> list[str]:
        """What the last tries of containers that are not ready said; empty when all are."""
        verdicts = self._verdicts.get(uid, [])
        return [f"{v.target.container}: {v.message}" for v in verdicts if not v.ready]

    def decided(self, uid: str) -> bool:
        """Whether a container has failed often enough that the probe counts as failing."""
        return any(v.decided for v in self._verdicts.get(uid, []) if not v.ready)

    async def close(self) -> None:
        """End all probing."""
        tasks = [v.task for verdicts in self._verdicts.values() for v in verdicts if v.task]
        for uid in list(self._verdicts):
            self.forget(uid)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, uid: str, target: Target, *, believed: bool) -> _Verdict:
        verdict = _Verdict(target, ready=believed, decided=believed)
        name = f"probe {target.engine_name}"
        verdict.task = asyncio.create_task(self._run(uid, target, verdict), name=name)
        return verdict

    async def _run(self, uid: str, target: Target, verdict: _Verdict) -> None:
        await asyncio.sleep(target.initial_delay)
        tries = successes = failures = 0
        while True:
            tries += 1
            try:
                result = await self._try(target)
            except EngineUnavailable as error:
                # That says nothing of the container. A kubelet leaves the verdict as it is, too.
                verdict.message = error.message
            else:
                successes, failures = (successes + 1, 0) if result.ok else (0, failures + 1)
                before = (verdict.ready, verdict.decided)
                verdict.message = result.message
                if successes >= target.success_threshold:
                    verdict.ready, verdict.decided = True, True
                elif failures >= target.failure_threshold:
                    verdict.ready = False
                    verdict.decided = verdict.decided or tries > len(FIRST_PAUSES)
                if (verdict.ready, verdict.decided) != before:
                    self._tell(uid)
            await asyncio.sleep(self._pause(target, tries, verdict))

    def _tell(self, uid: str) -> None:
        if (awaited := self._awaited.get(uid)) is not None:
            awaited.set()
        else:
            self._wake(uid)

    def _pause(self, target: Target, tries: int, verdict: _Verdict) -> float:
        if verdict.ready:
            return target.period
        later = 2.0 ** min(12, tries - len(FIRST_PAUSES) - 1)  # longer than any period
        quick = FIRST_PAUSES[tries - 1] if tries <= len(FIRST_PAUSES) else later
        return min(target.period, quick)

    async def _try(self, target: Target) -> ProbeResult:
        """One try of all checks; raises EngineUnavailable."""
        result = ProbeResult(True)
        for check in target.checks:
            result = await self._probes.probe(
                check,
                container=target.engine_name,
                address=target.address,
                timeout=target.timeout,
            )
            if not result.ok:
                break
        return result
