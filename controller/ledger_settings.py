"""The settings of a node's ledger file: how it waits, and how it reaches the disk.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in.
"""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class LedgerSettings(BaseSettings):
    """How the ledger is opened; each field is also ``CHALLENGE_<NAME>``."""

    ledger_wal: bool = Field(
        True, description="Keep the ledger in SQLite's WAL mode; off on network file systems."
    )
    ledger_busy_timeout: Seconds = Field(
        5.0, description="Longest wait for another process' lock on the ledger, in seconds."
    )
    ledger_synchronous: Literal["OFF", "NORMAL", "FULL", "EXTRA"] = Field(
        "NORMAL", description="SQLite's synchronous level of the ledger."
    )
    ledger_lost_after: Seconds = Field(
        10.0,
        description="How long the ledger's file may be away or damaged while the agent runs before "
        "the agent puts it back, or rebuilds it from what runs, in seconds.",
    )
