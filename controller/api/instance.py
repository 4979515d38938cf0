"""The kind ChallengeInstance: one running copy of a challenge, and how it is resolved.

Must not decide where or how an instance runs. What is immutable is so by rules on the whole spec
with `has()`: a rule on the field alone would not see its removal.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from controller.api.challenge import Policy, TemplateSpec
from controller.api.conditions import Conditions
from controller.api.meta import GROUP, Model, OwnerReference, Resource, Rule
from controller.api.rules import RESERVED_ENV_RULE, duration_rule, immutable_rule, label_keys_rule
from controller.api.values import (
    LIST_MAP_BY_NAME,
    Address,
    Count,
    DataKey,
    DnsLabel,
    Duration,
    Generation,
    ImageName,
    LabelValue,
    ObjectName,
    Port,
    Protocol,
    Seed,
    Text,
    Timestamp,
    User,
    UserTimestamp,
    fit,
)

NodeSelector = Annotated[dict[str, LabelValue], Field(max_length=16)]
EngineWords = Annotated[
    str,
    BeforeValidator(lambda text: fit(text, 1024) if isinstance(text, str) else text),
    Field(max_length=1024),
]
PortKey = Annotated[str, Field(min_length=1, max_length=80, pattern="^[a-z0-9][-a-z0-9]*$")]


class ChallengeReference(Model):
    """A Challenge in the same namespace."""

    name: ObjectName
    """The Challenge's name."""


class InstanceEnvVar(Model):
    """A variable that every container gets as CHALLENGE_<name>."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern="^[A-Z_][A-Z0-9_]*$")]
    """The name after CHALLENGE_: capitals, digits and _; not USER_ID and SEED."""
    value: Text
    """The value; everybody who may read the instance can read it, so not for secrets."""


class FlagSecretReference(Model):
    """One key of a Secret."""

    name: ObjectName
    """The Secret's name, in the instance's namespace; it must bear the label
    challenge-controller.io/use: "true"."""
    key: DataKey = "flag"
    """The key in the Secret's data."""


InstanceEnv = Annotated[
    list[InstanceEnvVar], Field(max_length=64, json_schema_extra=LIST_MAP_BY_NAME)
]


class InstanceSpec(Model):
    """What is asked for. Only ttl, renewTime, suspended and onExpiry can be changed."""

    rules: ClassVar = (
        Rule(
            "has(self.challengeRef) != has(self.template)",
            "exactly one of challengeRef and template must be set",
        ),
        *(
            immutable_rule(field, "instance")
            for field in (
                "challengeRef",
                "template",
                "user",
                "seed",
                "env",
                "flagSecretRef",
                "nodeName",
                "nodeSelector",
            )
        ),
        duration_rule("ttl", zero=True),
        # By its schema alone the API server takes a list for a time.
        Rule(
            "!has(self.renewTime) || self.renewTime <= timestamp('9999-12-31T00:00:00Z')",
            "renewTime must be a time such as 2026-01-31T12:00:00Z",
            ".renewTime",
        ),
        RESERVED_ENV_RULE,
        label_keys_rule("nodeSelector"),
    )

    challenge_ref: ChallengeReference | None = None
    """The Challenge that this is a copy of; or else template."""
    template: TemplateSpec | None = None
    """What the instance consists of, written out; or else challengeRef."""
    user: User | None = None
    """Whose instance it is, such as a user's or a team's ID; the containers get it as
    CHALLENGE_USER_ID. Quotas and the order of the queue go by it."""
    seed: Seed | None = None
    """What makes this copy differ from others of the challenge; the containers get it as
    CHALLENGE_SEED. A string: write numbers in quotes."""
    env: InstanceEnv = Field(default_factory=list)
    """Variables that every container gets as CHALLENGE_<name>."""
    flag_secret_ref: FlagSecretReference | None = None
    """The Secret with the flag, for the containers with mountFlag."""
    node_name: ObjectName | None = None
    """The ChallengeNode that it must run on; without it the manager chooses."""
    node_selector: NodeSelector = Field(default_factory=dict)
    """Labels that its ChallengeNode must have."""
    ttl: Duration | None = None
    """How long it lives from the moment that it is ready or renewed, such as 45m or 1h30m; 0 is
    never. Without it the Challenge's default, and without that the controller's. Never more than
    the Challenge's maximum."""
    renew_time: UserTimestamp | None = None
    """When it was renewed: its time starts anew from here; a time in the future counts as now."""
    suspended: bool = False
    """Whether its containers are paused; ports are kept, and its time goes on."""
    on_expiry: Literal["Delete", "Retain"] = "Delete"
    """When its time is over: Delete deletes the object with all of it; Retain takes containers and
    ports away and keeps the object, and more ttl brings it back on new ports."""


