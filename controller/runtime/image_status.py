"""What an image can be: there, being pulled, failed to be pulled, or none of these.

Must hold no logic.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Absent:
    """Not in the engine, and nobody is pulling it."""


@dataclass(frozen=True)
class Pulling:
    """Being pulled, or waiting for its turn; `progress` is for people, empty at first.

    It stays the same for `changes_in` seconds.
    """

    progress: str
    changes_in: float


@dataclass(frozen=True)
class Failed:
    """The last pull failed at `at`; no other is started before `retry_at`.

    Both are in seconds of `Images`' clock. `message` is the engine's or the registry's.
    """

    message: str
    at: float
    retry_at: float


@dataclass(frozen=True)
class Present:
    """In the engine, under that image id."""

    id: str


ImageStatus = Absent | Pulling | Failed | Present
