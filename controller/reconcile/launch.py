"""Launch: the instance's containers run, each made once, under the launch gate.

Creation is idempotent by name, so a launch that was cut off half-way is simply gone through again.
Whatever fails half-way is taken away at once, ports included; only a call whose outcome is not
known keeps its ports until it is.
"""

import asyncio

from controller.api import conditions, reasons
from controller.cluster.client import SECRETS
from controller.cluster.references import ReferenceMissing
from controller.ledger import Instance as Row
from controller.ledger import Ledger, PortsExhausted, SubnetsExhausted
from controller.reconcile import attach, gate, lookup, mounts, plan, restart, storage, teardown
from controller.reconcile.clock import milliseconds
from controller.reconcile.ports import replace_taken
from controller.reconcile.reserve import EXHAUSTED_RETRY
from controller.reconcile.result import DONE, Failed, Result, Waiting
from controller.reconcile.show import launched, learn_images, show
from controller.reconcile.work import Work
from controller.runtime import containers
from controller.runtime.containers import ContainerPlan, ContainerState
from controller.runtime.errors import (
    EngineError,
    EngineUnavailable,
    FolderFault,
    ImageNotFound,
    NetworkExhausted,
    NotFound,
    OutcomeUnknown,
    PortTaken,
    RuntimeFault,
)
from controller.runtime.seccomp import ProfileError

UNANSWERED_RETRY = 30.0
"""Seconds until a look that nobody asked for; the engine's answer wakes who waits for it."""
NEXT_PATIENCE = 2.0
"""Seconds for which the next in the queue waits in place, before it looks whether it is wanted."""
HELD = "Its node first takes away what is no longer its own"
UNANSWERED = "The engine has not answered an earlier call on its containers"
PORT_TRIES = 20
"""Ports held by foreign programs that one launch steps over."""


async def launch(work: Work) -> Result:
    """Have all containers of the template running."""
    services = work.services
    if _unanswered(work):
        last = services.attempts.last(work.uid)
        message = last.message if last else UNANSWERED
        work.condition(conditions.LAUNCHED, False, reasons.LAUNCH_TIMEOUT, message)
        stalled = last is not None and last.stalled
        return Failed(reasons.LAUNCH_TIMEOUT, message, UNANSWERED_RETRY, stalled)
    if complete(work):
        await _settle(work)
        return await restart.keep_up(work)
    if failed := services.attempts.pending(work.uid, now=services.monotonic()):
        return failed
    try:
        planned = await plan.plans(work)
        work.folders = await mounts.look_up(work)
    except ReferenceMissing as missing:
        reason = (
            reasons.SECRET_NOT_FOUND if missing.kind is SECRETS else reasons.CONFIG_MAP_NOT_FOUND
        )
        return Waiting(reason, str(missing), lookup.again(work))
    except ProfileError as error:
        return Waiting(reasons.SECCOMP_PROFILE_INVALID, str(error), lookup.again(work))
    if not services.gate.request(work.uid, gate.Work.LAUNCH) and not await services.gate.wait(
        work.uid, NEXT_PATIENCE
    ):
        return _in_the_queue(work)
    try:
        hindered = await _attempt(work, planned)
    finally:
        services.gate.release(work.uid)
    return hindered or await _adopt(work)


def _in_the_queue(work: Work) -> Result:
    if hanging := work.services.gate.hanging:
        work.condition(conditions.LAUNCHED, False, reasons.DOCKER_UNAVAILABLE, hanging)
        return Waiting(reasons.DOCKER_UNAVAILABLE, hanging)
    if last := work.services.attempts.last(work.uid):
        return last
    message = HELD if work.services.gate.launches_held else "In the queue for a launch slot"
    work.condition(conditions.LAUNCHED, False, reasons.WAITING_FOR_LAUNCH_SLOT, message)
    return Waiting(reasons.WAITING_FOR_LAUNCH_SLOT, message)


def complete(work: Work) -> bool:
    """Whether every container of the template has been made and started, ended since or not."""
    made = {state.container: state for state in work.containers}
    return all(
        (state := made.get(container.name)) is not None
        and state.state not in ("created", "dead", "removing")
        and state.template_hash == work.owner.template_hash
        for container in work.template.containers
    )


async def _settle(work: Work) -> None:
    """A launch whose end was not seen has succeeded after all."""
    services = work.services
    if services.attempts.last(work.uid) or not (work.row and work.row.is_finalized):
        services.attempts.succeed(work.uid)
        await services.book(Ledger.confirm, work.uid, now=milliseconds(work.now))


async def _adopt(work: Work) -> Result:
    """Take over what has just been launched.

    It holds no slot any more, so whatever fails here takes nothing away: the next look finds what
    runs, and settles it.
    """
    services = work.services
    work.just_launched = True
    services.attempts.succeed(work.uid)
    await services.book(Ledger.confirm, work.uid, now=milliseconds(work.now))
    work.containers = await _made(work)
    await learn_images(work, work.containers)
    show(work, work.containers)
    launched(work)
    return DONE


