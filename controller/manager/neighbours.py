"""The nodes of other installations in the cluster: by name, so that their instances are left alone.

Two installations must not serve the same namespace: each would place and count what the other one
has. A neighbour's agents say in their nodes' status which they serve, so that it can be told: in
the log, and in an Event about the neighbour's node, where the operators of both find it.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from pydantic import ValidationError

from controller.api import labels, reasons
from controller.api.node import ChallengeNode
from controller.cluster.client import Object
from controller.cluster.events import Recorder

logger = logging.getLogger(__name__)


@dataclass
class Neighbours:
    """Other installations' nodes, as far as this manager has seen them."""

    installation: str = labels.DEFAULT_INSTALLATION
    """This manager's own."""
    namespaces: Collection[str] = ()
    """Those that this manager serves; empty for all."""
    recorder: Recorder | None = None
    """Who sends Events; nobody where they are of no use."""
    names: set[str] = field(default_factory=set)
    """A name stays when its node is deleted: what was on it does not become ours by that."""
    _told: dict[str, str] = field(default_factory=dict)

    def observe(self, body: Object) -> None:
        """Take note of a ChallengeNode that is not ours, and say if it serves a namespace of ours.

        That is said once for each installation, and again when it is another overlap.
        """
        self.names.add(body["metadata"]["name"])
        whose = labels.installation(body["metadata"].get("labels") or {})
        try:
            status = ChallengeNode.model_validate(body).status
        except ValidationError:
            return
        if status.controller_namespace is None:  # its agent has not said anything yet
            return
        common = _common(self.namespaces, status.namespaces)
        if common and self._told.get(whose) != common:
            self._tell(body, whose, common)
        self._told[whose] = common

    def _tell(self, body: Object, whose: str, common: str) -> None:
        name = body["metadata"]["name"]
        remedy = (
            "each takes the other's instances for its own. Give each of them CHALLENGE_NAMESPACES "
            "that the other one has not"
        )
        logger.error(
            "The installation %s, of node %s, serves %s, and so does this one: %s",
            *(whose, name, common, remedy),
        )
        if self.recorder is not None:
            message = (
                f"The installation {whose} serves {common}, and so does {self.installation}: "
                f"{remedy} (the chart's instances.namespaces)"
            )
            self.recorder.event(body, "Warning", reasons.NAMESPACES_SHARED, message)

    def forget(self, name: str) -> None:
        """The node of that name is ours."""
        self.names.discard(name)


def _common(ours: Collection[str], theirs: Collection[str]) -> str:
    """What two installations both serve, in words; empty when that is nothing."""
    if ours and theirs:
        both = sorted(set(ours) & set(theirs))
        return f"the namespace{'s' * (len(both) > 1)} {', '.join(both)}" if both else ""
    if ours or theirs:
        return f"{', '.join(sorted(ours or theirs))} (one of the two serves all namespaces)"
    return "all namespaces"
