"""The kind Challenge: a reusable template, and the policy for its instances.

Must know nothing of a single instance. The parts of a template have modules of their own.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from controller.api.conditions import Conditions
from controller.api.container import Container
from controller.api.meta import Model, Resource, Rule
from controller.api.rules import duration_rule
from controller.api.values import (
    DURATION,
    LIST_MAP_BY_NAME,
    Count,
    Duration,
    Generation,
    ObjectName,
)
from controller.api.volume import Volume


class LocalObjectReference(Model):
    """An object in the same namespace."""

    name: ObjectName
    """The object's name."""


class Network(Model):
    """What the instance's containers may reach."""

    egress: Literal["None", "Internet"] = "None"
    """None: nothing but each other; Internet: public addresses and their names too, never private
    ones, the node's or other instances'."""


class TemplateSpec(Model):
    """What an instance consists of."""

    rules: ClassVar = (
        Rule(
            "self.containers.all(c, !has(c.ports) || c.ports.all(p, !has(p.name) || "
            "self.containers.map(d, has(d.ports) ? "
            "d.ports.filter(q, has(q.name) && q.name == p.name).size() : 0).sum() == 1))",
            "the names in containers[*].ports[*].name must be unique over all containers",
            ".containers",
        ),
        Rule(
            "self.containers.map(c, has(c.ports) ? c.ports.size() : 0).sum() <= 32",
            "containers[*].ports must be at most 32 over all containers",
            ".containers",
        ),
        Rule(
            "self.containers.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, "
            "has(self.volumes) && self.volumes.exists(v, v.name == m.name)))",
            "containers[*].volumeMounts[*].name must be the name of one of volumes",
            ".containers",
        ),
    )

    containers: Annotated[
        list[Container], Field(min_length=1, max_length=10, json_schema_extra=LIST_MAP_BY_NAME)
    ]
    """The instance's containers, 1 to 10. They start in this order and reach each other by name."""
    volumes: Annotated[list[Volume], Field(max_length=16, json_schema_extra=LIST_MAP_BY_NAME)] = (
        Field(default_factory=list)
    )
    """The volumes that containers can mount."""
    restart_policy: Literal["Always", "OnFailure", "Never"] = "Always"
    """Whether a container that ends is started again; restarts are counted and bounded. What the
    engine or a reboot has ended is started again in any case, and not counted."""
    image_pull_secrets: Annotated[
        list[LocalObjectReference], Field(max_length=8, json_schema_extra=LIST_MAP_BY_NAME)
    ] = Field(default_factory=list)
    """Secrets of type kubernetes.io/dockerconfigjson with the registries' passwords, tried in this
    order; each must bear the label challenge-controller.io/use: "true"."""
    termination_grace_period_seconds: Annotated[
        int, Field(ge=0, le=300, json_schema_extra={"format": "int32"})
    ] = 5
    """Seconds between SIGTERM and SIGKILL, 0 to 300. Shorter than a Pod's 30: a challenge has
    nothing to save, and a removal holds its place in the launch gate that long."""
    network: Network = Network()
    """What the instance's containers may reach."""


class TtlPolicy(Model):
    """How long instances live."""

    rules: ClassVar = (
        duration_rule("default", zero=True),
        duration_rule("maximum", zero=False),
        Rule(
            f"!has(self.default) || !has(self.maximum) || !self.default.matches('{DURATION}') || "
            f"!self.maximum.matches('{DURATION}') || (duration(self.default) > duration('0s') && "
            "duration(self.default) <= duration(self.maximum))",
            "default must not be above maximum, and not 0 (never) beside one",
            ".default",
        ),
    )

    default: Duration | None = None
    """The ttl of an instance that does not set one, such as 45m; 0 is never. Without it the
    controller's own (CHALLENGE_PRUNE_AGE, 1h), cut to the maximum."""
    maximum: Duration | None = None
    """The longest ttl that an instance can have; a longer one, or never, is cut to it. Without it
    there is none."""


class Policy(Model):
    """What a Challenge lays down for its instances beside the template."""

    ttl: TtlPolicy = TtlPolicy()
    """How long instances live from the moment that they are ready or renewed."""
    max_lifetime: Duration | None = None
    """The longest time from the first Ready to the end, however often an instance is renewed."""
    node_loss_policy: Literal["Reschedule", "Wait"] = "Reschedule"
    """When the node of an instance is lost: Reschedule moves it to another one, Wait keeps it."""


class ChallengeSpec(Policy):
    """A template and the policy for its instances."""

    rules: ClassVar = (duration_rule("maxLifetime", zero=False),)

    template: TemplateSpec
    """What an instance consists of."""
    pre_pull: bool = False
    """Whether every node pulls the images before an instance asks for them."""


class ChallengeStatus(Model):
    """What has become of a Challenge."""

    observed_generation: Generation = -1
    """The metadata.generation that the status is about."""
    instances: Count | None = None
    """How many instances refer to it."""
    pre_pulled: Annotated[str, Field(max_length=32, pattern="^[0-9]+/[0-9]+ nodes$")] | None = None
    """How many of all nodes, ready or not, have its images, such as `2/3 nodes`; with prePull."""
    conditions: Conditions = Field(default_factory=list)
    """Its state, aspect by aspect."""


class Challenge(Resource):
    """A reusable template of instances, and the policy for them."""

    KIND: ClassVar = "Challenge"
    PLURAL: ClassVar = "challenges"
    SHORT_NAME: ClassVar = "chal"

    spec: ChallengeSpec
    """A template and the policy for its instances."""
    status: ChallengeStatus = Field(default_factory=ChallengeStatus)
    """What has become of it; written by the controller."""
