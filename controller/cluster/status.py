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
    # Of the rest the API server takes what it has; to send it would only cost both sides.
    meta = {
        key: read["metadata"].get(key) for key in ("name", "namespace", "uid", "resourceVersion")
    }
    body = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {key: value for key, value in meta.items() if value},
        "status": status,
    }
    return await cluster.replace(kind, body, subresource="status")
