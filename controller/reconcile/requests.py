"""A restart that somebody has asked for, as ``kubectl rollout restart`` asks for one of a workload.

The request is an annotation with any value; a new value is a new request. What was done about it is
known from the containers, which bear the value in a label: so it is done once, whoever restarts
meanwhile, and an annotation that was there from the beginning asks for nothing more.
"""

import hashlib

from controller.api.annotations import RESTARTED_AT
from controller.api.instance import ChallengeInstance


def request(instance: ChallengeInstance) -> str:
    """The request in force, in a form that fits a label; empty where there is none."""
    value = instance.metadata.annotations.get(RESTARTED_AT, "")
    return hashlib.sha256(value.encode()).hexdigest()[:16] if value else ""
