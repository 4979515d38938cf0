"""The one way to write a status: whole, only if it changed, and only over what was read."""

from typing import Any

from controller.cluster.client import Cluster, Kind, Object


async def write(cluster: Cluster, kind: Kind, read: Object, status: dict[str, Any]) -> Object:
    """Replace the status of ``read`` unless it already says the same.

    The write carries the resourceVersion of ``read``: Conflict means that the object has changed
    since, or is another one of the same name, and nothing was written. Returns the object as the
    server has it now.
    """
    if read.get("status", {}) == status:
        return read
    return await cluster.replace(kind, {**read, "status": status}, subresource="status")
