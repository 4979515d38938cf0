"""The agent's finalizer on an instance: added before anything is made, removed after all is gone.

It never touches finalizers of others.
"""

from controller.api.meta import FINALIZER
from controller.cluster.client import INSTANCES, Cluster, Object
from controller.cluster.errors import Conflict, NotFound


def held(instance: Object) -> bool:
    """Whether the instance bears our finalizer."""
    return FINALIZER in (instance["metadata"].get("finalizers") or [])


async def add(cluster: Cluster, instance: Object) -> Object:
    """Put our finalizer on the instance and return it as the server has it now.

    Raises Conflict when it is gone or has changed: read it again. The resourceVersion keeps
    the patch from touching another object of that name, and others' finalizers as they are.
    """
    meta = instance["metadata"]
    names = [*(meta.get("finalizers") or []), FINALIZER]
    patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": names}}
    try:
        return await cluster.merge(INSTANCES, meta["name"], patch, meta["namespace"])
    except NotFound as gone:
        raise Conflict(gone.status, gone.reason, str(gone), gone.details) from None


async def remove(cluster: Cluster, instance: Object) -> None:
    """Take our finalizer off; Conflict when the object has changed since it was read."""
    meta = instance["metadata"]
    rest = [name for name in meta.get("finalizers") or [] if name != FINALIZER]
    patch = {"metadata": {"resourceVersion": meta["resourceVersion"], "finalizers": rest}}
    await cluster.merge(INSTANCES, meta["name"], patch, meta["namespace"])
