"""The end of a node: what outlives an agent is taken away, when its operator asks for it.

Asked for is it by an annotation on the ChallengeNode, and done only once the API server has no
instance that is on the node: deleting these is not this module's part. What then is still on the
engine of this installation and node is nobody's. In the end the agent says so, and is idle: what
started again would make anew what was taken away.
"""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from controller.agent.node import NodeKeeper, asked_by
from controller.api import conditions, reasons
from controller.api.node import ChallengeNode
from controller.cluster import status as status_writer
from controller.cluster.client import INSTANCES, NODES, Cluster
from controller.cluster.errors import ApiError, NotFound
from controller.reconcile.home import Home
from controller.runtime import containers, networks, tree, volumes
from controller.runtime.engine import Engine
from controller.runtime.errors import RuntimeFault
from controller.runtime.firewall import Firewall
from controller.settings import Settings

logger = logging.getLogger(__name__)

PERIOD: Final = 2.0
"""Seconds between two looks while something is waited for."""
FILES: Final = ("ledger.db*", "agent.lock")
"""What is in a state folder beside the instances' folders; nothing else in it is ours."""


class UninstallAsked(Exception):
    """The node is to be uninstalled, and has no instance left; the text is when it was asked."""


async def watch(cluster: Cluster, settings: Settings, node: NodeKeeper, home: Home) -> None:
    """Wait until the node is to be uninstalled and has no instance left; raises UninstallAsked."""
    while True:
        asked = await node.uninstall_asked()
        try:
            await home.confirm()  # another cluster knows of no instance here
            left = await _instances(cluster, settings)
            if not left:
                raise UninstallAsked(asked)
            await _tell(cluster, settings.node_name, False, reasons.INSTANCES_LEFT, _names(left))
        except ApiError as error:
            logger.warning("Cannot see whether the node can be uninstalled: %s", error)
        await asyncio.sleep(PERIOD)


async def carry_out(cluster: Cluster, settings: Settings, engine: Engine, asked: str) -> None:
    """Take everything away and say so, once for each time that it is asked for; never returns.

    The agent's own parts must have ended.
    """
    name = settings.node_name
    while True:
        await _until_gone(cluster, settings, engine)
        logger.info("Uninstalled: nothing of this installation is left on the node")
        before = asked
        while asked == before:
            try:
                message = f"Nothing is left on the node; asked at {before}"
                await _tell(cluster, name, True, reasons.UNINSTALLED, message)
                asked = asked_by(await cluster.get(NODES, name)) or before
            except NotFound:  # all is done, and the node was deleted
                pass
            except ApiError as error:
                logger.warning("Cannot say that the node is uninstalled: %s", error)
            await asyncio.sleep(PERIOD)


async def _until_gone(cluster: Cluster, settings: Settings, engine: Engine) -> None:
    while True:
        try:
            await _take_away(settings, engine)
            return
        except (RuntimeFault, OSError) as fault:
            logger.warning("Cannot uninstall the node, trying again: %s", fault)
            with suppress(ApiError):
                why = (False, reasons.UNINSTALL_FAILED, f"{fault}; it is tried again")
                await _tell(cluster, settings.node_name, *why)
        await asyncio.sleep(PERIOD)


async def _take_away(settings: Settings, engine: Engine) -> None:
    """Raises RuntimeFault, OSError; what is gone already is fine."""
    mine = {"installation": settings.installation, "node": settings.node_name}
    for state in await containers.list_containers(engine, **mine):
        await containers.remove(engine, state.name, stop_timeout=0)
    for volume in await volumes.list_volumes(engine, **mine):
        await volumes.remove_volume(engine, volume.name)
    for network in await networks.list_networks(engine, **mine):
        await networks.remove_network(engine, network.name)
    await Firewall(settings.installation).remove()  # last: they guard what is on a network
    await asyncio.to_thread(_clear, settings.state_dir)


def _clear(folder: Path) -> None:
    """Remove what is ours in the state folder, and the folder if it is empty then; blocks."""
    instances = folder / "instances"
    for path in list(instances.iterdir()) if instances.is_dir() else []:
        tree.remove(path)
    if instances.is_dir():
        instances.rmdir()
    for pattern in FILES:
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)
    with suppress(OSError):  # a volume's mount point, say, or what others have put there
        folder.rmdir()


async def _instances(cluster: Cluster, settings: Settings) -> list[str]:
    """The instances on the node, being deleted or not; raises ApiError."""
    selector = f"status.nodeName={settings.node_name}"
    return [
        f"{body['metadata']['namespace']}/{body['metadata']['name']}"
        for namespace in settings.namespaces or ("",)
        async for body in cluster.list(INSTANCES, namespace, field_selector=selector)
    ]


def _names(left: list[str]) -> str:
    shown = ", ".join(left[:10]) + (f" and {len(left) - 10} more" if len(left) > 10 else "")
    return f"Instances have to be deleted first: {shown}"


async def _tell(cluster: Cluster, name: str, value: bool, reason: str, message: str) -> None:
    """Set the condition if it says something else; raises ApiError."""
    read = await cluster.get(NODES, name)
    node = ChallengeNode.model_validate(read)
    conditions.set_condition(
        node.status.conditions,
        conditions.UNINSTALLED,
        "True" if value else "False",
        reason,
        message,
        now=datetime.now(UTC).replace(microsecond=0),
        observed_generation=node.metadata.generation,
    )
    await status_writer.write(cluster, NODES, read, node.status.manifest())
