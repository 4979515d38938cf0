"""Readiness: a verdict by thresholds, told only when it changes, and quickly for a fresh start."""

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from controller.reconcile.readiness import FIRST_PAUSES, Readiness, Target
from controller.runtime.errors import EngineUnavailable
from controller.runtime.probes import Check, ProbeResult, Probes, TcpProbe
from tests.unit.reconcile.virtual_time import now, settle, virtual

TARGET = Target("web", "chal-uid-web", "10.0.0.2", (TcpProbe(80),))


class Service:
    """Answers its probes as a test says; notes when it was tried."""

    def __init__(self, *outcomes: bool) -> None:
        self.outcomes = list(outcomes)
        self.tries: list[float] = []
        self.checks: list[Check] = []
        self.error: Exception | None = None
        self.forgotten: list[str] = []

    def forget(self, container: str) -> None:
        """Note that nothing more is to be kept of a container."""
        self.forgotten.append(container)

    async def probe(
        self, check: Check, *, container: str, address: str, timeout: float
    ) -> ProbeResult:
        """The next outcome; the last one from then on."""
        self.tries.append(now())
        self.checks.append(check)
        if self.error:
            raise self.error
        ok = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        return ProbeResult(ok, "" if ok else "connection refused")


class Watch:
    """A service that is watched, and when the instance was woken."""

    def __init__(self, *outcomes: bool) -> None:
        self.service = Service(*outcomes)
        self.woken: list[tuple[str, float]] = []
        self.readiness = Readiness(
            cast(Probes, self.service), lambda uid: self.woken.append((uid, now()))
        )

    def begin(self, target: Target = TARGET, *, believed: bool = False) -> None:
        """Watch this one container."""
        self.readiness.watch("uid", [target], {target.container} if believed else set())

    @property
    def ready(self) -> bool:
        """The verdict."""
        return self.readiness.ready("uid")[TARGET.container]


@virtual
async def test_a_service_that_answers_is_ready_at_once_and_told_once() -> None:
    watch = Watch(True)
    watch.begin()
    assert (watch.ready, watch.readiness.failing("uid")) == (False, ["web: not probed yet"])
    await asyncio.sleep(100)
    assert watch.ready
    assert watch.readiness.failing("uid") == []
    assert watch.woken == [("uid", 0.0)]
    assert watch.service.tries == [float(10 * n) for n in range(10)]


@virtual
async def test_a_service_that_is_just_starting_is_tried_often_at_first() -> None:
    """Its player waits: not for a period of ten seconds."""
    watch = Watch(*[False] * 4, True)
    watch.begin()
    await asyncio.sleep(30)
    ((_, at),) = watch.woken
    assert at == pytest.approx(sum(FIRST_PAUSES[:4]))
    assert watch.service.tries[5] - watch.service.tries[4] == pytest.approx(10.0)


@virtual
async def test_first_tries_are_no_faster_than_the_period_and_begin_after_the_delay() -> None:
    watch = Watch(False)
    watch.begin(replace(TARGET, period=0.15, initial_delay=7.0))
    await asyncio.sleep(7.55)
    assert watch.service.tries[0] == 7.0
    gaps = [b - a for a, b in zip(watch.service.tries, watch.service.tries[1:], strict=False)]
    assert gaps == pytest.approx([0.05, 0.1, 0.15, 0.15])


@virtual
async def test_a_service_that_never_answers_is_failing_but_not_from_the_first_tries_on() -> None:
    watch = Watch(False)
    watch.begin()
    await asyncio.sleep(1.0)
    assert not watch.readiness.decided("uid")
    await asyncio.sleep(30)
    assert watch.readiness.decided("uid")
    assert watch.readiness.failing("uid") == ["web: connection refused"]
    assert len(watch.woken) == 1, "told once, however often it fails"


@virtual
async def test_a_ready_service_is_not_ready_after_as_many_failures_as_its_threshold() -> None:
    watch = Watch(True, False, False, True, False)
    watch.begin()
    await asyncio.sleep(55)
    assert watch.ready, "two failures in a row, twice, are forgiven"
    await asyncio.sleep(10)
    assert not watch.ready
    assert watch.woken == [("uid", 0.0), ("uid", 60.0)]


@virtual
async def test_a_service_that_was_ready_and_fails_soon_after_is_failing_not_pending() -> None:
    """It would be wrong to wait for its first answer: there was one."""
    watch = Watch(True, False)
    watch.begin()
    await asyncio.sleep(30.1)
    assert not watch.ready
    assert watch.readiness.decided("uid")


