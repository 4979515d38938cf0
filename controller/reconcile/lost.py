"""Processes that the engine has lost: of containers that it does not know, or not as running.

They would answer on addresses that the engine has given to others meanwhile. That a container is
unknown is asked for by its id, since an engine that was started on a full disk lists fewer than it
has. Of those that it knows, only ours are ended, and only before anything is started in a new run
of the engine: at any other time one may be about to start.
"""

import asyncio
import logging
from collections.abc import Set

from controller.reconcile import collect
from controller.reconcile.isolation import cgroup_parent
from controller.reconcile.services import Services
from controller.runtime import containers, labels, processes
from controller.runtime.containers import ContainerState
from controller.runtime.engine import EngineInfo
from controller.runtime.errors import NotFound

logger = logging.getLogger(__name__)

WITHOUT_PROCESS = ("created", "exited", "dead")
"""States in which a container has none, as the engine sees it."""


async def end(
    services: Services,
    info: EngineInfo,
    *,
    listed: Set[str] = frozenset(),
    in_new_run: bool = False,
) -> int:
    """Kill the processes that the engine has lost; how many containers they were of.

    ``listed`` are the ids of containers that the engine has just told of: they need not be asked
    for again. ``in_new_run`` says that the engine was started anew and has been asked for nothing
    since. Raises EngineUnavailable.
    """
    parent = cgroup_parent(services, None)
    if parent is None or not info.root:
        return 0
    # In this order: a process is never there before its container is.
    found = await asyncio.to_thread(processes.alive, parent, info.root)
    if not found.keys() - listed:
        return 0
    known = {state.id: state for state in await containers.list_everybodys(services.engine)}
    lost = [
        container
        for container in found
        if (
            in_new_run and _is_idle(services, known[container])
            if container in known
            else await _is_unknown(services, container)
        )
    ]
    ended = 0
    for container in lost:
        number = await asyncio.to_thread(processes.kill, container, found[container], parent)
        if not number:
            continue  # it was just removed, when its processes had been seen already
        ended += 1
        logger.warning(
            "Killed %d processes of container %.12s, which runs and the engine does not know it",
            number,
            container,
        )
    collect.tell(services, "process", ended)
    return ended


def _is_idle(services: Services, state: ContainerState) -> bool:
    """Whether it is a container of this node's that runs nothing, as the engine sees it."""
    settings = services.settings
    mine = (settings.installation, settings.node_name)
    marks = (state.labels.get(labels.INSTALLATION), state.labels.get(labels.NODE))
    return marks == mine and state.state in WITHOUT_PROCESS


async def _is_unknown(services: Services, container: str) -> bool:
    try:
        await containers.inspect(services.engine, container)
    except NotFound:
        return True
    return False
