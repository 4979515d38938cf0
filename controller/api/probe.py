"""A readiness probe, as a Pod has it.

Must not probe anything: it only says how.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.meta import Model, Rule
from controller.api.values import LIST_ATOMIC, Argument, PortReference

Seconds = Annotated[int, Field(ge=1, le=3600, json_schema_extra={"format": "int32"})]
Threshold = Annotated[int, Field(ge=1, le=100, json_schema_extra={"format": "int32"})]


class TcpSocketAction(Model):
    """The port accepts a connection."""

    port: PortReference
    """The number of the container's port, or its name in ports."""


class HttpHeader(Model):
    """A header of the request."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern="^[-A-Za-z0-9_]+$")]
    """The header's name."""
    value: Annotated[str, Field(max_length=1024, pattern=r"^[^\x00-\x1f]*$")]
    """The header's value."""


class HttpGetAction(Model):
    """A GET answers with a status of 200 to 399; redirects are not followed."""

    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[^\x00-\x20]*$")] = "/"
    """The path, with its query if there is one."""
    port: PortReference
    """The number of the container's port, or its name in ports."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    """HTTP or HTTPS; a certificate is not verified."""
    http_headers: Annotated[
        list[HttpHeader], Field(max_length=16, json_schema_extra=LIST_ATOMIC)
    ] = Field(default_factory=list)
    """Headers of the request."""


class ExecAction(Model):
    """A command in the container ends with exit code 0."""

    command: Annotated[
        list[Argument], Field(min_length=1, max_length=64, json_schema_extra=LIST_ATOMIC)
    ]
    """The program and its arguments; no shell reads them."""


class Probe(Model):
    """How to find out that a container serves; exactly one of tcpSocket, httpGet and exec."""

    rules: ClassVar = (
        Rule(
            "[has(self.tcpSocket), has(self.httpGet), has(self.exec)].filter(x, x).size() == 1",
            "readinessProbe must have exactly one of tcpSocket, httpGet and exec",
        ),
    )

    tcp_socket: TcpSocketAction | None = None
    """The port accepts a connection."""
    http_get: HttpGetAction | None = None
    """A GET answers with a status of 200 to 399; redirects are not followed."""
    exec: ExecAction | None = None
    """A command in the container ends with exit code 0."""
    initial_delay_seconds: Annotated[
        int, Field(ge=0, le=3600, json_schema_extra={"format": "int32"})
    ] = 0
    """Seconds from the container's start to the first try, 0 to 3600."""
    period_seconds: Seconds = 10
    """Seconds from one try to the next, 1 to 3600."""
    timeout_seconds: Seconds = 1
    """Seconds after which a try has failed, 1 to 3600."""
    success_threshold: Threshold = 1
    """How many tries in a row must succeed for the container to be ready, 1 to 100."""
    failure_threshold: Threshold = 3
    """How many tries in a row must fail for a ready container not to be ready, 1 to 100."""