async def _made(work: Work) -> list[ContainerState]:
    """The containers as they are now; by name, since a list costs an engine more with each one."""
    return [await containers.inspect(work.services.engine, name) for name in work.names]


async def _attempt(work: Work, planned: list[ContainerPlan]) -> Result | None:
    """Launch under the slot; the result is what went wrong, None when all containers run."""
    services = work.services
    began = services.monotonic()
    try:
        async with asyncio.timeout(services.settings.launch_timeout):
            await _launch(work, planned)
    except (NetworkExhausted, SubnetsExhausted) as error:
        return await _starved(work, reasons.NETWORK_EXHAUSTED, str(error))
    except PortsExhausted as error:
        return await _starved(work, reasons.PORTS_EXHAUSTED, str(error))
    except (OutcomeUnknown, TimeoutError) as error:
        message = str(error) or f"No end after {services.settings.launch_timeout:.0f} s"
        return await _failed(work, reasons.LAUNCH_TIMEOUT, message)
    except (EngineError, FolderFault) as error:
        if isinstance(error, ImageNotFound):
            services.images.missing(error.image)
        return await _failed(work, reasons.LAUNCH_FAILED, error.message)
    except EngineUnavailable:
        services.metrics.launch_failed(reasons.DOCKER_UNAVAILABLE)
        raise  # what was made stays, and is adopted when the engine is back
    services.metrics.launched(services.monotonic() - began)
    return None


async def _launch(work: Work, planned: list[ContainerPlan]) -> None:
    services = work.services
    work.row = await services.book(_begin, work.uid, now=milliseconds(services.clock.now()))
    services.batch.discard(work.uid)
    services.readiness.forget(work.uid)
    for status in work.status.containers:
        status.ready = False
    await _remove_renamed(work)
    await mounts.prepare(work)
    for _ in range(PORT_TRIES):
        try:
            await _make(work, planned)
            break
        except PortTaken as taken:
            planned = await replace_taken(work, planned, taken)
    else:
        raise EngineError(0, f"{PORT_TRIES} host ports in a row are held by foreign programs")


async def _remove_renamed(work: Work) -> None:
    """Remove containers that somebody has given other names: each of them is made once."""
    for state in work.containers:
        if state.name not in work.names:
            await containers.remove(work.services.engine, state.name, stop_timeout=0)


def _begin(ledger: Ledger, uid: str, *, now: int) -> Row | None:
    """Stamp the attempt, and read the row as it is then; one way to the ledger's thread."""
    ledger.begin_attempt(uid, now=now)
    return ledger.get(uid)


async def _make(work: Work, planned: list[ContainerPlan]) -> None:
    services = work.services
    async with services.bridges.in_use():
        begun = services.monotonic()
        network = await attach.network(work)
        attached = services.monotonic()
        for container in planned:
            await _run(work, container, network)
        services.metrics.stage("network", attached - begun)
        services.metrics.stage("containers", services.monotonic() - attached)


async def _run(work: Work, container: ContainerPlan, network: str) -> None:
    services, bridges = work.services, work.services.bridges
    try:
        await storage.launch(services, work.owner, container, network)
        return
    except NetworkExhausted:
        if not attach.shares_bridge(work):
            raise
        bridges.full(network)
    except NotFound as missing:
        if "network" not in missing.message:
            raise
        bridges.forget()
        services.own_networks.lost(work.uid)
    network = await attach.network(work)
    await storage.launch(services, work.owner, container, network)


async def _undo(work: Work) -> str:
    """Take away what was made, ports included; the result is what hindered that, if anything.

    What is left then is found by the next try, which adopts or replaces it. While the engine has
    not answered a call on it, all of it is left, and the ports stay held.
    """
    if _unanswered(work):
        return ""
    try:
        await teardown.undo(work)
    except EngineUnavailable:
        raise
    except RuntimeFault as fault:
        return f"; what was made could not be taken away: {fault.message}"
    return ""


async def _starved(work: Work, reason: str, message: str) -> Waiting:
    """Wait for what another instance will give back, and do not try again before."""
    failed = await _failed(work, reason, message, at_least=EXHAUSTED_RETRY)
    work.services.starved.setdefault(work.uid)
    return Waiting(reason, failed.message, failed.after)


async def _failed(work: Work, reason: str, message: str, *, at_least: float = 0.0) -> Failed:
    services = work.services
    services.metrics.launch_failed(reason)
    message += await _undo(work)
    work.condition(conditions.LAUNCHED, False, reason, message)
    now = services.monotonic()
    return services.attempts.fail(work.uid, reason, message, now=now, at_least=at_least)


def _unanswered(work: Work) -> bool:
    """Whether the engine has not answered a call on one of the containers; its answer wakes us."""
    pending = work.services.pending(work.uid)
    if pending:
        work.services.unanswered.setdefault(work.uid)
    return pending
