"""The settings about what a container may do and use, where its template says nothing.

A part of ``Settings``, which is what the rest of the controller is handed. It must not read
anything but the environment and the flags handed in.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode

from controller import shapes
from controller.addresses import comma_separated
from controller.api import values

NET_RAW: Final = "NET_RAW"
CGROUP: Final = r"^/?[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$"
SECCOMP: Final = "^(RuntimeDefault|ChallengeDefault|Localhost/[a-zA-Z0-9][a-zA-Z0-9._-]*)$"


class ContainerSettings(BaseSettings):
    """What containers may do and use; each field is also ``CHALLENGE_<NAME>``."""

    default_cpu: str = Field(
        "1",
        json_schema_extra=shapes.CPU_SHAPE,
        description="CPU limit of a container that names none, as Kubernetes writes it.",
    )
    default_memory: str = Field(
        "512Mi",
        json_schema_extra=shapes.MEMORY_SHAPE,
        description="Memory limit of a container that names none.",
    )
    default_pids: int = Field(
        256, ge=16, le=1_000_000, description="Process limit of a container that names none."
    )
    default_ephemeral_storage: str = Field(
        "",
        json_schema_extra=shapes.MEMORY_OR_NONE_SHAPE | {"minimum": 2**20},
        description="How much a container may write that names no limit, e.g. 1Gi; empty for no "
        "limit.",
    )
    storage_interval: float = Field(
        10.0,
        gt=0,
        le=3600,
        description="Seconds between two looks at how much is in volumes with a sizeLimit, and at "
        "how much containers have written, where the storage driver has no quotas.",
    )
    default_core: str = Field(
        "0",
        json_schema_extra=shapes.MEMORY_SHAPE,
        description="Largest core dump of a container that sets no ulimit core; 0 for none.",
    )
    default_privilege_escalation: bool = Field(
        False,
        description="Whether set-user-ID programs such as sudo gain rights in a container that "
        "does not say.",
    )
    allowed_capabilities: Annotated[tuple[str, ...], NoDecode] = Field(
        ("LINUX_IMMUTABLE",),
        json_schema_extra=shapes.CAPABILITIES_SHAPE,
        description="Linux capabilities that a template may add to those that containers have "
        "anyway, comma-separated.",
    )
    dropped_capabilities: Annotated[tuple[str, ...], NoDecode] = Field(
        (NET_RAW,),
        json_schema_extra=shapes.CAPABILITIES_SHAPE | {"contains": {"const": NET_RAW}},
        description="Linux capabilities taken from every container that does not add them, "
        "comma-separated; NET_RAW must be among them.",
    )
    default_seccomp: str = Field(
        "ChallengeDefault",
        pattern=SECCOMP,
        description="Seccomp profile of a container that names none: RuntimeDefault, "
        "ChallengeDefault or Localhost/FILE.",
    )
    seccomp_dir: Path = Field(
        Path("/etc/challenge-controller/seccomp"),
        description="Folder of the profiles that templates may name with type Localhost.",
    )
    cgroup_parent: str = Field(
        "challenges",
        max_length=200,
        pattern=CGROUP,
        description="Cgroup that all containers are below, for a limit on all of them together; "
        "with the systemd driver, the slice of that name.",
    )
    tmpfs_size: str = Field(
        "64Mi",
        json_schema_extra=shapes.MEMORY_SHAPE | {"minimum": 65_536},
        description="Size of each of /tmp, /var/tmp and /run, in memory, in a container with a "
        "read-only root.",
    )
    log_max_size: str = Field(
        "2Mi",
        json_schema_extra=shapes.MEMORY_SHAPE | {"minimum": 65_536},
        description="Size at which the engine begins a new log file for a container.",
    )
    log_max_files: int = Field(
        2, ge=1, le=100, description="Log files that the engine keeps of a container."
    )
    cmgr_env: bool = Field(
        False,
        description="Give containers the user and the instance's env as CMGR_USER_ID and "
        "CMGR_<NAME> too, for challenges written for cmgr.",
    )

    @field_validator("allowed_capabilities", "dropped_capabilities", mode="before")
    @classmethod
    def _comma_separated_names(cls, value: Any) -> Any:
        return comma_separated(value)

    @field_validator("allowed_capabilities", "dropped_capabilities")
    @classmethod
    def _capability_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not re.fullmatch("(?!CAP_|ALL$)[A-Z][A-Z_]*", name):
                raise ValueError(
                    f"expected names of capabilities without CAP_, such as NET_RAW; {name!r} is "
                    "none"
                )
        return value

    @field_validator("dropped_capabilities")
    @classmethod
    def _raw_sockets_are_asked_for(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # On a shared bridge they would let any instance cut off its neighbours.
        if NET_RAW not in value:
            raise ValueError(
                f"expected {NET_RAW} among them; to let templates ask for it, put it into "
                "CHALLENGE_ALLOWED_CAPABILITIES"
            )
        return value

    @field_validator("default_cpu", "default_memory", "default_core", "tmpfs_size", "log_max_size")
    @classmethod
    def _quantity(cls, value: str, info: Any) -> str:
        parse = values.parse_cpu if info.field_name == "default_cpu" else values.parse_memory
        parse(value)
        return value

    @field_validator("tmpfs_size", "log_max_size", "default_ephemeral_storage")
    @classmethod
    def _not_tiny(cls, value: str, info: Any) -> str:
        least = "1Mi" if info.field_name == "default_ephemeral_storage" else "64Ki"
        if value and values.parse_memory(value) < values.parse_memory(least):
            raise ValueError(f"expected {least} or more")
        return value
