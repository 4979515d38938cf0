"""Names and labels are an interface to what earlier versions left in an engine."""

from ipaddress import IPv4Network

import pytest

from controller.runtime import labels
from controller.runtime.labels import Owner

UID = "0b9c6a5e-1f0e-4c55-9d1d-2f6f9f3c0d11"


def test_names_stay_what_they_are() -> None:
    assert labels.container_name(UID, "web") == f"chal-{UID}-web"
    assert labels.name_prefix(UID) == f"chal-{UID}"
    assert labels.shared_network_name("main", 3) == "chal-main-shared-3"
    subnet = IPv4Network("10.213.0.32/27")
    assert labels.own_network_name("main", subnet) == "chal-main-own-10.213.0.32"
    internet = labels.own_network_name("main", subnet, labels.EGRESS_INTERNET)
    assert internet == "chal-main-own-internet-10.213.0.32"


def test_a_bridge_has_a_name_that_the_kernel_takes_and_one_rule_can_match() -> None:
    names = {
        labels.bridge_name("main", "instance", "None", labels.name_prefix(f"{UID}{number}"))
        for number in range(1000)
    }
    assert len(names) == 1000
    assert all(len(name) == 15 for name in names)
    assert all(name.startswith(labels.bridges_of("main", "instance", "None")) for name in names)
    assert labels.bridge_name("main", "shared", "None", "chal-main-shared-0") == "chal-bvxsw7eesy"


def test_bridges_of_other_kinds_and_installations_are_matched_by_other_rules() -> None:
    begins = {
        labels.bridges_of(installation, kind, egress)
        for installation in ("main", "other")
        for kind in ("shared", "instance")
        for egress in ("None", "Internet")
    }
    assert len(begins) == 8
    assert all(one == two or not one.startswith(two) for one in begins for two in begins)
    assert labels.shared_network_name("main", 3, "Internet") == "chal-main-internet-3"


def test_labels_say_whose_a_container_is() -> None:
    owner = Owner("main", "n1", UID, "team-a", "web-1", "abc")
    network = {
        "challenge-controller.io/installation": "main",
        "challenge-controller.io/node": "n1",
        "challenge-controller.io/instance-uid": UID,
        "challenge-controller.io/instance-namespace": "team-a",
        "challenge-controller.io/instance-name": "web-1",
        "challenge-controller.io/template-hash": "abc",
    }
    assert owner.labels() == network
    assert owner.labels("db") == network | {"challenge-controller.io/container": "db"}


@pytest.mark.parametrize("name", ["a b", "a/b", "a\nb", "é"])
def test_a_name_that_the_engine_would_refuse_is_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a container"):
        labels.container_name(UID, name)
    with pytest.raises(ValueError, match="expected letters"):
        labels.shared_network_name(name, 0)
