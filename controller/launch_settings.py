"""The settings of launches: how many at a time, how long one may take, when it is tried again.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class LaunchSettings(BaseSettings):
    """How a node launches; each field is also ``CHALLENGE_<NAME>``."""

    concurrent_launches: Annotated[
        Annotated[int, Field(ge=1, le=64)] | Literal["auto"], Field(union_mode="left_to_right")
    ] = Field(
        2,
        description="Launches and removals at most at a time on a node, 1 to 64, or auto for the "
        "number of CPUs.",
    )
    concurrent_pulls: int = Field(
        2, ge=1, le=64, description="Image pulls at most at a time on a node."
    )
    pull_stall_timeout: Seconds = Field(
        120.0,
        description="Longest silence of a registry in the middle of a pull, in seconds; then the "
        "pull is given up, and tried again later.",
    )
    launch_timeout: Seconds = Field(
        120.0, description="Longest time that one launch may hold its slot, in seconds."
    )
    restart_budget: int = Field(
        5,
        ge=0,
        le=1000,
        description="Restarts of a container before its instance is CrashLoop.",
    )
    backoff_initial: Seconds = Field(
        1.0, description="First wait after a failed launch or reconcile, in seconds; doubles."
    )
    backoff_maximum: Seconds = Field(
        300.0, description="Longest wait after a failed launch or reconcile, in seconds."
    )

    @field_validator("concurrent_launches", mode="before")
    @classmethod
    def _launches(cls, value: Any) -> Any:
        # Before the union's own check, which has a complaint for each of its members.
        text = str(value).strip()
        if text != "auto" and not (text.isdecimal() and 1 <= int(text) <= 64):
            raise ValueError("expected a whole number from 1 to 64, or auto")
        return value

    @property
    def launches(self) -> int:
        """The launch gate's size as a number."""
        if self.concurrent_launches == "auto":
            return min(64, os.cpu_count() or 1)
        return self.concurrent_launches
