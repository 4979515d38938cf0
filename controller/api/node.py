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
    DnsLabel,
    Generation,
    ImageName,
    PortRange,
    Timestamp,
)

Cell = Annotated[str, Field(max_length=64)]
NodeImage = Annotated[ImageName, Described("An image's name.")]
ServedNamespace = Annotated[DnsLabel, Described("A namespace's name.")]


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
    """The host ports handed out to instances, first and last included, such as 10000-29999. Can be
    changed while instances run: they keep ports outside of it until they end."""
    max_instances: (
        Annotated[int, Field(ge=0, le=100000, json_schema_extra={"format": "int32"})] | None
    ) = None
    """The most instances that the node gets, 0 to 100000; without it networks, ports and memory
    decide. Those that are there stay when it is less."""
    public_address: Address | None = None
    """The host that players connect to: a name or an IP address. Instances that run show another
    one at once."""


class EngineStatus(Model):
    """The node's Docker engine."""

    id: Annotated[str, Field(max_length=128)]
    """The engine's own ID; another one under the same node's name is refused."""
    version: Annotated[str, Field(max_length=64)]
    """The engine's version."""


class NodeResources(Model):
    """Amounts of what instances take from a node."""

    instances: Count | None = None
    """Instances. The capacity is what CHALLENGE_MAX_INSTANCES and the node's networks allow: 1000
    instances of one container for each /22 of CHALLENGE_SHARED_SUBNETS, and those of more
    containers for which there are networks; allocatable is no more than spec.maxInstances."""
    ports: Count | None = None
    """Host ports: those of the range, and those outside of it that instances hold since before it
    was changed. Allocatable leaves out those put aside since another program holds them."""
    networks: Count | None = None
    """Networks of instances of several containers, each of which has one of its own: a /27 of
    CHALLENGE_INSTANCE_SUBNETS."""
    memory: Bytes | None = None
    """Bytes of memory. The capacity is the engine's machine's; allocatable is no more than the
    limit of the cgroup that all instances are in (CHALLENGE_CGROUP_PARENT); allocated is the sum of
    the containers' limits, as far as templates name them. How far the sum may go
    beyond allocatable is the manager's to decide (CHALLENGE_MEMORY_OVERCOMMIT)."""


class LaunchStatus(Model):
    """The node's launch gate."""

    launching: Count = 0
    """Launches and removals at work."""
    waiting: Count = 0
    """Launches and removals that wait for their turn."""


class NodeSummary(Model):
    """The status in few words, for `kubectl get`."""

    instances: Cell = ""
    """Instances, and how many there may be, such as 12/200."""
    ports: Cell = ""
    """Host ports taken, and how many there are, such as 24/20000."""
    memory: Cell = ""
    """Memory promised by the containers' limits, and what there is, such as 6.0/15.6Gi."""
    launches: Cell = ""
    """Launches and removals at work, and those that wait for their turn, such as 2+7."""
    pressure: Cell = ""
    """What runs short, such as Ports,Disk; empty while nothing does."""


class HeldOrphans(Model):
    """Instances that run on the node though the API server does not know them (any more)."""

    instances: Count
    """How many. No object tells the manager of them, so placement takes these amounts from what is
    allocatable."""
    ports: Count = 0
    """Host ports that they hold."""
    memory: Bytes = 0
    """Bytes of memory that their containers' limits promise, as far as the agent knows them."""
    since: Timestamp
    """When the first of them was found to have vanished."""
    until: Timestamp
    """When the last of them is torn down, unless it comes back. It names them for
    `kubectl challenge confirm-orphans`."""


class NodeStatus(Model):
    """What has become of a node."""

    observed_generation: Generation = -1
    """The metadata.generation that the status is about."""
    address: Address | None = None
    """The host that players connect to."""
    engine: EngineStatus | None = None
    """The node's Docker engine."""
    version: Annotated[str, Field(max_length=64)] | None = None
    """The version of its agent."""
    namespaces: Annotated[
        list[ServedNamespace], Field(max_length=1000, json_schema_extra=LIST_SET)
    ] = Field(default_factory=list)
    """The namespaces whose instances it serves (CHALLENGE_NAMESPACES); empty for all. Those of two
    installations must not have one in common."""
    controller_namespace: DnsLabel | None = None
    """The namespace of its Lease, node-NAME (CHALLENGE_CONTROLLER_NAMESPACE)."""
    port_range: PortRange | None = None
    """The host ports in force, first and last included: spec.portRange, or CHALLENGE_PORTS."""
    capacity: NodeResources | None = None
    """What the node has."""
    allocatable: NodeResources | None = None
    """What instances may take."""
    allocated: NodeResources | None = None
    """What instances have taken."""
    launch: LaunchStatus | None = None
    """The node's launch gate."""
    orphans: HeldOrphans | None = None
    """Instances that are held as OrphansHeld; there while there are some."""
    images: Annotated[list[NodeImage], Field(max_length=500, json_schema_extra=LIST_SET)] = Field(
        default_factory=list
    )
    """The images that were pulled ahead for Challenges with prePull."""
    summary: NodeSummary | None = None
    """The above in few words, for `kubectl get`."""
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
