"""Every setting once: name, default, unit, bounds and help.

The environment variables (prefix ``CHALLENGE_``), the command line's flags and its help are all
made from this one model. It must not read anything but the environment and the flags handed in.
"""

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from controller import shapes
from controller.addresses import HostAddress, Networks, Resolvers, comma_separated
from controller.api import image_pattern, values
from controller.collection_settings import CollectionSettings
from controller.container_settings import ContainerSettings
from controller.identity_settings import IdentitySettings
from controller.launch_settings import LaunchSettings
from controller.ledger_settings import LedgerSettings
from controller.manager_settings import ManagerSettings
from controller.network_settings import NetworkSettings
from controller.node_settings import NodeSettings

PREFIX = "CHALLENGE_"
LAST_PORT = 65535
LOG_LEVELS = Literal["debug", "info", "warning", "error"]
ADDRESS = "^([A-Za-z0-9:]([A-Za-z0-9.:-]*[A-Za-z0-9:])?)?$"
NAME = r"^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$"

NOT_DERIVED = "default_factory_not_called"
"""What pydantic says of a default that another setting, which is wrong, would have given."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class SettingsError(Exception):
    """One or more settings are wrong; the text names variable, value and what was expected."""


class Settings(
    IdentitySettings,
    ManagerSettings,
    NodeSettings,
    CollectionSettings,
    LaunchSettings,
    LedgerSettings,
    NetworkSettings,
    ContainerSettings,
):
    """The controller's settings; each field is also ``CHALLENGE_<NAME>`` and ``--<name>``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, validate_default=True
    )

    kubeconfig: Path | None = Field(
        None,
        description="Kubeconfig file; without it $KUBECONFIG, the pod's service account, or "
        "~/.kube/config, in this order.",
    )
    namespaces: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Namespaces served, comma-separated; empty for all of them.",
    )
    controller_namespace: str = Field(
        "challenge-system",
        pattern=NAME,
        description="Namespace of the controller's own Leases.",
    )
    docker_host: str = Field(
        default_factory=lambda: os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"),
        pattern=r"^unix:///.+",
        description="The local engine's socket, unix://PATH (default: $DOCKER_HOST, else "
        "unix:///var/run/docker.sock).",
    )
    docker_timeout: Seconds = Field(
        60.0, description="Longest wait for one answer of the engine, in seconds."
    )
    ports: str = Field(
        "10000-29999",
        json_schema_extra=shapes.PORT_RANGE_SHAPE,
        description="Host ports handed out, FIRST-LAST, both included.",
    )
    interface: HostAddress = Field(
        "0.0.0.0",
        description="IP address of the host on which instances' ports are bound.",
    )
    public_address: str = Field(
        "",
        max_length=253,
        pattern=ADDRESS,
        description="Host name or IP address that players are told (default: the address from "
        "which this host reaches the API server).",
    )
    shared_subnets: str = Field(
        "10.212.0.0/18",
        json_schema_extra=shapes.SHARED_SUBNETS_SHAPE,
        description="IPv4 range of the bridges that single-container instances share, a /22 each.",
    )
    instance_subnets: str = Field(
        "10.213.0.0/16",
        json_schema_extra=shapes.INSTANCE_SUBNETS_SHAPE,
        description="IPv4 range of the networks of multi-container instances, a /27 each.",
    )
    firewall: Literal["on", "off"] = Field(
        "on",
        description="Whether the agent keeps instances from the host, each other and private "
        "networks with iptables; off leaves that to you.",
    )
    resolvers: Resolvers = Field(
        ("1.1.1.1", "9.9.9.9"),
        description="IPv4 addresses of the resolvers of instances with egress Internet, "
        "comma-separated, 3 at most; empty for no names at all.",
    )
    refused_networks: Networks = Field(
        (),
        description="IPv4 networks that instances with egress Internet must not reach besides "
        "private ones, comma-separated: public addresses of your own machines.",
    )
    prune_age: str = Field(
        "1h",
        json_schema_extra=shapes.DURATION_SHAPE,
        description="Time to live of an instance that says nothing itself, e.g. 90s, 45m, 1h30m; "
        "0 for ever.",
    )
    resync_interval: Seconds = Field(
        60.0,
        description="Seconds between two complete comparisons of API server, ledger and engine.",
    )
    allowed_images: Annotated[tuple[str, ...], NoDecode] = Field(
        (image_pattern.EVERY_IMAGE,),
        json_schema_extra=shapes.IMAGE_PATTERNS_SHAPE,
        description="Images that a template may name, as patterns with * for any characters, "
        "comma-separated, such as registry.example.org/ctf/*; * alone is every image.",
    )
    max_instances: int = Field(
        100_000, ge=1, le=1_000_000, description="Instances at most on this node."
    )
    default_volume_size: str = Field(
        "1Gi",
        json_schema_extra=shapes.MEMORY_SHAPE | {"minimum": 4096},
        description="How much an emptyDir on disk may hold that names no sizeLimit, at least 4Ki.",
    )
    metrics_address: HostAddress = Field(
        "127.0.0.1",
        description="IP address of the host on which metrics are served, for CHALLENGE_METRICS_PORT"
        ". Any other than a loopback address has to be kept from instances by a firewall.",
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="Port on which metrics are served; 0 for none."
    )
    log_level: LOG_LEVELS = Field("info", description="Least severe level that is logged.")

    @field_validator("namespaces", "allowed_images", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        return comma_separated(value)

    @field_validator("kubeconfig", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("namespaces")
    @classmethod
    def _namespace_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        # A pattern such as team-* would be served as a namespace of that name: not at all.
        for name in value:
            if len(name) > 63 or not re.fullmatch(values.DNS_LABEL, name):
                raise ValueError(f"expected names of namespaces; {name!r} is none")
        return value

    @field_validator("allowed_images")
    @classmethod
    def _image_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("expected at least one pattern, such as registry.example.org/ctf/*")
        for pattern in value:
            image_pattern.parse(pattern)
        return value

    @field_validator("ports")
    @classmethod
    def _port_range(cls, value: str) -> str:
        first, dash, last = value.partition("-")
        if not (dash and first.strip().isdecimal() and last.strip().isdecimal()):
            raise ValueError("expected FIRST-LAST, e.g. 10000-29999")
        if not 1 <= int(first) <= int(last) <= LAST_PORT:
            raise ValueError(f"expected 1 <= FIRST <= LAST <= {LAST_PORT}")
        return f"{int(first)}-{int(last)}"

    @field_validator("shared_subnets", "instance_subnets")
    @classmethod
    def _ipv4_network(cls, value: str, info: Any) -> str:
        longest = 22 if info.field_name == "shared_subnets" else 27
        try:
            network = ipaddress.IPv4Network(value)
        except ValueError as error:
            raise ValueError(f"expected an IPv4 range such as 10.212.0.0/18: {error}") from None
        if network.prefixlen > longest:
            raise ValueError(f"expected an IPv4 range of /{longest} or larger")
        return str(network)

    @field_validator("prune_age")
    @classmethod
    def _duration(cls, value: str) -> str:
        values.parse_duration(value)
        return value

    @field_validator("default_volume_size")
    @classmethod
    def _volume_size(cls, value: str) -> str:
        if values.parse_memory(value) < 4096:
            raise ValueError("expected at least 4Ki")
        return value

    @model_validator(mode="after")
    def _subnets_apart(self) -> Self:
        shared = ipaddress.IPv4Network(self.shared_subnets)
        if shared.overlaps(ipaddress.IPv4Network(self.instance_subnets)):
            raise ValueError(
                f"{PREFIX}SHARED_SUBNETS={self.shared_subnets} and "
                f"{PREFIX}INSTANCE_SUBNETS={self.instance_subnets} overlap; expected two ranges "
                "apart from each other"
            )
        return self

    @property
    def port_range(self) -> range:
        """The host ports handed out."""
        first, _, last = self.ports.partition("-")
        return range(int(first), int(last) + 1)


def load(flags: dict[str, Any] | None = None) -> Settings:
    """Read the settings from the environment, flags first.

    Raises SettingsError, which has a line for each wrong setting: variable, value and what was
    expected.
    """
    try:
        return Settings(**{k: v for k, v in (flags or {}).items() if v is not None})
    except ValidationError as error:
        complaints = [_complaint(e) for e in error.errors() if e["type"] != NOT_DERIVED]
        raise SettingsError("\n".join(complaints)) from None


def _complaint(error: Any) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name = str(error["loc"][0])
    expected = message.removeprefix("expected ").removeprefix("Input should be ")
    expected = expected.replace("String should match pattern", "text that matches")
    return f"{PREFIX}{name.upper()}={error['input']!r}: expected {expected}"
