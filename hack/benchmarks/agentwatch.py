"""The watch of one agent as a program of its own: what it receives, and what that costs.

Arguments: the node's name, `server` or `handler` (who filters), how many changes of the node's own
instances to wait for, and how many instances it has. It prints `listed` when it knows all of its
instances, and at the end its figures as JSON.
"""

import asyncio
import json
import resource
import sys
import time
from asyncio import sslproto
from typing import Any

from controller.cluster import operator
from controller.cluster.client import INSTANCES, Cluster, Object
from controller.manager import handlers

received = 0


def _count_bytes() -> None:
    """Count what arrives over TLS, before it is decrypted."""
    take = sslproto.SSLProtocol.buffer_updated

    def counted(self: Any, nbytes: int) -> None:
        global received
        received += nbytes
        take(self, nbytes)

    sslproto.SSLProtocol.buffer_updated = counted  # type: ignore[method-assign] # to look in


async def main(node: str, filter_at: str, changes: int, instances: int) -> None:
    """Watch until all that was asked for has been seen."""
    cluster = await Cluster.connect()
    own, seen, events = set[str](), 0, 0
    listed, done = asyncio.Event(), asyncio.Event()

    def observe(body: Object, _deleted: bool) -> None:
        nonlocal seen, events
        events += 1
        if body["status"].get("nodeName") != node:
            return
        uid = body["metadata"]["uid"]
        seen += uid in own
        own.add(uid)
        if len(own) == instances:
            listed.set()
        if seen >= changes:
            done.set()

    selectors = {INSTANCES: f"status.nodeName={node}"} if filter_at == "server" else None
    _count_bytes()
    begun, cpu = received, time.process_time()
    watching = asyncio.create_task(
        operator.serve(
            "agent", cluster, handlers.registry({INSTANCES: observe}), selectors=selectors
        )
    )
    await listed.wait()
    print("listed", flush=True)
    await done.wait()
    figures = {
        "bytes": received - begun,
        "cpu": time.process_time() - cpu,
        "events": events,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures), flush=True)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    await cluster.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
