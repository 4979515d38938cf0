"""Pulls the images of Challenges with prePull ahead, before an instance asks for them.

A pull at a time, or one less than the node does at once, so that an instance's own does not wait
behind a list of them. It removes no image, and writes to no Challenge: what fails is told in an
Event, what is there in the node's status.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError

from controller.api import image_reference, reasons
from controller.api.challenge import Challenge
from controller.api.container import Container
from controller.cluster.client import CHALLENGES, Object
from controller.cluster.errors import ApiError
from controller.cluster.references import ReferenceMissing
from controller.reconcile.allowed import refused_image
from controller.reconcile.keyring import Keyring, keyring
from controller.reconcile.queue import Backoff, Key, WorkQueue
from controller.reconcile.services import Services
from controller.runtime.errors import RuntimeFault
from controller.runtime.images import Failed, Pulling

logger = logging.getLogger(__name__)

MOST_IMAGES: Final = 500
"""Images at most that the node's status has room for."""
REFERENCE_RETRY: Final = 30.0
"""Seconds until another look for a Secret that is missing."""
TOLD_FOR: Final = 1800.0
"""Seconds after which a failure that lasts is told again: an Event is kept for an hour."""


@dataclass
class _Wanted:
    """A generation of a Challenge with prePull, and what has come of it here."""

    read: Object
    challenge: Challenge
    present: set[str] = field(default_factory=set)
    told: dict[str, float] = field(default_factory=dict)
    stirred: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False

    def end(self) -> None:
        """Let nobody wait any longer for a pull that was for this generation."""
        self.is_over = True
        self.stirred.set()

    def still_there(self, images: set[str]) -> set[str]:
        """Those of the images that its containers name, and that were not to be pulled anew."""
        containers = self.challenge.spec.template.containers
        return images & {c.image for c in containers if c.image_pull_policy != "Always"}


class PrePull:
    """The images that one node has pulled ahead."""

    def __init__(self, services: Services, backoff: Backoff) -> None:
        """``backoff`` gives the waits after an API server or engine that does not answer."""
        self._services = services
        self._wanted: dict[str, _Wanted] = {}
        self._queue = WorkQueue(
            self._reconcile,
            backoff,
            expected=(ApiError, RuntimeFault),
            workers=max(1, services.settings.concurrent_pulls - 1),
        )

    def images(self) -> list[str]:
        """Names of the images that are there, as their Challenges name them; 500 at most."""
        found = {image for wanted in self._wanted.values() for image in wanted.present}
        return sorted(found)[:MOST_IMAGES]

    def observe(self, body: dict[str, Any], *, deleted: bool) -> None:
        """Take a Challenge as the watch has it."""
        uid = body["metadata"]["uid"]
        known = self._wanted.get(uid)
        if deleted or not (body.get("spec") or {}).get("prePull"):
            self._forget(uid)
            return
        if known and known.challenge.metadata.generation >= body["metadata"].get("generation", 0):
            return  # a list can be older than what the watch has brought
        try:
            challenge = Challenge.model_validate(body)
        except ValidationError as error:
            logger.warning("Cannot read Challenge %s: %s", body["metadata"]["name"], error)
            return
        self._wanted[uid] = wanted = _Wanted(body, challenge)
        if known:
            known.end()
            wanted.present = wanted.still_there(known.present)
        self._queue.wake(_key(challenge))

    async def compare(self) -> None:
        """Make good what the watch has lost, and look for images that somebody has removed."""
        listed = set()
        try:
            for namespace in self._services.settings.namespaces or ("",):
                async for body in self._services.cluster.list(CHALLENGES, namespace):
                    listed.add(body["metadata"]["uid"])
                    self.observe(body, deleted=False)
        except ApiError as error:
            logger.warning("Cannot list the Challenges: %s", error)
            return
        for uid in set(self._wanted) - listed:
            self._forget(uid)
        self.look_again()

    def look_again(self) -> None:
        """Look at every Challenge anew, as when the engine is back."""
        for wanted in self._wanted.values():
            self._queue.wake(_key(wanted.challenge))

    async def stop(self, deadline: float = 0.0) -> None:
        """Start nothing more, and wait at most ``deadline`` seconds for what is under way."""
        await self._queue.stop(deadline)

    def _forget(self, uid: str) -> None:
        if known := self._wanted.pop(uid, None):
            known.end()
            self._queue.forget(uid)

    async def _reconcile(self, key: Key) -> float | None:
        wanted = self._wanted.get(key.uid)
        if wanted is None or self._services.engine_problem:
            return None  # the engine's return is followed by another look
        template = wanted.challenge.spec.template
        patterns = self._services.settings.allowed_images
        if refused := refused_image(template, patterns):
            self._tell(wanted, refused.reason, refused.message)
            return None
        try:
            keys = await keyring(self._services.cluster, key.namespace, template.image_pull_secrets)
        except ReferenceMissing as missing:
            self._tell(wanted, reasons.SECRET_NOT_FOUND, str(missing))
            return REFERENCE_RETRY
        waits = [await self._fetch(wanted, container, keys) for container in template.containers]
        return min((wait for wait in waits if wait is not None), default=None)

    async def _fetch(self, wanted: _Wanted, container: Container, keys: Keyring) -> float | None:
        """Have one image; returns the seconds to the next try when it cannot be had."""
        meta = wanted.challenge.metadata
        while True:
            wanted.stirred.clear()
            status = await self._services.images.ensure(
                str(image_reference.parse(container.image)),
                container.image_pull_policy,
                wanted.stirred.set,
                auths=keys.auths(container.image),
                waiter=(meta.uid, meta.generation),
            )
            if not isinstance(status, Pulling):
                break
            if container.image_pull_policy != "Always":
                wanted.present.discard(container.image)  # else what it has is of an hour ago
            await wanted.stirred.wait()
            if wanted.is_over:
                return None
        if not isinstance(status, Failed):
            wanted.present.add(container.image)
            return None
        wanted.present.discard(container.image)
        message = f"{container.image}: {status.message}"
        self._tell(wanted, reasons.IMAGE_PULL_FAILED, message)
        if container.image_pull_policy == "Never":
            return None  # the next comparison looks whether somebody has put it there
        return max(1.0, status.retry_at - self._services.monotonic())

    def _tell(self, wanted: _Wanted, reason: str, message: str) -> None:
        now = self._services.monotonic()
        if now < wanted.told.get(message, 0.0):
            return
        wanted.told[message] = now + TOLD_FOR
        settings = self._services.settings
        text = f"Pulling ahead on node {settings.node_name}: {message}"
        self._services.recorder.event(wanted.read, "Warning", reason, text)
        meta = wanted.challenge.metadata
        logger.warning("Challenge %s/%s: %s", meta.namespace, meta.name, text)


def _key(challenge: Challenge) -> Key:
    meta = challenge.metadata
    return Key(uid=meta.uid, namespace=meta.namespace, name=meta.name)
