"""Looks on while all is being broken: what must not be even then.

An instance that says that it is Ready may fail to answer meanwhile; another one must never answer
in its place, and no two may tell of the same port.
"""

import threading
from random import Random
from typing import Final

from hack.bed.audit import collisions, endpoints_ready
from hack.bed.errors import BedError
from hack.bed.instances import Endpoint, ask
from hack.chaosrun.api import Api, NoAnswer, Object, Refused
from hack.chaosrun.journal import Journal

PERIOD: Final = 3.0
ASKED: Final = 4
"""Ports that are asked each time."""


class Watch:
    """A thread that looks every few seconds."""

    def __init__(self, api: Api, journal: Journal, seed: int) -> None:
        """Which ports are asked goes by the seed, too."""
        self._api, self._journal = api, journal
        self._dice = Random(f"watch {seed}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when it has ended."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(30.0)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD):
            try:
                self.look()
            except (NoAnswer, Refused):
                continue
        self._api.close()

    def look(self) -> None:
        """Look once; raises NoAnswer when nothing can be seen."""
        there = [each for each in self._api.instances() if not _is_ending(each)]
        for text in collisions(there):
            self._journal.found(text)
        doors = endpoints_ready(there)
        for endpoint in self._dice.sample(doors, min(ASKED, len(doors))):
            self._journal.count("ports asked meanwhile")
            try:
                ask(endpoint)
            except BedError as error:
                if "says that it is" in str(error) and self._still_claims(endpoint):
                    self._journal.found(str(error))
            else:
                self._journal.count("answers meanwhile")

    def _still_claims(self, endpoint: Endpoint) -> bool:
        """Whether the instance still says that the port is its own; it may have ended just then."""
        try:
            found = self._api.instance(endpoint.instance)
        except Refused:
            return False
        return not _is_ending(found) and endpoint in endpoints_ready([found])


def _is_ending(found: Object) -> bool:
    return bool(found["metadata"].get("deletionTimestamp"))
