"""The settings of how many networks are kept for instances to come.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in.
"""

from pydantic import Field
from pydantic_settings import BaseSettings


class NetworkSettings(BaseSettings):
    """How many networks wait for an instance; each field is also ``CHALLENGE_<NAME>``."""

    spare_networks: int = Field(
        16,
        ge=0,
        le=1000,
        description="Clean networks of multi-container instances that are kept for the next ones; "
        "0 removes each with its instance.",
    )
    prepared_networks: int = Field(
        0,
        ge=0,
        le=1000,
        description="Networks for multi-container instances that are made while the engine has "
        "nothing to do, so that the first burst finds them; they stay when the last instance goes, "
        "until the agent runs with 0 again.",
    )
