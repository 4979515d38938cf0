"""The settings of what a node tells about itself, and of when it counts as full.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in.
"""

import re
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from controller import shapes
from controller.addresses import comma_separated
from controller.api.meta import GROUP
from controller.api.rules import LABEL_KEY
from controller.api.values import LABEL_VALUE


class NodeSettings(BaseSettings):
    """What a node is registered with; each field is also ``CHALLENGE_<NAME>``."""

    node_labels: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        json_schema_extra=shapes.NODE_LABELS_SHAPE,
        description="Labels that the node is registered with, KEY=VALUE, comma-separated, for the "
        "nodeSelector of instances; a label that its ChallengeNode has already stays as it is.",
    )
    disk_reserve: int = Field(
        10,
        ge=0,
        le=90,
        description="Percentage of the disks of the engine and of the state folder that must be "
        "free for the node to get new instances, half of it of their inodes; 0 for none.",
    )
    orphan_hold: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="Seconds for which instances are left running that have vanished from the API "
        "server, not deleted, if more than a fifth of the node's, and more than 5, have done so.",
    )

    @field_validator("node_labels", mode="before")
    @classmethod
    def _comma_separated_labels(cls, value: Any) -> Any:
        return comma_separated(value)

    @field_validator("node_labels")
    @classmethod
    def _labels(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for label in value:
            key, equals, text = label.partition("=")
            right = re.fullmatch(LABEL_KEY, key) and re.fullmatch(LABEL_VALUE, text)
            if not (equals and right and len(text) <= 63):
                raise ValueError(f"expected labels such as example.org/disk=ssd; {label!r} is none")
            if key.startswith(f"{GROUP}/"):
                raise ValueError(f"expected labels of your own; {GROUP}/ is the controller's")
        keys = [label.partition("=")[0] for label in value]
        if len(set(keys)) < len(keys):
            raise ValueError("expected each label once")
        return value

    @property
    def labels(self) -> dict[str, str]:
        """The node's labels by key."""
        parts = (label.partition("=") for label in self.node_labels)
        return {key: value for key, _, value in parts}
