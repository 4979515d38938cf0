"""Is this the node that the ledger was made for? Checked before anything is served.

The ledger remembers node, engine, cluster and installation; another one of any of them means a
cloned state folder, a wrong socket or a wrong kubeconfig, and serving it would tear down what
belongs to somebody else.
"""

import asyncio
from pathlib import Path
from typing import Final

from controller.ledger import Ledger
from controller.runtime import containers, labels
from controller.runtime.engine import Engine
from controller.settings import Settings

_RENAME: Final = (
    "A node keeps its name as long as it has instances, whose containers and networks bear it. "
    "Start this agent with CHALLENGE_NODE_NAME={old}; or, to rename the node, empty it first: "
    "kubectl challenge drain {old} --force, and when nothing is left stop its agent, kubectl "
    "challenge forget-node {old}, and move the ledger's file away"
)
_REMEDIES: Final = {
    "node": _RENAME,
    "engine": (
        "A ledger and its folder belong to one engine: if the folder is a copy of another node's, "
        "give this one a folder of its own (CHALLENGE_STATE_DIR); if CHALLENGE_DOCKER_HOST points "
        "to the wrong engine, correct it; if the engine was set up anew (its data was wiped, say) "
        "and the instances are to run on it again, move the ledger's file away, and the agent "
        "launches them on other ports: mv {path} {path}.old"
    ),
    "cluster": (
        "If the kubeconfig is the wrong one, correct CHALLENGE_KUBECONFIG; if the cluster was set "
        "up anew, move the ledger's file away"
    ),
    "installation": (
        "Correct CHALLENGE_INSTALLATION; or, if nothing of the other one is left on the engine, "
        "move the ledger's file away"
    ),
}


BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class IdentityMismatch(Exception):
    """This is not the node that it was; the text says what it was, and what to do."""


def holder(engine: str, boot: Path = BOOT) -> str:
    """Who holds the node's Lease: the agent of this engine, on this very machine since it booted.

    An agent that starts again is the same one and need not wait. A clone of the machine is not,
    though its engine, ledger and node name are: the first of the two keeps the Lease. After a
    reboot the agent waits until the Lease of before is silent, if the reboot was that quick.
    """
    try:
        return f"engine {engine}, boot {boot.read_text().strip()}"
    except OSError:
        return f"engine {engine}"


async def confirm(ledger: Ledger, key: str, value: str) -> None:
    """Compare one trait with what the ledger has recorded, or record it the first time.

    ``key`` is node, engine, cluster or installation. Raises IdentityMismatch.
    """
    recorded = await asyncio.to_thread(ledger.get_meta, key)
    if recorded is None:
        await asyncio.to_thread(ledger.set_meta, key, value)
    elif recorded != value:
        remedy = _REMEDIES[key].format(old=recorded, path=ledger.path)
        raise IdentityMismatch(
            f"The ledger {ledger.path} was made for {key} {recorded!r}, but this is {value!r}. "
            f"{remedy}."
        )


async def only_ours(engine: Engine, settings: Settings) -> None:
    """See that the engine has no container of this installation that bears another node's name.

    It would be nobody's: neither torn down nor counted. Raises IdentityMismatch, RuntimeFault.
    """
    found = await containers.list_containers(engine, installation=settings.installation)
    nodes = {state.labels.get(labels.NODE, "") for state in found} - {settings.node_name}
    if nodes:
        old = min(nodes)
        raise IdentityMismatch(
            f"The engine has containers of node {old!r}, but this is {settings.node_name!r}, and "
            f"an engine is one node. {_RENAME.format(old=old)}. If nobody needs them: docker rm "
            f"-f $(docker ps -aq --filter label={labels.NODE}={old})."
        )
