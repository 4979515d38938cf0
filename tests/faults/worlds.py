"""Controllers with short timers, to be broken."""

from collections.abc import Callable
from typing import Final

from hack.bed.running import RunningController
from tests.integration.world import World

Start = Callable[..., RunningController]
"""`controller(role, NAME="value", ...)` of the bed of one node."""
Worlds = Callable[..., World]
"""`begin(NAME="value", ...)`: the like, with short timers, and the world with it."""

QUICK: Final = {"BACKOFF_INITIAL": "0.2", "BACKOFF_MAXIMUM": "2", "MANAGER_LEASE_DURATION": "5"}
"""Short timers, in seconds. With a shorter Lease a manager loses it on a machine in use, where 2 s
can pass without a renewal: what it has to tell then is lost, and it is unready for a moment."""
