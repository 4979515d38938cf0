"""What can go wrong between this agent and its engine.

Responsible for the faults that the runtime raises, and for telling them apart by the engine's own
words where its status codes do not. It must not import docker or requests: translating their
exceptions is the work of `engine`.
"""

import re

# Where the engine names the port that it could not bind; in this order:
# "Bind for 0.0.0.0:80 failed: port is already allocated" (its own books),
# "listen tcp4 0.0.0.0:80: bind: address already in use" (docker-proxy, a foreign listener),
# "failed to bind host port for 0.0.0.0:80:172.17.0.2:80/tcp: address already in use" (Docker 28).
_BOUND = re.compile(
    r"Bind for \S*:(\d{1,5}) failed"
    r"|listen (?:tcp|udp)[46]? \S*:(\d{1,5}): bind"
    r"|failed to bind host port(?: for)? (?:\[[^\]]*\]|[\d.]*):(\d{1,5})"
)
_PORT_TAKEN = ("port is already allocated", "address already in use")
_POOLS_EXHAUSTED = (
    "could not find an available, non-overlapping IPv4 address pool",
    "all predefined address pools have been fully subnetted",
    "no available IPv4 addresses on this network's address pools",
    "exchange full",  # the 1,023 ports of a Linux bridge
)
_SUBNET_TAKEN = ("Pool overlaps with other one on this address space",)
# "--storage-opt is supported only for overlay over xfs with 'pquota' mount option", and the like.
_NO_QUOTA = ("--storage-opt is",)
_NETWORK_IN_USE = "has active endpoints"
_ENDPOINT_TAKEN = re.compile(r"endpoint with name \S+ already exists in network")
_NO_IMAGE = re.compile(r"no such image", re.IGNORECASE)


class RuntimeFault(Exception):
    """Base of all faults of the runtime; `message` is fit to be shown to a user."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class EngineUnavailable(RuntimeFault):
    """The engine cannot be reached, or does not answer: the call was certainly not carried out."""


class OutcomeUnknown(RuntimeFault):
    """A call that changes something was sent and not answered: it may have been carried out."""


class FolderFault(RuntimeFault):
    """A folder of an instance could not be written or removed; the message has path and cause."""


class EngineError(RuntimeFault):
    """The engine answered and refused; `status` is the HTTP status, 0 where there is none."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFound(EngineError):
    """There is no such container, network or image."""


class Conflict(EngineError):
    """A name is taken, or the state of a container does not admit the call."""


class ImageNotFound(NotFound):
    """The engine does not have the image."""

    def __init__(self, image: str, message: str = "") -> None:
        super().__init__(404, message or f"No such image: {image}")
        self.image = image


class PullFailed(RuntimeFault):
    """An image could not be pulled; the message is the engine's or the registry's.

    `silent` says that there was no answer in time: other credentials would get none either.
    """

    def __init__(self, image: str, message: str, *, silent: bool = False) -> None:
        super().__init__(message)
        self.image = image
        self.silent = silent


class PortTaken(EngineError):
    """A host port is in use by another container or by a foreign program.

    `port` is None where the engine's words do not name it.
    """

    def __init__(self, status: int, message: str, port: int | None) -> None:
        super().__init__(status, message)
        self.port = port


class NetworkExhausted(EngineError):
    """No subnet, no address in it, or no port of the bridge is free."""


class SubnetTaken(NetworkExhausted):
    """The subnet asked for overlaps one that the engine has: take another one."""


class NetworkInUse(EngineError):
    """The network cannot be removed: it has endpoints, of containers that are there or not."""


class EndpointTaken(EngineError):
    """The network has an endpoint of a container of that name, which is an earlier one's."""


class QuotaUnsupported(EngineError):
    """The storage driver, or the file system below it, cannot limit what a container writes."""


def refusal(status: int, message: str) -> EngineError:
    """The fault that an HTTP status and the engine's words stand for; tried on Docker 20.10."""
    if any(words in message for words in _PORT_TAKEN):
        return PortTaken(status, message, taken_port(message))
    if any(words in message for words in _SUBNET_TAKEN):
        return SubnetTaken(status, message)
    if any(words in message for words in _POOLS_EXHAUSTED):
        return NetworkExhausted(status, message)
    if _NETWORK_IN_USE in message:
        return NetworkInUse(status, message)
    if _ENDPOINT_TAKEN.search(message):
        return EndpointTaken(status, message)
    if any(words in message for words in _NO_QUOTA):
        return QuotaUnsupported(status, message)
    if status == 404 and _NO_IMAGE.search(message):
        return ImageNotFound(_named_image(message), message)
    if status == 404:
        return NotFound(status, message)
    if status == 409:
        return Conflict(status, message)
    return EngineError(status, message)


def taken_port(message: str) -> int | None:
    """The host port (1-65535) that the engine's words name as taken, or None."""
    found = _BOUND.search(message)
    if found is None:
        return None
    port = int(found[found.lastindex or 0])
    return port if 1 <= port <= 65535 else None


def _named_image(message: str) -> str:
    return message.partition(":")[2].strip()
