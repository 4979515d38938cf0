"""Puts together what keeps a node's own ChallengeNode: spec in force, status, writes."""

from collections.abc import Callable

from controller.agent.inforce import InForce
from controller.agent.metrics import NodeMetrics
from controller.agent.node import NodeKeeper
from controller.agent.nodestatus import StatusDraft
from controller.agent.registration import Memory
from controller.reconcile.services import Services
from controller.runtime.engine import EngineInfo


def keeper(
    services: Services,
    *,
    info: Callable[[], EngineInfo | None],
    images: Callable[[], list[str]],
    moved: Callable[[], None],
    healed: Callable[[], None],
    metrics: NodeMetrics | None = None,
) -> NodeKeeper:
    """The keeper of the node that these services are of.

    ``info`` and ``images`` are for the status, see `StatusDraft`. ``moved``: players are told
    another address from now on; ``healed``: the ledger can be used again.
    """
    in_force = InForce(services, moved=moved)
    draft = StatusDraft(
        services, in_force, info=info, images=images, healed=healed, metrics=metrics
    )
    node = NodeKeeper(
        services.cluster,
        services.settings,
        in_force,
        draft,
        Memory(services),
        restless=lambda: bool(services.ledger.problem) or draft.ports_outside > 0,
    )
    services.troubled = services.hold.changed = node.changed
    services.node = lambda: node.read
    return node
