"""Forget: the agent's finalizer goes, and with it the last that the cluster waits for."""

from controller.cluster import finalizer
from controller.cluster.client import Cluster, Object
from controller.cluster.errors import NotFound
from controller.reconcile.result import DONE, Result


async def forget(cluster: Cluster, read: Object) -> Result:
    """Take the finalizer off an instance that is being deleted."""
    if finalizer.held(read):
        try:
            await finalizer.remove(cluster, read)
        except NotFound:
            return DONE
    return DONE
