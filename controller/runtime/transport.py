"""One connection to the engine, and the meaning of what goes wrong on it.

Responsible for making docker-py's client and for turning the exceptions of docker-py, requests and
urllib3 into the runtime's own faults. It must not decide what is called when: that is `engine`.
"""

import errno
import os
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
import urllib3
from docker.errors import (
    APIError,
    DockerException,
    create_api_error_from_http_exception,
)
from docker.transport import unixconn
from docker.transport.unixconn import UnixHTTPConnection

from controller.runtime import calls
from controller.runtime.errors import (
    EngineError,
    EngineUnavailable,
    OutcomeUnknown,
    RuntimeFault,
    refusal,
)

_TRANSPORT_ERRORS = (
    requests.exceptions.RequestException,
    urllib3.exceptions.HTTPError,
    OSError,
)
_TIMEOUTS = (
    requests.exceptions.Timeout,
    urllib3.exceptions.TimeoutError,
    TimeoutError,
)


class _Connection(UnixHTTPConnection):
    """docker-py's connection, but for a socket that is closed when nobody listens.

    docker-py leaves it to the garbage collector: an engine that goes away between our look and its
    call would cost a descriptor each time, and a ResourceWarning.
    """

    def connect(self) -> None:
        """Connect; raises OSError."""
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        opened.settimeout(self.timeout)
        try:
            opened.connect(self.unix_socket)
        except OSError:
            opened.close()
            raise
        self.sock = opened


unixconn.UnixHTTPConnection = _Connection  # type: ignore[misc] # its pool looks it up there


class _Client(docker.APIClient):
    """docker-py's client, which tells of each request."""

    observed: calls.Observer = staticmethod(calls.nobody)

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request; raises what the parent does."""
        begun = time.monotonic()
        result: calls.Result = "unavailable"
        try:
            response = super().send(request, **kwargs)
            result = "ok" if response.status_code < 400 else "refused"
            return response
        finally:
            path = urlsplit(request.url or "").path
            kind = calls.kind_of(request.method or "", str(path))
            self.observed(kind, result, time.monotonic() - begun)


def knock(url: str, timeout: float) -> None:
    """See whether anybody listens at `unix://PATH`; sends nothing.

    Makes sure that a call to an engine that is away is known as not sent. Also docker-py leaks a
    socket with each attempt that fails. Raises EngineUnavailable.
    """
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(timeout)
        try:
            door.connect(url.removeprefix("unix://"))
        except OSError as error:
            raise EngineUnavailable(f"Docker engine at {url}: {_reason(error)}") from error


def connect(url: str, timeout: float, observed: calls.Observer = calls.nobody) -> docker.APIClient:
    """A client of its own connection; asks the engine for its API version, which blocks.

    `timeout` is in seconds; `observed` is told of each request after that one. Raises
    EngineUnavailable; nothing that changes anything was sent.
    """
    knock(url, timeout)
    try:
        # docker-py types the timeout as int and hands it to requests, which takes a float.
        client = _Client(base_url=url, version="auto", timeout=timeout)  # type: ignore[arg-type]
    except (DockerException, *_TRANSPORT_ERRORS) as error:
        raise EngineUnavailable(f"Docker engine at {url}: {_reason(error)}") from error
    # Proxy variables and .netrc are about the outer world, and are looked up for each call.
    client.trust_env = False
    client.observed = observed
    return client


def fault(error: BaseException, *, effect: bool, url: str) -> BaseException:
    """The runtime's fault for an exception met in a call that was sent.

    What is none of docker's, requests' or urllib3's (a mistake in this program, say) comes back as
    it is.
    """
    if isinstance(error, RuntimeFault):
        return error
    if isinstance(error, APIError):
        return refusal(error.status_code or 0, _words(error))
    if isinstance(error, _TRANSPORT_ERRORS):
        return _broken(error, effect=effect, url=url)
    if isinstance(error, DockerException):
        return EngineError(0, str(error))
    return error


def raise_for_status(response: requests.Response) -> None:
    """For calls that go past docker-py's methods: raises docker-py's APIError on a refusal."""
    try:
        response.raise_for_status()
    except requests.exceptions.HTTPError as error:
        create_api_error_from_http_exception(error)


def _broken(error: BaseException, *, effect: bool, url: str) -> RuntimeFault:
    message = f"Docker engine at {url}: {_reason(error)}"
    if effect:
        return OutcomeUnknown(f"{message}; whether the call was carried out is not known")
    return EngineUnavailable(message)


def _words(error: APIError) -> str:
    if error.explanation:
        return str(error.explanation).strip()
    if error.response is not None and error.response.reason:
        return str(error.response.reason)
    return "the Docker engine refused the call without a reason"


def _reason(error: BaseException) -> str:
    links = list(_chain(error))
    for link in links:
        if isinstance(link, OSError) and link.errno is not None and link.errno in errno.errorcode:
            return os.strerror(link.errno).lower()
    if any(isinstance(link, _TIMEOUTS) for link in links):
        return "no answer in time"
    if any(isinstance(link, ConnectionError) for link in links):
        return "the connection was closed before the answer"
    return str(links[-1]) or type(links[-1]).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and those that it wraps, the outermost first; requests hides them in args."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop(0)
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        inner = [*link.args, getattr(link, "reason", None), link.__cause__, link.__context__]
        waiting.extend(each for each in inner if isinstance(each, BaseException))
