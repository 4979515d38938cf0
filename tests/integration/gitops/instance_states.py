"""The states of a ChallengeInstance: every result of its agent, and what the manager writes.

Each is put together by the function that writes it, over every state that it can follow.
"""

from typing import Final, cast

from controller.api import conditions, reasons
from controller.api.instance import ChallengeInstance, InstanceStatus
from controller.api.template import resolve
from controller.manager import health, move, verdict
from controller.manager.placement import Refusal
from controller.reconcile.result import DONE, Ended, Failed, Result, Waiting
from controller.reconcile.services import Services
from controller.reconcile.summary import summarize
from controller.reconcile.work import Work
from tests.integration.gitops.states import NOW, Object, State, everywhere, fresh, with_status
from tests.integration.gitops.uses import Use

RESULTS: Final = """
    reconcile/admit     waiting  CHALLENGE_NOT_FOUND      InProgress  Progressing
    reconcile/admit     failed   CAPABILITY_NOT_ALLOWED   Failed      Degraded
    reconcile/admit     failed   INVALID_TEMPLATE         Failed      Degraded
    reconcile/allowed   failed   IMAGE_NOT_ALLOWED        Failed      Degraded
    reconcile/allowed   failed   INVALID_TEMPLATE         Failed      Degraded
    reconcile/expire    waiting  EXPIRED                  InProgress  Progressing
    reconcile/instance  waiting  DOCKER_UNAVAILABLE       InProgress  Progressing
    reconcile/instance  waiting  WAITING_FOR_LAUNCH_SLOT  InProgress  Progressing
    reconcile/instance  retried  LAUNCH_FAILED            InProgress  Progressing
    reconcile/isolate   waiting  BRIDGE_FILTER_OFF        InProgress  Progressing
    agent/firewall      waiting  BRIDGE_FILTER_OFF        InProgress  Progressing
    agent/firewall      waiting  FIREWALL_UNAVAILABLE     InProgress  Progressing
    reconcile/launch    waiting  CONFIG_MAP_NOT_FOUND     InProgress  Progressing
    reconcile/launch    waiting  DOCKER_UNAVAILABLE       InProgress  Progressing
    reconcile/launch    waiting  NETWORK_EXHAUSTED        InProgress  Progressing
    reconcile/launch    waiting  PORTS_EXHAUSTED          InProgress  Progressing
    reconcile/launch    waiting  SECCOMP_PROFILE_INVALID  InProgress  Progressing
    reconcile/launch    waiting  SECRET_NOT_FOUND         InProgress  Progressing
    reconcile/launch    waiting  WAITING_FOR_LAUNCH_SLOT  InProgress  Progressing
    reconcile/launch    retried  LAUNCH_FAILED            InProgress  Progressing
    reconcile/launch    failed   LAUNCH_TIMEOUT           Failed      Degraded
    reconcile/launch    retried  LAUNCH_TIMEOUT           InProgress  Progressing
    reconcile/probe     waiting  PROBE_FAILING            InProgress  Progressing
    reconcile/probe     waiting  PROBE_PENDING            InProgress  Progressing
    reconcile/pull      waiting  PULLING_IMAGE            InProgress  Progressing
    reconcile/pull      waiting  SECRET_NOT_FOUND         InProgress  Progressing
    reconcile/pull      retried  IMAGE_PULL_FAILED        InProgress  Progressing
    reconcile/recover   waiting  WAITING_FOR_LAUNCH_SLOT  InProgress  Progressing
    reconcile/recover   retried  LAUNCH_CRASHED           InProgress  Progressing
    reconcile/relaunch  waiting  RESTARTING               InProgress  Progressing
    reconcile/reserve   waiting  PORTS_EXHAUSTED          InProgress  Progressing
    reconcile/restart   waiting  WAITING_FOR_LAUNCH_SLOT  InProgress  Progressing
    reconcile/restart   failed   CONTAINER_EXITED         Failed      Degraded
    reconcile/restart   retried  CONTAINER_EXITED         InProgress  Progressing
    reconcile/restart   failed   CRASH_LOOP               Failed      Degraded
    reconcile/restart   retried  LAUNCH_FAILED            InProgress  Progressing
    reconcile/stop      waiting  DELETING                 InProgress  Progressing
    reconcile/storage   failed   STORAGE_EXCEEDED         Failed      Degraded
"""
"""What a step of the agent's answers, module by module.

What is retried and has failed for the third time is Failed and Degraded.
"""

REFUSALS: Final = """
    manager/placement  -  PORTS_EXHAUSTED      InProgress  Progressing
    manager/placement  -  UNSCHEDULABLE        InProgress  Progressing
    manager/placement  -  WAITING_FOR_NODE     InProgress  Progressing
    manager/placer     -  CHALLENGE_NOT_FOUND  InProgress  Progressing
    manager/placer     -  WAITING_FOR_NODE     InProgress  Progressing
    manager/quota      -  QUOTA_EXCEEDED       InProgress  Progressing
    manager/size       -  INVALID_TEMPLATE     InProgress  Progressing
"""
"""Why the manager gives it no node."""

