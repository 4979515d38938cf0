"""Storage: an instance that has written more than it may is stopped for good.

Where the storage driver has quotas, a program gets "no space left" and goes on. Elsewhere the agent
looks every few seconds (`sample`), and what is over its limit is stopped by its own reconcile: its
containers stay to be looked at, its ports stay held and its time goes on, but nothing is started
again. The containers' own files are counted here, those in volumes by `volumelimits`.
"""

import logging
from dataclasses import replace
from typing import Final

from controller.api import conditions, reasons
from controller.reconcile import teardown, volumelimits, volumes
from controller.reconcile.result import DONE, Failed, Result
from controller.reconcile.services import Services
from controller.reconcile.show import show
from controller.reconcile.storagewatch import Excess
from controller.reconcile.work import Work
from controller.runtime import containers, usage
from controller.runtime.containers import ContainerPlan
from controller.runtime.errors import QuotaUnsupported
from controller.runtime.labels import Owner

logger = logging.getLogger(__name__)

_MIB: Final = 2**20


async def storage(work: Work) -> Result:
    """Stop an instance that is over a limit, and keep it stopped as long as its containers are."""
    services = work.services
    _watch_volumes(work)
    if not work.containers:
        if _told(work):
            work.drop(conditions.LAUNCHED)  # of containers that are gone, with what they wrote
        return DONE
    excess = services.storage.excess(work.uid, {state.id for state in work.containers})
    found = excess.message if excess else services.volume_limits.exceeded(work.uid)
    message = found or _told(work)
    if not message:
        return DONE
    alive = [state for state in work.containers if state.state in ("running", "paused")]
    for state in alive:
        await containers.kill(services.engine, state.name)
    if alive:
        work.containers = await teardown.existing(services, work.uid, work.names)
    services.readiness.forget(work.uid)
    show(work, work.containers)
    for status in work.status.containers:
        if excess and status.name == excess.container:
            status.reason = reasons.STORAGE_EXCEEDED
    work.condition(conditions.LAUNCHED, False, reasons.STORAGE_EXCEEDED, message)
    return Failed(reasons.STORAGE_EXCEEDED, message)


def _watch_volumes(work: Work) -> None:
    """Have the instance's volumes on disk looked at, if it has any with a limit."""
    if limits := volumes.disk_limits(work):
        folder = work.services.folders.path(work.uid) / volumes.FOLDER
        work.services.volume_limits.watch(work.uid, volumelimits.paths(limits, folder))


def _told(work: Work) -> str:
    """What was found before, by this process or an earlier one, as the status tells it."""
    launched = conditions.get(work.status.conditions, conditions.LAUNCHED)
    if launched is None or launched.reason != reasons.STORAGE_EXCEEDED:
        return ""
    return launched.message


async def sample(services: Services) -> None:
    """Look once at what containers have written, and wake the instances of those over their limit.

    Raises EngineUnavailable, EngineError.
    """
    settings = services.settings
    found = await usage.written(
        services.engine, installation=settings.installation, node=settings.node_name
    )
    if not found:
        return
    for each in found:
        if each.used <= each.limit:
            continue
        message = (
            f"Container {each.container} has written {_mib(each.used)}; "
            f"limits.ephemeral-storage allows {_mib(each.limit)}. "
            "The instance was stopped and is not started again; delete it"
        )
        services.storage.exceed(each.uid, Excess(each.id, each.container, message))
        services.wake(each.uid)


async def launch(services: Services, owner: Owner, plan: ContainerPlan, network: str) -> str:
    """Launch a container, with a quota if its plan asks for one and the storage driver can.

    A driver that cannot is not asked again. Raises what `containers.launch` raises.
    """
    aliases = (plan.name,)
    if plan.storage_limit and plan.storage_quota and services.storage.has_quotas:
        try:
            return await containers.launch(services.engine, owner, plan, network, aliases=aliases)
        except QuotaUnsupported as refused:
            services.storage.has_quotas = False
            logger.info(
                "No quotas on what containers write, so they are looked at every %g s: %s",
                services.settings.storage_interval,
                refused.message,
            )
    unheld = replace(plan, storage_quota=False)
    return await containers.launch(services.engine, owner, unheld, network, aliases=aliases)


def _mib(amount: int) -> str:
    return f"{amount / _MIB:.1f} MiB"
