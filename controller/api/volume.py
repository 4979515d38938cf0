"""A volume of a template, as a Pod has it: an emptyDir or a ConfigMap's files.

Must not offer a path of the host.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.meta import Model, Rule
from controller.api.rules import quantity_rule
from controller.api.values import LIST_ATOMIC, DataKey, DnsLabel, Memory, ObjectName

FileMode = Annotated[int, Field(ge=0, le=0o777, json_schema_extra={"format": "int32"})]


class EmptyDirVolume(Model):
    """An empty directory that lives as long as the instance's containers."""

    rules: ClassVar = (
        quantity_rule("emptyDir", "sizeLimit", unit="bytes", least="4Ki", most="16Ti", such="64Mi"),
    )

    size_limit: Memory | None = None
    """The most that may be written to it, such as 64Mi; from 4Ki. In memory, more is refused with
    "no space left"; on disk the instance is stopped (StorageExceeded) within some 10 s, and each
    file counts for 1Ki at least, with 250,000 files at most. Without it, in memory: the memory
    limits of the containers that mount it, taken together, which it never exceeds; on disk: the
    controller's CHALLENGE_DEFAULT_VOLUME_SIZE, 1Gi."""
    medium: Literal["", "Memory"] = ""
    """Memory: kept in memory, which counts as the container's, and empty again once none of the
    containers that mount it runs any more; empty: on the node's disk, as long as the instance's
    containers are not made anew."""


class KeyToPath(Model):
    """A key of a ConfigMap and its file."""

    rules: ClassVar = (
        Rule(
            "!self.path.matches('(^|/)[.]{0,2}(/|$)')",
            "path must be relative, without //, . and .. and a / at its end",
            ".path",
        ),
    )

    key: DataKey
    """The key in the ConfigMap's data."""
    path: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f:]+$")]
    """The file, relative to the mountPath."""
    mode: FileMode | None = None
    """The file's permission bits, 0 to 511 (octal 0777); without it defaultMode."""


class ConfigMapVolume(Model):
    """The keys of a ConfigMap as read-only files, as they were when the containers were made."""

    name: ObjectName
    """The ConfigMap's name, in the instance's namespace."""
    items: Annotated[list[KeyToPath], Field(max_length=64, json_schema_extra=LIST_ATOMIC)] = Field(
        default_factory=list
    )
    """The keys to show and their files; without any: every key, as a file of its name."""
    default_mode: FileMode = 0o644
    """The files' permission bits, 0 to 511 (octal 0777); 420 is octal 0644."""


class Volume(Model):
    """A volume that containers of the instance can mount; exactly one kind is set."""

    rules: ClassVar = (
        Rule(
            "has(self.emptyDir) != has(self.configMap)",
            "a volume must have exactly one of emptyDir and configMap",
        ),
    )

    name: DnsLabel
    """The volume's name, a DNS label unique in the template."""
    empty_dir: EmptyDirVolume | None = None
    """An empty directory that lives as long as the instance's containers."""
    config_map: ConfigMapVolume | None = None
    """The keys of a ConfigMap as read-only files."""
