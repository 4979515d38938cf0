"""The settings of what the manager decides: who gets how much, and when a node counts as lost.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in.
"""

from pydantic import Field
from pydantic_settings import BaseSettings


class ManagerSettings(BaseSettings):
    """What the manager decides by; each field is also ``CHALLENGE_<NAME>``."""

    manager_lease_duration: int = Field(
        15,
        ge=2,
        le=3600,
        description="Seconds after which another manager takes over from a silent one.",
    )
    node_lease_duration: int = Field(
        40,
        ge=4,
        le=3600,
        description="Seconds after which a silent node counts as lost; renewed at a quarter of it.",
    )
    node_loss_timeout: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="Seconds that a lost node is waited for, from its silence on, before its "
        "instances move to other nodes, unless their Challenge says nodeLossPolicy: Wait.",
    )
    max_instances_per_user: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Instances at most that one spec.user may have with a node, over all "
        "namespaces; more of them wait. 0 for no limit; instances without a user have none.",
    )
    memory_overcommit: float = Field(
        4.0,
        gt=0,
        le=100,
        description="How many times its memory a node may promise to instances, by the memory "
        "limits that their templates name: challenges rarely use what they may.",
    )
