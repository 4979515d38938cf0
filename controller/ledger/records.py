"""What the ledger tells: frozen rows, free of SQL.

Responsible for the shape of what goes over the ledger's door. Timestamps are integer milliseconds
since 1970 in UTC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance and the host ports that it holds (port name → host port)."""

    uid: str
    namespace: str
    name: str
    challenge: str | None = None
    ports: Mapping[str, int] = field(default_factory=dict)
    is_finalized: bool = False
    created: int = 0
    attempt_started: int | None = None
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class Slot:
    """One warm slot: launched ahead for a challenge; `instance` is the uid that claimed it."""

    slot: str
    namespace: str
    challenge: str
    template: str
    ports: Mapping[str, int]
    instance: str | None
    created: int
    claimed: int | None


@dataclass(frozen=True, slots=True)
class Subnet:
    """One subnet given out; `owner` is an instance's uid or the name of a shared network."""

    owner: str
    pool: IPv4Network
    subnet: IPv4Network


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A port put aside; `until` is None when it stays aside until it is lifted."""

    port: int
    until: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Usage:
    """How many ports are in which state; every port of the ledger counts once.

    `reserved` ports belong to an instance or a slot; for `confirmed` ones Docker was seen to hold
    them; `quarantined` ones are put aside, whoever had them.
    """

    free: int
    reserved: int
    confirmed: int
    quarantined: int


@dataclass(frozen=True, slots=True)
class PortTotals:
    """How many ports the ledger has, in the range or held outside of it.

    `held` ones belong to an instance or a slot, `aside` ones to nobody, and nobody gets them.
    `outside` are those of the `total` that will leave the ledger, since they are not in the range.
    """

    total: int
    held: int
    aside: int
    outside: int = 0

    @property
    def free(self) -> int:
        """Ports that can be handed out now."""
        return self.total - self.held - self.aside


@dataclass(frozen=True, slots=True)
class Totals:
    """How much of the node is taken, in numbers; `subnets` are those of one pool."""

    ports: PortTotals
    instances: int
    subnets: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A broken invariant: `kind` is a constant, `detail` names the rows."""

    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Everything:
    """All that a ledger holds at one moment."""

    meta: Mapping[str, str]
    usage: Usage
    instances: Sequence[Instance]
    slots: Sequence[Slot]
    subnets: Sequence[Subnet]
    quarantined: Sequence[Quarantine]
