"""Whose subnet is whose, in a ledger that is older than what runs."""

from ipaddress import IPv4Network

import pytest

from controller.reconcile.ownsubnets import stale

FIRST, SECOND, THIRD, _ = IPv4Network("10.64.0.0/26").subnets(new_prefix=28)
WIDER = IPv4Network("10.64.0.0/27")


@pytest.mark.parametrize(
    ("held", "in_use", "expected"),
    [
        ({FIRST: "a", SECOND: "b"}, {"a": FIRST, "b": SECOND}, set()),
        ({FIRST: "a"}, {}, set()),
        ({FIRST: "gone"}, {"b": FIRST}, {"gone"}),
        ({WIDER: "gone"}, {"b": SECOND}, {"gone"}),
        ({FIRST: "a", SECOND: "b"}, {"a": SECOND, "b": FIRST}, {"a", "b"}),
        ({FIRST: "a", SECOND: "gone"}, {"a": THIRD, "b": SECOND}, {"a", "gone"}),
    ],
)
def test_who_holds_what_others_are_in_or_is_elsewhere_itself(
    held: dict[IPv4Network, str], in_use: dict[str, IPv4Network], expected: set[str]
) -> None:
    assert stale(held, in_use) == expected
