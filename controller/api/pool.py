"""The kind ChallengePool: instances of a Challenge that are kept running.

Must not say how instances are replaced: that is the manager's part.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from controller.api.conditions import Conditions
from controller.api.instance import (
    ChallengeReference,
    FlagSecretReference,
    InstanceEnv,
    NodeSelector,
)
from controller.api.meta import Model, Resource, Rule
from controller.api.rules import RESERVED_ENV_RULE, immutable_rule, label_keys_rule
from controller.api.values import LIST_SET, Count, Described, Generation, LabelValue, Seed, Text

Replicas = Annotated[int, Field(ge=0, le=1000, json_schema_extra={"format": "int32"})]
PoolSeed = Annotated[Seed, Described("A seed; a string: write numbers in quotes.")]
AnnotationValue = Annotated[Text, Described("The annotation's value.")]


class InstanceMetadata(Model):
    """Labels and annotations of the pool's instances."""

    rules: ClassVar = (label_keys_rule("labels"), label_keys_rule("annotations"))

    labels: Annotated[dict[str, LabelValue], Field(max_length=32)] = Field(default_factory=dict)
    """Labels of the pool's instances, beside the pool's own."""
    annotations: Annotated[dict[str, AnnotationValue], Field(max_length=32)] = Field(
        default_factory=dict
    )
    """Annotations of the pool's instances."""


class PoolInstanceSpec(Model):
    """What the spec of the pool's instances has beside challengeRef and seed."""

    rules: ClassVar = (RESERVED_ENV_RULE, label_keys_rule("nodeSelector"))

    env: InstanceEnv = Field(default_factory=list)
    """Variables that every container gets as CHALLENGE_<name>."""
    flag_secret_ref: FlagSecretReference | None = None
    """The Secret with the flag, for the containers with mountFlag."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels that the instances' ChallengeNode must have."""


class InstanceTemplate(Model):
    """What the pool's instances look like."""

    metadata: InstanceMetadata = InstanceMetadata()
    """Labels and annotations of the pool's instances."""
    spec: PoolInstanceSpec = PoolInstanceSpec()
    """What the spec of the pool's instances has beside challengeRef and seed."""


class UpdateStrategy(Model):
    """How instances are replaced when the template has changed."""

    rules: ClassVar = (
        Rule(
            "self.maxUnavailable > 0 || self.maxSurge > 0",
            "maxUnavailable and maxSurge must not both be 0",
        ),
    )

    max_unavailable: Replicas = 0
    """How many instances over all seeds may be missing meanwhile."""
    max_surge: Replicas = 1
    """How many instances over all seeds there may be too many meanwhile."""


class PoolSpec(Model):
    """Which instances are kept running."""

    rules: ClassVar = (
        Rule(
            "self.seeds.size() * self.replicas <= 10000",
            "replicas times the number of seeds must be at most 10000",
            ".replicas",
        ),
        immutable_rule("challengeRef", "pool"),
    )

    challenge_ref: ChallengeReference
    """The Challenge that the instances are copies of."""
    seeds: Annotated[
        list[PoolSeed], Field(min_length=1, max_length=1000, json_schema_extra=LIST_SET)
    ]
    """The seeds, 1 to 1000; each has instances of its own."""
    replicas: Replicas = 1
    """How many instances each seed has, 0 to 1000; 0: none is kept running."""
    instance_template: InstanceTemplate = InstanceTemplate()
    """What the pool's instances look like."""
    update_strategy: UpdateStrategy = UpdateStrategy()
    """How instances are replaced when the template has changed."""


class PoolStatus(Model):
    """What has become of a pool."""

    observed_generation: Generation = -1
    """The metadata.generation that the status is about."""
    replicas: Count | None = None
    """How many instances each seed has: the lowest number over the seeds."""
    instances: Count | None = None
    """How many instances there are, over all seeds."""
    ready_instances: Count | None = None
    """How many of them are ready."""
    selector: Annotated[str, Field(max_length=1024)] | None = None
    """The label selector of the pool's instances, for autoscalers."""
    conditions: Conditions = Field(default_factory=list)
    """Its state, aspect by aspect."""


class ChallengePool(Resource):
    """Instances of a Challenge that are kept running."""

    KIND: ClassVar = "ChallengePool"
    PLURAL: ClassVar = "challengepools"
    SHORT_NAME: ClassVar = "chpool"

    spec: PoolSpec
    """Which instances are kept running."""
    status: PoolStatus = Field(default_factory=PoolStatus)
    """What has become of it; written by the controller."""
