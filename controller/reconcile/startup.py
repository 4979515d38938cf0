"""Before anything is launched: the ledger is compared with what runs, and put right.

Who has a row and containers of its template is adopted as it is. What runs, is known to this
cluster as this node's, and has no row, or another one, gets its own again, on the ports that its
containers are bound to; rows that have such a port and nothing that runs make room for it. What has
no owner is taken away after that, by the first comparison. This changes nothing but the ledger.
"""

import logging

from controller.api.instance import ChallengeInstance
from controller.ledger import Instance as Row
from controller.ledger import Ledger, Problem
from controller.reconcile import collect, comparison, ownsubnets, reading, regain
from controller.reconcile.clock import milliseconds
from controller.reconcile.comparison import Seen
from controller.reconcile.services import Services

logger = logging.getLogger(__name__)


class NothingMatches(Exception):
    """The ledger is new, and the engine's containers are of no instance of this cluster."""


async def reconcile(services: Services) -> None:
    """Put the ledger right, once; ``services.started`` tells that it is done.

    Raises NothingMatches when the ledger is new, there are containers of this node, and the cluster
    knows none of their instances: that is a wrong kubeconfig rather than a lost ledger. Raises
    ApiError, RuntimeFault, LedgerError, which it is to be tried again after.
    """
    is_new = services.ledger.needs_restore
    seen = await collect.look(services)
    if is_new and seen.containers and not seen.containers.keys() & seen.objects.keys():
        raise NothingMatches(_nothing_matches(services, sum(map(len, seen.containers.values()))))
    found = await _wrongly_booked(services, seen)
    running = comparison.running(seen.containers)
    wrong = comparison.wrong_rows(seen.rows, found, running)
    now = milliseconds(services.clock.now())
    begun_before = now - round(services.settings.launch_grace * 1000)
    plan = comparison.compare(seen, begun_before=begun_before, busy=lambda _uid: False)
    problems: list[Problem] = []
    if is_new or found:
        problems = await services.book(
            Ledger.restore, list(found.values()), now=now, instead_of=sorted(wrong)
        )
    booked = await services.book(Ledger.uids)
    regained = {uid: row for uid, row in found.items() if uid in booked}
    await ownsubnets.put_right(services, seen.containers, booked)
    for uid, row in regained.items():
        regain.reserved_again(services, seen.objects[uid], row)
    tally = services.findings.tally
    tally["adopted"] = plan.adopted
    tally["released"] += len(wrong - found.keys())
    # Before anybody goes on with such a launch.
    services.findings.crashed.update(plan.crashed)
    services.findings.unbooked.update(plan.unbooked.keys() - regained.keys())
    services.started = True
    if is_new and (regained or services.ledger.set_aside):
        logger.warning(
            "The ledger %s is new: took over %d instances that run here",
            services.ledger.path,
            len(regained),
        )
    for problem in problems:
        logger.warning("Not reserved again: %s", problem.detail)


async def _wrongly_booked(services: Services, seen: Seen) -> dict[str, Row]:
    """The rows that containers call for whose own is missing or says other ports."""
    found = {}
    for uid in sorted(seen.objects.keys() & seen.containers.keys()):
        row = seen.rows.get(uid)
        try:
            instance = reading.parse(ChallengeInstance, seen.objects[uid])
        except reading.Unreadable as unreadable:  # its row, if it has one, keeps its ports
            logger.warning("Not compared with the ledger: %s", unreadable)
            continue
        names = regain.port_names(instance)
        if comparison.is_booked(row, seen.containers[uid], names):
            continue
        wanted = await regain.called_for(services, instance, seen.containers[uid], row)
        if wanted is not None:
            found[uid] = wanted
    return found


def _nothing_matches(services: Services, count: int) -> str:
    settings = services.settings
    return (
        f"The ledger {services.ledger.path} is new, but the engine has {count} containers of node "
        f"{settings.node_name!r}, and this cluster knows none of their instances. Point the agent "
        "to the right cluster or put the ledger's file back; or, if nobody needs the containers "
        "any more, remove them: docker rm -f $(docker ps -aq "
        f"--filter label=challenge-controller.io/node={settings.node_name})"
    )
