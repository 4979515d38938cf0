"""Controllers with short timers, to be broken."""

from collections.abc import Callable
from typing import Final

from hack.bed.running import RunningController
from tests.integration.world import World

Start = Callable[..., RunningController]
"""`controller(role, NAME="value", ...)` of the bed of one node."""
Worlds = Callable[..., World]
"""`begin(NAME="value", ...)`: the like, with short timers, and the world with it."""

QUICK: Final = {"BACKOFF_INITIAL": "0.2", "BACKOFF_MAXIMUM": "2", "MANAGER_LEASE_DURATION": "2"}
"""Short timers, in seconds."""
