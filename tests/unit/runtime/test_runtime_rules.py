"""The rules as text: what each installation is to have, whoever else is on the engine."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from controller.runtime import rules
from controller.runtime.rules import NOT_PUBLIC, Chain, Policy

POLICY = Policy("main", (IPv4Address("1.1.1.1"),), (IPv4Network("8.8.4.4/32"),))


def chain(part: str, chains: tuple[Chain, ...]) -> Chain:
    """The chain whose name has that part."""
    (found,) = [each for each in chains if f"-{part}-" in each.name]
    return found


@pytest.mark.parametrize("installation", ["a", "default", "x" * 40])
def test_the_kernel_takes_every_name(installation: str) -> None:
    """XT_EXTENSION_MAXNAMELEN is 29 with the closing NUL; interfaces end at 15 characters."""
    policy = Policy(installation)
    for each in (*rules.ipv4(policy), *rules.ipv6(policy)):
        assert len(each.name) <= 28
        links = [word for word in each.match.split() if word.startswith("chal-")]
        assert all(len(link) <= 15 for link in links)


def test_installations_have_chains_and_bridges_of_their_own() -> None:
    one, two = rules.ipv4(POLICY), rules.ipv4(Policy("other"))
    assert {c.name for c in one}.isdisjoint(c.name for c in two)
    assert {c.match for c in one if c.parent}.isdisjoint(c.match for c in two if c.parent)


def test_whatever_is_not_named_is_refused_last() -> None:
    chains = rules.ipv4(POLICY)
    refuse = chain("REFUSE", chains)
    for part in ("FORWARD", "INPUT"):
        assert chain(part, chains).rules[-1] == f"-g {refuse.name}"
    assert all("-j REJECT" in rule for rule in refuse.rules)
    assert not refuse.rules[-1].startswith("-p"), "every protocol"


def test_ipv6_has_no_exception() -> None:
    assert {each.rules for each in rules.ipv6(POLICY)} == {("-j DROP",)}
    assert {each.parent for each in rules.ipv6(POLICY)} == {"INPUT", "FORWARD"}


@pytest.mark.parametrize(
    "address",
    [
        *("0.1.2.3", "10.1.2.3", "100.127.255.255", "127.0.0.1"),
        *("169.254.169.254", "172.31.0.1", "192.0.0.192", "192.168.1.1"),
        *("198.19.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255"),
    ],
)
def test_no_special_address_is_the_public_net(address: str) -> None:
    assert any(IPv4Address(address) in network for network in NOT_PUBLIC)


def test_a_resolver_may_be_private_and_is_asked_for_names_alone() -> None:
    internet = chain("INTERNET", rules.ipv4(Policy("main", (IPv4Address("10.0.0.53"),))))
    first = next(n for n, rule in enumerate(internet.rules) if rule.startswith("-d "))
    allowed = [rule for rule in internet.rules[:first] if rule.endswith("-j RETURN")]
    assert len(allowed) == 2
    assert all("--ctorigdst 10.0.0.53 --ctorigdstport 53 " in rule for rule in allowed)
