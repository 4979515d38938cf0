"""The audit finds each kind of thing that is lost, collides or leaks, and nothing where none is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controller.ledger import Instance as Row
from hack.bed.audit import Wanted, engine_remains, judge
from hack.bed.inventory import FoundContainer, FoundNetwork, Inventory, doors, named_bridges

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
Object = dict[str, Any]


def an_object(
    name: str = "web", *, uid: str = "u1", port: int = 10001, ready: bool = True, **spec: Any
) -> Object:
    """An instance of one container and one port on node-1, as its agent would tell of it."""
    kind = "Suspended" if spec.get("suspended") else "Ready"
    status = {
        "observedGeneration": 1,
        "nodeName": "node-1",
        "template": {"containers": [{"name": "echo"}]},
        "ports": [
            {
                "name": "http",
                "containerName": "echo",
                "containerPort": 8080,
                "hostPort": port,
                "endpoint": f"10.0.0.1:{port}",
            }
        ],
        "conditions": [{"type": kind, "status": str(ready), "reason": "Probing", "message": "-"}],
    }
    metadata = {"namespace": "n", "name": name, "uid": uid, "generation": 1}
    return {"metadata": metadata, "spec": spec, "status": status}


def a_row(uid: str = "u1", port: int = 10001) -> Row:
    return Row(uid=uid, namespace="n", name="web", ports={"http": port}, is_finalized=True)


def a_container(uid: str = "u1", port: int = 10001, state: str = "running") -> FoundContainer:
    return FoundContainer(f"chal-{uid}-echo", uid, state, frozenset({port}), "shared-0")


def a_node(**fields: Any) -> Inventory:
    """Node 1 with the instance above on it."""
    whole = Inventory(
        node="node-1",
        address="10.0.0.1",
        containers=(a_container(),),
        networks=(FoundNetwork("shared-0", "shared", "10.212.0.0/22", "chal-abcs111111"),),
        rows=(a_row(),),
        ports_held=1,
        doors=frozenset({10001}),
    )
    return replace(whole, **fields)


WISH = Wanted("n", "web", "u1")


def found(
    *objects: Object, nodes: tuple[Inventory, ...] = (), wanted: tuple[Wanted, ...] = (WISH,)
) -> list[str]:
    return judge(objects or [an_object()], nodes or [a_node()], wanted, now=NOW)


def changed(**status: Any) -> Object:
    body = an_object()
    body["status"] |= status
    return body


def test_nothing_is_found_where_all_is_as_wanted() -> None:
    assert found() == []


def test_nothing_is_found_where_nothing_is_wanted_and_nothing_is_there() -> None:
    assert judge([], [Inventory("node-1")], [], now=NOW) == []


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (a_node(containers=()), "has no container chal-u1-echo that is running on node-1"),
        (a_node(containers=(a_container(state="exited"),)), "chal-u1-echo is exited"),
        (
            a_node(containers=(a_container(), FoundContainer("chal-u1-old", "u1", "exited"))),
            "has a container chal-u1-old too many",
        ),
        (
            a_node(containers=(a_container(), FoundContainer("x", "u9", "running"))),
            "container x (running) belongs to no instance here",
        ),
        (a_node(volumes={"v": "u9"}), "volume v belongs to no instance here"),
        (a_node(folders=frozenset({".new-u1"})), "folder .new-u1 belongs to no instance here"),
        (a_node(rows=()), "has no row in the ledger"),
        (a_node(rows=(a_row(port=10002),)), "the ledger of node-1 of {'http': 10002}"),
        (a_node(rows=(replace(a_row(), is_finalized=False),)), "is not finalized"),
        (
            a_node(rows=(a_row(), a_row("u9", 10002)), ports_held=2),
            "row of n/web (u9) belongs to no instance here",
        ),
        (a_node(ports_held=3), "3 ports are held, 1 of them by instances"),
        (a_node(subnets={"10.213.0.0/27": "u9"}), "belongs to u9, which has no row"),
        (
            a_node(containers=(a_container(port=10009),)),
            "tells of ports [10001], its containers have [10009]",
        ),
        (
            a_node(containers=(a_container(port=10009),)),
            "firewall rule for port 10001, which is an instance's and no container publishes",
        ),
        (a_node(problems=("PortMissing: 1",)), "ledger: PortMissing: 1"),
        (
            a_node(
                networks=tuple(
                    FoundNetwork(f"own-{n}", "instance", f"10.213.0.{n}/27") for n in range(17)
                )
            ),
            "17 networks are kept for the next instances, 16 at most",
        ),
    ],
)
def test_a_node_that_has_too_little_or_too_much_is_told(node: Inventory, said: str) -> None:
    texts = found(nodes=(node,))
    assert any(said in text for text in texts), texts


def test_networks_without_any_instance_are_told() -> None:
    node = replace(Inventory("node-1"), networks=a_node().networks)
    assert judge([], [node], [], now=NOW) == [
        "node-1: network shared-0 is left without any instance"
    ]


def test_the_container_of_an_instance_that_is_on_another_node_is_told() -> None:
    other = Inventory("node-2", containers=(a_container(),))
    assert found(nodes=(a_node(), other)) == [
        "node-2: container chal-u1-echo (running) belongs to no instance here"
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (an_object(ready=False), "is not Ready: Probing on node-1: -"),
        (changed(observedGeneration=0), "shows generation 0 of 1"),
        (changed(nodeName="node-9"), "on no node that there is: node-9"),
        (changed(expirationTime="2026-05-01T11:59:00Z"), "should have ended at"),
    ],
)
def test_an_instance_that_is_not_as_it_should_be_is_told(body: Object, said: str) -> None:
    texts = found(body)
    assert any(said in text for text in texts), texts


def test_an_instance_that_was_just_due_is_given_some_time() -> None:
    assert found(changed(expirationTime="2026-05-01T11:59:45Z")) == []


def test_an_instance_that_is_held_by_a_finalizer_is_told() -> None:
    body = an_object()
    body["metadata"] |= {"deletionTimestamp": "2026-05-01T11:00:00Z", "finalizers": ["agent"]}
    assert any("is being deleted since" in text for text in found(body, wanted=()))


def test_a_suspended_instance_has_paused_containers() -> None:
    body, wish = an_object(suspended=True), replace(WISH, state="Suspended")
    paused = a_node(containers=(a_container(state="paused"),))
    assert found(body, nodes=(paused,), wanted=(wish,)) == []
    assert any("no container" in text for text in found(body, wanted=(wish,)))
    assert any("nobody wants it to be" in text for text in found(body, nodes=(paused,)))


def test_an_expired_instance_that_was_retained_has_nothing_any_more() -> None:
    body = changed(
        conditions=[{"type": "Expired", "status": "True"}],
        ports=[],
        expirationTime="2026-05-01T11:00:00Z",
    )
    body["spec"]["onExpiry"] = "Retain"
    assert judge([body], [Inventory("node-1")], [WISH], now=NOW) == []
    assert any("has expired and has containers" in text for text in found(body))
    assert any("has expired and has a row" in text for text in found(body))


def test_who_was_not_deleted_and_is_gone_is_lost() -> None:
    assert judge([], [Inventory("node-1")], [WISH], now=NOW) == [
        "n/web (u1) is lost: nobody has deleted it, and its time is not over"
    ]
    brief = replace(WISH, may_be_gone=True)
    assert judge([], [Inventory("node-1")], [brief], now=NOW) == []


def test_who_was_deleted_and_is_there_is_told() -> None:
    assert found(wanted=()) == ["n/web (u1) is still there, and was deleted"]


def test_another_instance_of_the_name_does_not_stand_in_for_one_that_is_lost() -> None:
    texts = found(wanted=(replace(WISH, uid="u0"),))
    assert any("(u0) is lost" in text for text in texts)
    assert any("(u1) is still there" in text for text in texts)


def test_a_renewal_that_was_lost_is_told() -> None:
    wish = replace(WISH, lives_until=NOW + timedelta(hours=1))
    assert found(changed(expirationTime="2026-05-01T13:30:00Z"), wanted=(wish,)) == []
    early = changed(expirationTime="2026-05-01T12:30:00Z")
    assert any("was renewed until" in text for text in found(early, wanted=(wish,)))


def test_two_instances_that_tell_of_one_port_collide() -> None:
    other = an_object("other", uid="u2")
    wanted = (WISH, replace(WISH, name="other", uid="u2"))
    texts = found(an_object(), other, wanted=wanted)
    assert "10.0.0.1:10001 collides: it is told by n/other (u2) and n/web (u1)" in texts


def test_a_port_that_the_engine_has_lost_track_of_is_told_apart() -> None:
    node = a_node(doors=frozenset({10001, 10007}))
    assert found(nodes=(node,)) == []
    assert engine_remains([node]) == ["node-1: dockerd maps port 10007 to no container"]
    assert engine_remains([a_node()]) == []
    (rule,) = engine_remains([a_node(bridges_in_rules=frozenset({"chal-gone"}))])
    assert "firewall rule for bridge chal-gone, which no network has" in rule


RULES = """\
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER ! -i chal-abcs222222 -p tcp -m tcp --dport 10001 -j DNAT --to-destination 10.212.0.2:8080
-A DOCKER ! -i chal-abcs222222 -p udp -m udp --dport 10002 -j DNAT --to-destination 10.212.0.2:9000
-A FORWARD -o chal-abcs222222 -j DOCKER
-A DOCKER-USER -i chal-abc+ -j CHALLENGE-FORWARD-11111111
-A DOCKER -d 10.212.0.2/32 ! -i chal-abcs222222 -o chal-abcs222222 -p tcp -m tcp --dport 8080 -j ACCEPT
"""  # noqa: E501


def test_rules_tell_the_ports_that_are_open_and_the_bridges_that_they_name() -> None:
    assert doors(RULES) == {10001, 10002}
    assert named_bridges(RULES) == {"chal-abcs222222"}
