"""The settings of start-up reconciliation and of garbage collection.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in.
"""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class CollectionSettings(BaseSettings):
    """When what is left over is taken away; each field is also ``CHALLENGE_<NAME>``."""

    collect_interval: Seconds = Field(
        60.0,
        description="Seconds between two looks for what crashes and lost objects have left on a "
        "node. An agent's comparison is this look as well: the shorter of the two times counts.",
    )
    launch_grace: Seconds = Field(
        300.0,
        description="Seconds from the begin of a launch after which it counts as crashed, if no "
        "container of it runs and nobody is at work on it: what it has made is taken away, and the "
        "instance is launched afresh.",
    )
