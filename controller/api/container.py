"""A container, written in a Pod's own words, with Docker's own extras beside them.

Must not say how an option is carried out: that is the runtime's part. There is no privileged, no
host network, no host path and no device here, and none may be added.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.env import EnvName, EnvVar
from controller.api.meta import Model, Rule
from controller.api.probe import Probe
from controller.api.resources import Resources, Ulimit
from controller.api.security import SecurityContext
from controller.api.values import (
    LIST_ATOMIC,
    LIST_MAP_BY_NAME,
    Argument,
    DnsLabel,
    ImageName,
    Port,
    Protocol,
)
from controller.api.volume import FileMode

ABSOLUTE_PATH = r"^/[^\x00-\x1f:]*$"


class ContainerPort(Model):
    """A port that players reach, published on a host port of the node."""

    rules: ClassVar = (
        Rule(
            "!has(self.name) || !self.name.matches('-[0-9]+-(tcp|udp)$')",
            "name must not end in -<number>-tcp or -<number>-udp: ports without a name are called "
            "<container>-<containerPort>-<protocol>",
            ".name",
        ),
    )

    name: (
        Annotated[
            str, Field(min_length=1, max_length=15, pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
        ]
        | None
    ) = None
    """The port's name, unique over all containers of the template; without one it is called
    <container>-<containerPort>-<protocol>, such as web-80-tcp."""
    container_port: Port
    """The port that the program in the container listens on, 1 to 65535."""
    protocol: Protocol = "TCP"
    """TCP or UDP."""
    app_protocol: (
        Annotated[str, Field(min_length=1, max_length=63, pattern="^[a-zA-Z0-9][a-zA-Z0-9./-]*$")]
        | None
    ) = None
    """What is spoken on the port, such as http; for portals that show a link, not used here."""


class VolumeMount(Model):
    """A volume at a place in the container."""

    rules: ClassVar = (
        Rule(
            "!self.mountPath.matches('/[.]{0,2}(/|$)')",
            "mountPath must be an absolute path without //, . and .. and a / at its end",
            ".mountPath",
        ),
        Rule(
            "!self.mountPath.matches('^/(proc|sys|run/challenge)(/|$)')",
            "mountPath must not be /proc, /sys, /run/challenge or below them",
            ".mountPath",
        ),
    )

    name: DnsLabel
    """The name of one of the template's volumes."""
    mount_path: Annotated[str, Field(min_length=2, max_length=256, pattern=ABSOLUTE_PATH)]
    """Where the volume is seen in the container: an absolute path."""
    read_only: bool = False
    """Whether the container cannot write to it; a configMap never can be written."""


class Container(Model):
    """One container of an instance."""

    rules: ClassVar = (
        Rule(
            "!has(self.readinessProbe) || !has(self.readinessProbe.tcpSocket) || "
            "type(self.readinessProbe.tcpSocket.port) == int || (has(self.ports) && "
            "self.ports.exists(p, has(p.name) && p.name == self.readinessProbe.tcpSocket.port))",
            "readinessProbe.tcpSocket.port must be a number or the name of a port of the container",
            ".readinessProbe",
        ),
        Rule(
            "!has(self.readinessProbe) || !has(self.readinessProbe.httpGet) || "
            "type(self.readinessProbe.httpGet.port) == int || (has(self.ports) && "
            "self.ports.exists(p, has(p.name) && p.name == self.readinessProbe.httpGet.port))",
            "readinessProbe.httpGet.port must be a number or the name of a port of the container",
            ".readinessProbe",
        ),
        Rule(
            "!has(self.cgroupParent) || self.cgroupParent != 'tasks'",
            "cgroupParent must not be tasks, which is a file in each cgroup of version 1",
            ".cgroupParent",
        ),
    )

    name: DnsLabel
    """The container's name, a DNS label unique in the template: its hostname, and the name by which
    the instance's other containers reach it."""
    image: ImageName
    """The image, such as registry.example.org/pwn/baby:1 or with a digest, name@sha256:…."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled: Always for each new instance, IfNotPresent when the node does not
    have it, Never. Unlike a Pod's, the default does not depend on the tag."""
    command: (
        Annotated[list[Argument], Field(max_length=64, json_schema_extra=LIST_ATOMIC)] | None
    ) = None
    """The program and its first arguments, in place of the image's ENTRYPOINT."""
    args: Annotated[list[Argument], Field(max_length=256, json_schema_extra=LIST_ATOMIC)] | None = (
        None
    )
    """The arguments, in place of the image's CMD."""
    working_dir: (
        Annotated[str, Field(min_length=1, max_length=1024, pattern=ABSOLUTE_PATH)] | None
    ) = None
    """The working directory, an absolute path; without it the image's own."""
    env: Annotated[list[EnvVar], Field(max_length=100, json_schema_extra=LIST_MAP_BY_NAME)] = Field(
        default_factory=list
    )
    """Environment variables. The instance's user, seed and env come to them as CHALLENGE_…."""
    ports: Annotated[
        list[ContainerPort],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
            },
        ),
    ] = Field(default_factory=list)
    """The ports that players reach, each published on a host port. Between the instance's own
    containers every port is open, named here or not."""
    resources: Resources = Resources()
    """What the container may use."""
    readiness_probe: Probe | None = None
    """How to find out that the container serves; without it: every TCP port of ports accepts a
    connection."""
    security_context: SecurityContext = SecurityContext()
    """Whom the container runs as, and what it may do."""
    volume_mounts: Annotated[
        list[VolumeMount],
        Field(
            max_length=16,
            json_schema_extra={
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["mountPath"],
            },
        ),
    ] = Field(default_factory=list)
    """The volumes that the container sees."""
    mount_flag: bool = False
    """Whether the container gets the flag of flagSecretRef as the file /run/challenge/flag, which
    is root's and can only be read."""
    flag_mode: FileMode | None = None
    """The flag file's permission bits, 0 to 511 (octal 0777); without it 292 (octal 0444). With 256
    (octal 0400) only root reads it, which is for challenges that are about becoming root."""
    flag_env: EnvName | None = None
    """The name of an environment variable that has the flag too, for a program that cannot read a
    file. Who may inspect containers on the node sees it there; the file shows nowhere."""
    init: bool = False
    """Whether the engine's small init is process 1, which hands on signals and reaps children."""
    ulimits: Annotated[list[Ulimit], Field(max_length=16, json_schema_extra=LIST_MAP_BY_NAME)] = (
        Field(default_factory=list)
    )
    """Resource limits of the container's processes. There are no core dumps unless core is set."""
    cgroup_parent: DnsLabel | None = None
    """The name of a cgroup below the controller's own one, for containers to share a limit that the
    operator has set on it. Without it the container is in the controller's own."""
