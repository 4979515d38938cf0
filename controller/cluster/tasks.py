"""Two shapes that every role's loops have: parts that run together, and a try that is repeated.

Must know nothing of what the parts do.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from controller.cluster.errors import ApiError

T = TypeVar("T")

logger = logging.getLogger(__name__)

PAUSE: Final = 2.0
"""Seconds between two tries; an API server that comes back is noticed within them."""


async def together(*parts: Coroutine[Any, Any, Any]) -> None:
    """Run the parts until the first of them ends, then end the others.

    Raises what ended it. The others have ended when this returns, also when it is cancelled.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await first_ended(tasks)
    finally:
        await cancel(tasks)


async def first_ended(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait for the first of the tasks to end, and raise what ended it."""
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()


async def cancel(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait for their end; what they raise is dropped."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_done(
    what: str,
    attempt: Callable[[], Awaitable[T]],
    *,
    errors: tuple[type[Exception], ...] = (ApiError,),
) -> T:
    """The result of ``attempt``, tried until it raises none of ``errors``, with a pause between.

    ``what`` says in the log what could not be done, such as "Cannot register the node".
    """
    while True:
        try:
            return await attempt()
        except errors as error:
            logger.warning("%s, trying again: %s", what, error)
            await asyncio.sleep(PAUSE)
