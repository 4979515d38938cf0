"""Log lines of the process: one format, and the libraries' chatter turned down."""

import logging

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure(level: str) -> None:
    """Log to standard error from ``level`` on; kopf logs a line for each event, which is cut."""
    logging.basicConfig(format=FORMAT, level=level.upper())
    logging.getLogger("controller").setLevel(level.upper())
    for name in ("kopf", "kopf.objects", "kopf.activities", "aiohttp", "docker", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(shorten)


def shorten(record: logging.LogRecord) -> bool:
    """Have a refusal of the API server's that ends kopf's watch in a line, without a traceback.

    It is no fault of anybody's code: a definition was deleted, or a right taken away.
    """
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and type(error).__module__.startswith("kopf._cogs.clients"):
        record.msg, record.args = f"{record.getMessage()} {type(error).__name__}: {error}", ()
        record.exc_info = record.exc_text = None
    return True