WRITTEN: Final[set[Use]] = {
    ("manager/verdict", "-", "SCHEDULED"),
    ("manager/verdict", "-", "WAITING_FOR_LAUNCH_SLOT"),
    ("manager/move", "-", "RESCHEDULED"),
    ("manager/health", "-", "NODE_LOST"),
    ("reconcile/summary", "-", "READY"),
    ("reconcile/suspend", "-", "SUSPENDED"),
}
"""The states below that stand in no table."""

SPEC: Final = {"template": {"containers": [{"name": "web", "image": "web:1"}]}}


def covered() -> set[Use]:
    """Every use of a reason that a state here stands for."""
    return {_use(row) for row in _rows(RESULTS) + _rows(REFUSALS)} | WRITTEN


def states() -> list[State]:
    """All of them."""
    created = fresh(ChallengeInstance, SPEC)
    instance = _parse(created)
    given = verdict.placed(instance, "n1", resolve(instance, None), None, NOW)
    placed = with_status(created, given)
    ready, suspended, expired = (
        _done(placed),
        _rests(placed, "Suspended"),
        _rests(placed, "Expired"),
    )
    stuck = _result(placed, Failed(reasons.CRASH_LOOP, "why"))
    found = [
        State("created", created, "InProgress", "Progressing"),
        State("placed", placed, "InProgress", "Progressing"),
        State("ready", ready, "Current", "Healthy"),
        State("ready after a failure", _done(stuck), "Current", "Healthy"),
        State("ready after a rest", _done(suspended), "Current", "Healthy"),
        State("suspended", suspended, "Current", "Suspended"),
        State("expired and retained", expired, "Current", "Healthy"),
        State("expired, off its node", _moved(expired), "Current", "Healthy"),
        State("node lost", _lost(ready), "InProgress", "Degraded"),
        State("suspended, node lost", _lost(suspended), "InProgress", "Degraded"),
        State("on its way, node lost", _lost(placed), "InProgress", "Progressing"),
        State("stalled, node lost", _lost(stuck), "Failed", "Degraded"),
        State("moved", _moved(_lost(ready)), "InProgress", "Progressing"),
        State("moved while suspended", _moved(suspended), "InProgress", "Progressing"),
        State("moved while stalled", _moved(stuck), "InProgress", "Progressing"),
    ]
    befores = {"placed": placed, "ready": ready, "stalled": stuck}
    befores |= {"suspended": suspended, "expired": expired}
    for module, kind, constant, kstatus, argo in _rows(RESULTS):
        reason = getattr(reasons, constant)
        for before, body in befores.items():
            name = f"{before}, then {module} {kind} {reason}"
            found.append(State(name, _result(body, _given(kind, reason)), kstatus, argo))
            if kind == "retried":
                often = _result(body, _given("failed", reason))
                found.append(State(f"{name} too often", often, "Failed", "Degraded"))
    for module, _, constant, kstatus, argo in _rows(REFUSALS):
        refusal = Refusal(getattr(reasons, constant), "why")
        for before, body in {"created": created, "moved": _moved(ready)}.items():
            waits = with_status(body, verdict.waiting(_parse(body), refusal, NOW))
            name = f"{before}, {module} {refusal.reason}"
            found.append(State(name, waits, kstatus, argo))
    return everywhere(found)


def _given(kind: str, reason: str) -> Result:
    if kind == "waiting":
        return Waiting(reason, "why")
    return Failed(reason, "why", stalled=kind == "failed")


def _rows(table: str) -> list[tuple[str, str, str, str, str]]:
    lines = (line.split() for line in table.strip().splitlines())
    return [(module, kind, reason, kstatus, argo) for module, kind, reason, kstatus, argo in lines]


def _use(row: tuple[str, str, str, str, str]) -> Use:
    return row[:3]


def _parse(body: Object) -> ChallengeInstance:
    return ChallengeInstance.model_validate(body)


def _work(body: Object) -> Work:
    instance = _parse(body)
    status = instance.status.model_copy(deep=True)
    status.observed_generation = instance.metadata.generation
    # The summary asks none of the agent's collaborators.
    return Work(cast(Services, None), body, instance, status, None, NOW)


def _result(body: Object, result: Result) -> Object:
    work = _work(body)
    summarize(work, result)
    return with_status(body, work.status)


def _done(body: Object) -> Object:
    work = _work(body)
    for kind in (conditions.SUSPENDED, conditions.EXPIRED):
        work.drop(kind)
    summarize(work, DONE)
    return with_status(body, work.status)


def _rests(body: Object, kind: str) -> Object:
    work = _work(body)
    work.condition(kind, True, kind, "why")
    summarize(work, Ended())
    return with_status(body, work.status)


def _moved(body: Object) -> Object:
    return with_status(body, move.unplaced(_parse(body), "why", NOW))


def _lost(body: Object) -> Object:
    status: InstanceStatus = _parse(body).status.model_copy(deep=True)
    health.unknown(status.conditions, reasons.NODE_LOST, "why", status.observed_generation)
    return with_status(body, status)
