"""What is in force on the node: its operator's word where there is one, the settings elsewhere.

Puts a ChallengeNode's spec into effect while instances run. It writes nothing to the API server.
"""

import logging
from collections.abc import Callable

from controller.api.annotations import ORPHANS_CONFIRMED
from controller.api.node import ChallengeNode
from controller.ledger import Ledger, LedgerUnavailable
from controller.reconcile.services import Services

logger = logging.getLogger(__name__)


class InForce:
    """The node's spec, put into effect."""

    def __init__(self, services: Services, *, moved: Callable[[], None]) -> None:
        """``moved``: players are told another address from now on."""
        self._services = services
        self._moved = moved
        self._range: tuple[str, bool] | None = None
        self.public_address = ""
        """The address that the operator has set on the ChallengeNode; empty without one."""

    def follow(self, node: ChallengeNode) -> None:
        """Put into effect what takes no time: the gate's size, the address, what is confirmed."""
        wanted = node.spec.launch_concurrency or self._services.settings.launches
        if self._services.gate.capacity != wanted:
            self._services.gate.resize(wanted)
        address = node.spec.public_address or ""
        if address != self.public_address:
            self.public_address = address
            self._moved()
        self._services.hold.confirm(node.metadata.annotations.get(ORPHANS_CONFIRMED, ""))

    async def adopt_range(self, node: ChallengeNode) -> bool:
        """Have the ledger hand out the ports of the range; False when it cannot be done now.

        Instances keep what they hold outside of it; these ports go when they end.
        """
        services, own = self._services, node.spec.port_range
        wanted = (own or services.settings.ports, own is not None)
        if wanted == self._range:
            return True
        try:
            changed = await services.book(Ledger.set_range, wanted[0], override=wanted[1])
        except LedgerUnavailable as error:
            logger.warning("Cannot have the host ports %s in force: %s", wanted[0], error)
            return False
        self._range = wanted
        if changed:
            logger.info("Host ports %s are in force for new instances", wanted[0])
            services.wake_starved(len(services.starved))
        return True

    @property
    def port_range(self) -> str:
        """The host ports in force, FIRST-LAST; the settings' before any was put into effect."""
        return self._range[0] if self._range else self._services.settings.ports
