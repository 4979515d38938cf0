"""Whom a container runs as, and what it may do.

Must not offer more than a plain container has, but by the operator's allow-list.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.meta import Model, Rule
from controller.api.values import LIST_SET, Described

Capability = Annotated[
    str,
    Field(min_length=1, max_length=32, pattern="^[A-Z][A-Z_]*$"),
    Described("A capability's name without CAP_, such as NET_RAW."),
]


class Capabilities(Model):
    """Linux capabilities beside the engine's default set."""

    rules: ClassVar = (
        Rule(
            "!has(self.add) || !self.add.exists(c, c == 'ALL')",
            "capabilities.add must name single capabilities, not ALL",
            ".add",
        ),
        Rule(
            "(!has(self.add) || !self.add.exists(c, c.startsWith('CAP_'))) && "
            "(!has(self.drop) || !self.drop.exists(c, c.startsWith('CAP_')))",
            "capabilities must be named without CAP_, such as NET_RAW",
        ),
    )

    add: Annotated[list[Capability], Field(max_length=48, json_schema_extra=LIST_SET)] = Field(
        default_factory=list
    )
    """Capabilities to add: those that the operator allows (LINUX_IMMUTABLE by default), and with
    drop ALL those that the container would have had anyway."""
    drop: Annotated[list[Capability], Field(max_length=48, json_schema_extra=LIST_SET)] = Field(
        default_factory=list
    )
    """Capabilities to take away; ALL takes away every one. Those that the operator drops (NET_RAW
    by default) are taken away from every container that does not add them."""


class SeccompProfile(Model):
    """Which system calls a container may make."""

    rules: ClassVar = (
        Rule(
            "(self.type == 'Localhost') == has(self.localhostProfile)",
            "localhostProfile must be set if type is Localhost, and only then",
            ".localhostProfile",
        ),
    )

    type: Literal["RuntimeDefault", "ChallengeDefault", "Localhost"]
    """RuntimeDefault: the engine's own; ChallengeDefault: a stricter one of the controller's,
    without io_uring, userfaultfd, bpf, perf, keyrings, new namespaces and mounts; Localhost: a file
    of the operator's."""
    localhost_profile: (
        Annotated[str, Field(min_length=1, max_length=128, pattern="^[a-zA-Z0-9][a-zA-Z0-9._-]*$")]
        | None
    ) = None
    """The name of a file in the operator's profile folder, with type Localhost."""


class SecurityContext(Model):
    """Whom a container runs as, and what it may do."""

    run_as_user: (
        Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int64"})] | None
    ) = None
    """The numeric user, 0 to 2147483647; without it the image's own."""
    read_only_root_filesystem: bool = False
    """Whether the image's files cannot be written. Volumes can, and so can /tmp, /var/tmp and /run,
    each a file system in memory of 64Mi (the operator's setting), which counts as the container's
    memory."""
    allow_privilege_escalation: bool | None = None
    """Whether set-user-ID programs such as sudo gain rights; without it the operator's default,
    which is false."""
    capabilities: Capabilities = Capabilities()
    """Linux capabilities beside the engine's default set."""
    seccomp_profile: SeccompProfile | None = None
    """Which system calls the container may make; without it the operator's default, which is
    ChallengeDefault."""
