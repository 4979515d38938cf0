"""What a container may use: limits in a Pod's words, and Docker's ulimits.

Must not hold defaults: these are the operator's settings.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.meta import Model, Rule
from controller.api.rules import quantity_rule
from controller.api.values import Cpu, Memory

UlimitName = Literal[
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
]  # fmt: skip
UlimitValue = Annotated[int, Field(ge=0, le=2**40, json_schema_extra={"format": "int64"})]


class Limits(Model):
    """The most a container may use; what is not set has the operator's default."""

    rules: ClassVar = (
        quantity_rule("limits", "cpu", unit="CPUs", least="10m", most="1024", such="500m or 2"),
        quantity_rule("limits", "memory", unit="bytes", least="6Mi", most="16Ti", such="512Mi"),
        quantity_rule(
            "limits", "ephemeral-storage", unit="bytes", least="1Mi", most="16Ti", such="1Gi"
        ),
    )

    cpu: Cpu | None = None
    """CPU time, such as 500m (half a CPU) or 2; from 10m. Without it the operator's default,
    which is 1."""
    memory: Memory | None = None
    """Memory, such as 512Mi; from 6Mi, the engine's own minimum. There is no swap beside it.
    Without it the operator's default, which is 512Mi."""
    pids: Annotated[int, Field(ge=1, le=4194304, json_schema_extra={"format": "int64"})] | None = (
        None
    )
    """Processes and threads, 1 to 4194304. Without it the operator's default, which is 256."""
    ephemeral_storage: Memory | None = None
    """Bytes written to the container's own files and its emptyDir volumes, such as 1Gi; from 1Mi.
    Where the node's storage driver has quotas, more cannot be written to the container's own files;
    elsewhere the instance is stopped within some seconds (StorageExceeded), and a file with holes
    counts with its whole length. Without it the operator's default, which is no limit."""


class Resources(Model):
    """What a container may use."""

    limits: Limits = Limits()
    """The most a container may use."""


class Ulimit(Model):
    """A resource limit of the container's processes."""

    rules: ClassVar = (
        Rule(
            "self.name != 'nproc'",
            "ulimits must not have nproc: it counts the processes of a user over all containers of "
            "the node; use resources.limits.pids",
            ".name",
        ),
        Rule("self.soft <= self.hard", "soft must not be above hard", ".soft"),
    )

    name: UlimitName
    """The limit's name, such as nofile; nproc is refused, resources.limits.pids is the way."""
    soft: UlimitValue
    """The limit that is in force, in the limit's own unit."""
    hard: UlimitValue
    """How far a process may raise it, in the limit's own unit."""
