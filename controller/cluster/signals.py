"""SIGTERM and SIGINT of this process: one handler, which kopf's operators must not replace.

Every operator that starts installs handlers of its own, so ours is put back after each.
"""

import asyncio
import signal
from collections.abc import Callable

_handlers: list[Callable[[], None]] = []


def on_stop(handler: Callable[[], None]) -> None:
    """Call ``handler`` in the running loop at SIGTERM and SIGINT."""
    _handlers[:] = [handler]
    reinstall()


def reinstall() -> None:
    """Put our handler back; without one nothing happens."""
    for handler in _handlers:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, handler)
