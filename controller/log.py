"""Log lines of the process: one format, and the libraries' chatter turned down."""

import logging

FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def configure(level: str) -> None:
    """Log to standard error from ``level`` on; kopf logs a line for each event, which is cut."""
    logging.basicConfig(format=FORMAT, level=level.upper())
    logging.getLogger("controller").setLevel(level.upper())
    for name in ("kopf", "kopf.objects", "kopf.activities", "aiohttp", "docker", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