@virtual
async def test_a_success_threshold_takes_as_many_in_a_row() -> None:
    watch = Watch(True, False, True, True, True)
    watch.begin(replace(TARGET, success_threshold=3))
    await asyncio.sleep(60)
    assert watch.ready
    assert len(watch.woken) == 1
    assert watch.woken[0][1] == pytest.approx(sum(FIRST_PAUSES[:4]))


@virtual
async def test_an_engine_that_is_away_makes_nothing_ready() -> None:
    watch = Watch(True)
    watch.service.error = EngineUnavailable("Docker is away")
    watch.begin()
    await asyncio.sleep(2)
    assert watch.readiness.failing("uid") == ["web: Docker is away"]
    watch.service.error = None
    await asyncio.sleep(20)
    assert watch.ready


@virtual
async def test_an_engine_that_cannot_be_asked_leaves_the_verdict_as_it_is() -> None:
    """It has no place for one more question, say: that is nothing that its players did."""
    watch = Watch(True)
    watch.begin()
    await asyncio.sleep(1)
    watch.service.error = EngineUnavailable("too many earlier calls are not answered yet")
    await asyncio.sleep(100)
    assert watch.ready
    watch.service.error, watch.service.outcomes = None, [False]
    await asyncio.sleep(100)
    assert not watch.ready
    assert [uid for uid, _ in watch.woken] == ["uid", "uid"]


@virtual
async def test_every_port_of_a_container_must_answer() -> None:
    watch = Watch(True, False, True, True)
    watch.begin(replace(TARGET, checks=(TcpProbe(80), TcpProbe(81))))
    await settle()
    assert not watch.ready
    await asyncio.sleep(1)
    assert watch.ready
    assert watch.service.checks[:4] == [TcpProbe(80), TcpProbe(81)] * 2


@virtual
async def test_a_container_without_anything_to_probe_is_ready() -> None:
    watch = Watch(False)
    watch.begin(replace(TARGET, checks=()))
    await settle()
    assert watch.ready


@virtual
async def test_what_an_earlier_process_saw_ready_stays_so_until_it_fails_often_enough() -> None:
    watch = Watch(False)
    watch.begin(believed=True)
    assert watch.ready
    await asyncio.sleep(15)
    assert watch.ready
    assert watch.woken == []
    await asyncio.sleep(10)
    assert not watch.ready
    assert watch.readiness.decided("uid")


@virtual
async def test_watching_the_same_again_goes_on_and_another_address_begins_anew() -> None:
    watch = Watch(True)
    watch.begin()
    await settle()
    watch.begin()
    assert watch.ready
    await settle()
    assert len(watch.service.tries) == 1
    watch.begin(replace(TARGET, address="10.0.0.3"))
    assert not watch.ready
    await asyncio.sleep(1)
    assert watch.ready
    assert len(watch.service.tries) == 2, "the old address is not probed any more"


@virtual
async def test_a_forgotten_instance_is_neither_probed_nor_woken() -> None:
    watch = Watch(False)
    watch.begin()
    await asyncio.sleep(0.01)
    watch.readiness.forget("uid")
    watch.readiness.forget("never seen")
    await asyncio.sleep(100)
    assert len(watch.service.tries) == 1
    assert watch.service.forgotten == [TARGET.engine_name]
    assert watch.woken == []
    assert watch.readiness.ready("uid") == {}
    assert (watch.readiness.failing("uid"), watch.readiness.decided("uid")) == ([], False)


@virtual
async def test_closing_ends_all_probing() -> None:
    watch = Watch(True)
    watch.begin()
    await watch.readiness.close()
    await asyncio.sleep(100)
    assert watch.service.tries == []


@virtual
async def test_who_waits_for_the_first_verdict_has_it_at_once_and_is_not_woken_beside() -> None:
    watch = Watch(False, False, True)
    watch.begin()
    await watch.readiness.first("uid", 0.5)
    assert watch.ready
    assert now() == FIRST_PAUSES[0] + FIRST_PAUSES[1]
    await settle()
    assert watch.woken == []
    await watch.readiness.close()


@virtual
async def test_a_first_verdict_that_takes_long_wakes_as_ever() -> None:
    watch = Watch(False, False, False, False, False, True)
    watch.begin()
    await watch.readiness.first("uid", 0.5)
    assert (watch.ready, now()) == (False, 0.5)
    await asyncio.sleep(5)
    assert watch.ready
    assert [uid for uid, _ in watch.woken] == ["uid"]
    await watch.readiness.close()


@virtual
async def test_what_is_ready_already_is_not_waited_for() -> None:
    watch = Watch(True)
    watch.begin(believed=True)
    await watch.readiness.first("uid", 0.5)
    assert now() == 0.0
    await watch.readiness.close()