class PortStatus(Model):
    """A port that players reach."""

    name: PortKey
    """The port's name in the template, or <container>-<containerPort>-<protocol>."""
    container_name: DnsLabel
    """The container's name."""
    container_port: Port
    """The port that the program in the container listens on."""
    host_port: Port
    """The port of the node."""
    protocol: Protocol = "TCP"
    """TCP or UDP."""
    endpoint: Annotated[str, Field(min_length=1, max_length=300)]
    """Where players connect to: host:port."""


class ContainerStatus(Model):
    """What has become of a container."""

    name: DnsLabel
    """The container's name."""
    image: ImageName
    """The image as the template names it."""
    image_id: Annotated[str, Field(max_length=640)] | None = None
    """The image that runs, with its digest if the engine knows one."""
    state: Literal["Waiting", "Running", "Paused", "Terminated"] = "Waiting"
    """Whether it runs."""
    ready: bool = False
    """Whether it answers its probe."""
    restart_count: Count = 0
    """How often it was started again after it ended by itself."""
    exit_code: Annotated[int, Field(ge=0, le=255, json_schema_extra={"format": "int32"})] | None = (
        None
    )
    """The exit code of its last end, 0 to 255."""
    reason: Annotated[str, Field(max_length=128)] | None = None
    """Why it waits or ended, such as Error or OOMKilled."""
    message: EngineWords | None = None
    """Why, in the engine's words, cut to 1024 characters."""
    started_at: Timestamp | None = None
    """When it was last started."""


class InstanceStatus(Model):
    """What has become of an instance. One holder at a time writes all of it."""

    observed_generation: Generation = -1
    """The metadata.generation that the status is about."""
    node_name: ObjectName | None = None
    """The ChallengeNode that it runs on."""
    template: TemplateSpec | None = None
    """What it consists of, as resolved when it was placed: it stays so if the Challenge changes."""
    policy: Policy | None = None
    """The Challenge's policy, as resolved when it was placed."""
    address: Address | None = None
    """The host that players connect to."""
    ports: Annotated[list[PortStatus], Field(max_length=32, json_schema_extra=LIST_MAP_BY_NAME)] = (
        Field(default_factory=list)
    )
    """The ports that players reach."""
    containers: Annotated[
        list[ContainerStatus], Field(max_length=10, json_schema_extra=LIST_MAP_BY_NAME)
    ] = Field(default_factory=list)
    """What has become of its containers."""
    start_time: Timestamp | None = None
    """When its node began with it, or began anew because a restart was asked for."""
    ready_time: Timestamp | None = None
    """When it was first ready."""
    expiration_time: Timestamp | None = None
    """When its time is over; unset before it is ready, and for an instance that lives for ever."""
    pool_uid: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The uid of the ChallengePool that it belongs to, as the manager found it when it was placed:
    it does not expire as long as its ownerReferences name that pool as its controller."""
    conditions: Conditions = Field(default_factory=list)
    """Its state, aspect by aspect."""


class ChallengeInstance(Resource):
    """One running copy of a challenge."""

    KIND: ClassVar = "ChallengeInstance"
    PLURAL: ClassVar = "challengeinstances"
    SHORT_NAME: ClassVar = "chinst"

    spec: InstanceSpec
    """What is asked for. Only ttl, renewTime, suspended and onExpiry can be changed."""
    status: InstanceStatus = Field(default_factory=InstanceStatus)
    """What has become of it; written by the controller."""

    @property
    def is_pool_managed(self) -> bool:
        """Whether a ChallengePool owns it, and the manager vouches for that; it never expires.

        An ownerReference alone is not enough: whoever creates an instance can write one.
        """
        pool = self.pool
        return pool is not None and pool.uid == self.status.pool_uid

    @property
    def pool(self) -> OwnerReference | None:
        """The ChallengePool that the instance says manages it; there may be none of that uid."""
        owner = self.metadata.controller
        if owner is None or owner.kind != "ChallengePool":
            return None
        return owner if owner.api_version.startswith(f"{GROUP}/") else None
