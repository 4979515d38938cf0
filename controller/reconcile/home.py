"""The cluster that this node's ledger is of, and whether it is the one that answers.

A kubeconfig or an address may come to lead to another cluster while the agent runs. That one knows
none of the instances here, and has none that are to be here: it counts as no answer at all.
"""

import logging

from controller.cluster.client import Cluster
from controller.cluster.errors import WrongCluster

logger = logging.getLogger(__name__)


class Home:
    """Told from other clusters by the uid of its kube-system namespace."""

    def __init__(self, cluster: Cluster, uid: str) -> None:
        """``uid`` is the one that the ledger has recorded."""
        self._cluster = cluster
        self._uid = uid
        self._other = ""

    @property
    def is_away(self) -> bool:
        """Whether another cluster has answered when it was last asked."""
        return bool(self._other)

    async def confirm(self) -> None:
        """Ask who answers; raises WrongCluster, or ApiError when nobody does."""
        uid = await self._cluster.identity()
        if uid == self._uid:
            if self._other:
                logger.info("The API server is again that of this node's own cluster")
            self._other = ""
            return
        if uid != self._other:
            self._other = uid
            logger.error("%s", self._complaint())
        self.check()

    def check(self) -> None:
        """Raise WrongCluster if another cluster has answered when it was last asked."""
        if self._other:
            raise WrongCluster(self._complaint())

    def _complaint(self) -> str:
        return (
            f"This is another cluster (the uid of its namespace kube-system is {self._other}) than "
            f"the one that this node's ledger is of ({self._uid}): nothing is launched or torn "
            "down for it. Correct CHALLENGE_KUBECONFIG, or the server that it names"
        )
