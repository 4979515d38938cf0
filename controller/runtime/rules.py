"""What packets of instances may do, as rules of iptables.

Responsible for the policy, and for its rules as `iptables-restore` reads them. It must not run
anything: putting them in force is the firewall's work. An installation's chains bear its name, and
its bridges' names begin with digits of it, so two installations can share an engine.

Matched is the bridge that a packet comes from, which its sender cannot choose; never its source
address. Everything is refused but what is named here.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from controller.runtime import labels
from controller.runtime.labels import EGRESS_INTERNET, EGRESS_NONE, KIND_INSTANCE, KIND_SHARED

CHAIN_PREFIX = "CHALLENGE-"

NOT_PUBLIC = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by carriers; some clouds have their metadata there
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local: cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; some clouds have their metadata there
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
"""What is not the public Internet (IANA's IPv4 Special-Purpose Address Registry, RFC 6890)."""

METADATA = (IPv4Network("168.63.129.16/32"),)
"""Public addresses behind which a cloud answers only its own machines: Azure's wire server."""

NAME_SERVICES = tuple((protocol, port) for port in (53, 853) for protocol in ("udp", "tcp"))
"""Plain DNS and DNS over TLS."""


@dataclass(frozen=True)
class Policy:
    """What is particular to an installation on this node.

    `resolvers` answer names to instances with egress Internet. `refused` are networks that these do
    not reach besides `NOT_PUBLIC`: a cluster's public addresses, say.
    """

    installation: str
    resolvers: tuple[IPv4Address, ...] = ()
    refused: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True)
class Chain:
    """A chain of ours: its rules, and the built-in or Docker's chain that jumps to it, if any.

    `match` says which packets it is asked about.
    """

    table: str
    name: str
    rules: tuple[str, ...]
    parent: str | None = None
    match: str = ""

    @property
    def jump(self) -> str:
        """The rule of the parent, as iptables prints it."""
        return f"-A {self.parent} {self.match} -j {self.name}"


def names(installation: str) -> dict[str, str]:
    """The names of an installation's chains by their part; 28 characters is the kernel's limit."""
    mark = hashlib.sha256(installation.encode()).hexdigest()[:8]
    parts = ("FORWARD", "INTERNET", "INPUT", "REFUSE", "SOURCE")
    return {part: f"{CHAIN_PREFIX}{part}-{mark}" for part in parts}


def ipv4(policy: Policy) -> tuple[Chain, ...]:
    """The chains for IPv4."""
    chain = names(policy.installation)
    ours = f"-i {labels.bridges(policy.installation)}+"
    return (
        Chain("filter", chain["REFUSE"], _refuse()),
        Chain("filter", chain["INTERNET"], tuple(_internet(policy, chain["REFUSE"]))),
        Chain("filter", chain["FORWARD"], tuple(_forward(policy)), "DOCKER-USER", ours),
        Chain("filter", chain["INPUT"], tuple(_input(policy)), "INPUT", ours),
        # A container that may send raw packets must not pass for another one.
        Chain("raw", chain["SOURCE"], ("-m rpfilter --invert -j DROP",), "PREROUTING", ours),
    )


def ipv6(policy: Policy) -> tuple[Chain, ...]:
    """The chains for IPv6: networks of ours have none, so there is nothing to let through.

    A bridge has a link-local address all the same, and who sends raw packets needs none himself.
    """
    chain = names(policy.installation)
    ours = f"-i {labels.bridges(policy.installation)}+"
    drop = ("-j DROP",)
    return (
        Chain("filter", chain["FORWARD"], drop, "FORWARD", ours),
        Chain("filter", chain["INPUT"], drop, "INPUT", ours),
    )


_REPLY = "-m conntrack --ctstate ESTABLISHED --ctdir REPLY"
_BRIDGED = "-m physdev --physdev-is-bridged"


def _refuse() -> tuple[str, ...]:
    """Said aloud, so that a program inside fails at once instead of hanging."""
    return (
        "-p tcp -j REJECT --reject-with tcp-reset",
        "-j REJECT --reject-with icmp-admin-prohibited",
    )


def _forward(policy: Policy) -> Iterable[str]:
    """What goes through the host. To return is to go on to Docker's own rules.

    Docker lets containers of one bridge reach each other where that is wanted. A packet in the
    direction of a reply belongs to a connection that somebody else has opened: a player.
    """
    chain = names(policy.installation)
    for egress in (EGRESS_NONE, EGRESS_INTERNET):
        yield f"{_from(policy, KIND_INSTANCE, egress)} {_BRIDGED} -j RETURN"
    yield f"{_BRIDGED} -j DROP"
    yield f"{_REPLY} -j RETURN"
    for kind in (KIND_SHARED, KIND_INSTANCE):
        yield f"{_from(policy, kind, EGRESS_INTERNET)} -g {chain['INTERNET']}"
    yield f"-g {chain['REFUSE']}"


def _internet(policy: Policy, refuse: str) -> Iterable[str]:
    """What an instance with egress Internet opens itself."""
    yield "-m conntrack --ctstate INVALID -j DROP"
    for resolver in policy.resolvers:
        # As it was asked for: a cluster's own resolver has another address behind it.
        asked = f"--ctorigdst {resolver} --ctorigdstport 53"
        yield f"-p udp -m conntrack {asked} -j RETURN"
        yield f"-p tcp -m conntrack {asked} -j RETURN"
    # Redirected on its way: a port that this host publishes, a Service of the cluster.
    yield f"-m conntrack --ctstate DNAT -g {refuse}"
    for protocol, port in NAME_SERVICES:
        yield f"-p {protocol} -m {protocol} --dport {port} -g {refuse}"
    for network in (*NOT_PUBLIC, *METADATA, *policy.refused):
        yield f"-d {network} -g {refuse}"


def _input(policy: Policy) -> Iterable[str]:
    """What goes to the host itself: answers to probes and to docker-proxy, nothing else."""
    yield f"{_REPLY} -j ACCEPT"
    for resolver in policy.resolvers:  # the host may be one
        for kind in (KIND_SHARED, KIND_INSTANCE):
            source = _from(policy, kind, EGRESS_INTERNET)
            yield f"-d {resolver}/32 {source} -p udp -m udp --dport 53 -j ACCEPT"
            yield f"-d {resolver}/32 {source} -p tcp -m tcp --dport 53 -j ACCEPT"
    yield f"-g {names(policy.installation)['REFUSE']}"


def _from(policy: Policy, kind: str, egress: str) -> str:
    return f"-i {labels.bridges_of(policy.installation, kind, egress)}+"
