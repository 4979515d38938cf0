"""Whether a manager is ready: it reaches the API server, and acts or stands by for who does.

Called from another thread than the manager's, so it only looks at what is there.
"""

import time

from controller.cluster.client import Cluster
from controller.cluster.lease import Lease


def lacks(cluster: Cluster, lease: Lease) -> list[str]:
    """What is missing, in words; empty when the manager is ready.

    One that acts hears from the API server every quarter of the Lease's duration, one that stands
    by every tenth. A Lease's duration without any answer is an outage.
    """
    answered = cluster.answered_at
    if answered is None:
        return ["the API server has not answered yet"]
    silence = time.monotonic() - answered
    if silence > lease.duration:
        return [f"the API server has not answered for {silence:.0f} s"]
    if not lease.holder:
        return [f"the Lease {lease.name} has not been read yet"]
    return []
