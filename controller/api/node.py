"""The kind ChallengeNode: one Docker host, registered by its agent, tuned by its operator.

Must not hold a heartbeat: that is a Lease's part, which is cheaper to renew.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.conditions import Conditions
from controller.api.meta import Model, Resource, Rule
from controller.api.values import (
    LIST_SET,
    Address,
    Bytes,
    Count,
    Described,
    Generation,
    ImageName,
    PortRange,
)

NodeImage = Annotated[ImageName, Described("An image's name.")]


class NodeSpec(Model):
    """What the operator lays down for the node; it goes before the agent's settings."""

    rules: ClassVar = (
        Rule(
            "!has(self.portRange) || (self.portRange.matches('^[0-9]{1,5}-[0-9]{1,5}$') && "
            "int(self.portRange.split('-')[0]) >= 1 && "
            "int(self.portRange.split('-')[0]) <= int(self.portRange.split('-')[1]) && "
            "int(self.portRange.split('-')[1]) <= 65535)",
            "portRange must be <first>-<last> with 1 <= first <= last <= 65535, such as "
            "10000-29999",
            ".portRange",
        ),
        Rule(
            "!has(self.drain) || (has(self.unschedulable) && self.unschedulable)",
            "drain needs unschedulable: true: what is moved away would come back otherwise",
            ".drain",
        ),
    )

    unschedulable: bool = False
    """Whether the node is cordoned: it gets no new instances and keeps those it has."""
    drain: Literal["Managed", "All"] | None = None
    """Whether instances move away from the node: Managed are those of ChallengePools, each once its
    successor is Ready; All are players' as well, which get another address. Needs unschedulable."""
    launch_concurrency: (
        Annotated[int, Field(ge=1, le=64, json_schema_extra={"format": "int32"})] | None
    ) = None
    """How many launches and removals the node does at once, 1 to 64."""
    port_range: PortRange | None = None
    """The host ports handed out to instances, first and last included, such as 10000-29999."""
    max_instances: (
        Annotated[int, Field(ge=0, le=100000, json_schema_extra={"format": "int32"})] | None
    ) = None
    """The most instances that the node gets, 0 to 100000; without it ports and memory decide."""
    public_address: Address | None = None
    """The host that players connect to: a name or an IP address."""


class EngineStatus(Model):
    """The node's Docker engine."""

    id: Annotated[str, Field(max_length=128)]
    """The engine's own ID; another one under the same node's name is refused."""
    version: Annotated[str, Field(max_length=64)]
    """The engine's version."""


class NodeResources(Model):
    """Amounts of what instances take from a node."""

    instances: Count | None = None
    """Instances."""
    ports: Count | None = None
    """Host ports."""
    memory: Bytes | None = None
    """Bytes of memory, by the containers' limits."""


class LaunchStatus(Model):
    """The node's launch gate."""

    launching: Count = 0
    """Launches and removals at work."""
    waiting: Count = 0
    """Launches and removals that wait for their turn."""


class NodeStatus(Model):
    """What has become of a node."""

    observed_generation: Generation = -1
    """The metadata.generation that the status is about."""
    address: Address | None = None
    """The host that players connect to."""
    engine: EngineStatus | None = None
    """The node's Docker engine."""
    port_range: PortRange | None = None
    """The host ports in force, first and last included."""
    capacity: NodeResources | None = None
    """What the node has."""
    allocatable: NodeResources | None = None
    """What instances may take."""
    allocated: NodeResources | None = None
    """What instances have taken."""
    launch: LaunchStatus | None = None
    """The node's launch gate."""
    images: Annotated[list[NodeImage], Field(max_length=500, json_schema_extra=LIST_SET)] = Field(
        default_factory=list
    )
    """The images that were pulled ahead for Challenges with prePull."""
    conditions: Conditions = Field(default_factory=list)
    """Its state, aspect by aspect."""


class ChallengeNode(Resource):
    """One Docker host."""

    KIND: ClassVar = "ChallengeNode"
    PLURAL: ClassVar = "challengenodes"
    SHORT_NAME: ClassVar = "chnode"
    NAMESPACED: ClassVar = False

    spec: NodeSpec = Field(default_factory=NodeSpec)
    """What the operator lays down for the node; it goes before the agent's settings."""
    status: NodeStatus = Field(default_factory=NodeStatus)
    """What has become of it; written by its agent, and by the manager when it is lost."""
