"""`kubectl challenge nodes` and `list`: what an operator sees at a glance."""

import json

import yaml

from tests.unit.cli.fake_api import NODES, instances, status
from tests.unit.cli.operator import Operator, ago, ahead, condition

HEAD = ["NAME", "STATUS", "INSTANCES", "PORTS", "MEMORY", "LAUNCHING", "WAITING"]


def lines(printed: str) -> list[list[str]]:
    return [[word.strip() for word in line.split("   ") if word] for line in printed.splitlines()]


def test_nodes_tell_what_is_taken_of_them_and_how_they_are(operator: Operator) -> None:
    operator.node("node-1")
    operator.node("node-2", unschedulable=True)
    operator.node("node-3", unschedulable=True, drain="Managed")
    operator.node("node-4", unschedulable=True, drain="All", ready="Unknown", reason="NodeLost")
    operator.api.put(NODES, {"metadata": {"name": "node-5"}})

    done = operator("nodes")

    assert done.exit_code == 0
    rest = ["3/100", "7/20000", "1.2Gi/4Gi", "2", "5", "20.10.24", "203.0.113.7", "4d"]
    assert lines(done.stdout) == [
        [*HEAD, "ENGINE", "ADDRESS", "AGE"],
        ["node-1", "Ready", *rest],
        ["node-2", "Ready,Cordoned", *rest],
        ["node-3", "Ready,Draining", *rest],
        ["node-4", "Unknown,Draining(all)", *rest],
        ["node-5", "Registering", *"--------"],
    ]


def test_sick_nodes_tell_why_beside_the_table(operator: Operator) -> None:
    operator.node(
        "node-1",
        condition("DockerReachable", "False", "DockerUnavailable", "no \x1b[31mdaemon"),
        condition("PortPressure", "True", "Low", "12 host ports are free"),
        condition("DiskPressure", "False", "Available"),
        condition("FirewallReady", "False", "FirewallOff", "off"),
        ready="False",
        reason="DockerUnavailable",
    )
    operator.node("node-2", condition("DockerReachable", "True", "Available"))

    done = operator("nodes")

    assert done.stderr.splitlines() == [
        "",
        "node-1: Ready is False for 15m, DockerUnavailable",
        r"node-1: DockerReachable is False for 15m, DockerUnavailable: no \x1b[31mdaemon",
        "node-1: PortPressure is True for 15m, Low: 12 host ports are free",
    ]


def test_nodes_by_name_and_one_that_there_is_not(operator: Operator) -> None:
    operator.node("node-1")
    operator.node("node-2")

    assert [line[0] for line in lines(operator("nodes", "node-2").stdout)] == ["NAME", "node-2"]
    missing = operator("nodes", "node-3")
    assert missing.exit_code == 3
    assert missing.stderr == (
        "Error: There is no ChallengeNode 'node-3'; there are node-1, node-2\n"
    )


def test_without_nodes_it_says_what_is_missing(operator: Operator) -> None:
    done = operator("nodes")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no agent has registered" in done.stderr


def test_list_tells_whose_where_and_how_long(operator: Operator) -> None:
    ports = [
        {
            "name": f"p{number}",
            "containerName": "c",
            "containerPort": 80,
            "hostPort": number,
            "endpoint": f"203.0.113.7:{number}",
        }
        for number in (10000, 10001)
    ]
    up = {"readyTime": ago(minutes=19)}
    operator.instance(
        "a", user="alice", status={"ports": ports, "expirationTime": ahead(minutes=41)} | up
    )
    operator.instance("b", ready="False", reason="PullingImage", node="")
    operator.instance("c", pool=True, status=up)
    operator.instance("d", condition("Suspended", "True", "Suspended"), ready="", status=up)
    operator.instance("e", meta={"deletionTimestamp": ago(seconds=1)})
    operator.instance("f", status={"expirationTime": ago(seconds=5)} | up)
    operator.instance("g", challengeRef=None, template={"containers": [CONTAINER]})

    done = operator("list", "-n", "team")

    assert done.exit_code == 0
    assert lines(done.stdout) == [
        ["NAME", "USER", "CHALLENGE", "NODE", "ADDRESS", "READY", "REASON", "AGE", "LEFT"],
        ["a", "alice", "echo", "node-1", "203.0.113.7:10000 +1", "True", "Ready", "20m", "41m"],
        ["b", "-", "echo", "-", "-", "False", "PullingImage", "20m", "-"],
        ["c", "-", "echo", "node-1", "-", "True", "Ready", "20m", "never"],
        ["d", "-", "echo", "node-1", "-", "-", "Suspended", "20m", "never"],
        ["e", "-", "echo", "node-1", "-", "False", "Deleting", "20m", "-"],
        ["f", "-", "echo", "node-1", "-", "True", "Ready", "20m", "over"],
        ["g", "-", "-", "node-1", "-", "True", "Ready", "20m", "-"],
    ]
    wide = lines(operator("list", "-n", "team", "-o", "wide").stdout)
    assert wide[0][-3:] == ["POOL", "SEED", "MESSAGE"]
    assert wide[1][4] == "203.0.113.7:10000,203.0.113.7:10001"
    assert wide[3][-3:] == ["echo", "-", "-"]


CONTAINER = {"name": "c", "image": "echo"}


def test_list_filters(operator: Operator) -> None:
    operator.instance("a", user="alice")
    operator.instance("b", user="bob", node="node-2", ready="Unknown", reason="NodeLost")
    operator.instance("c", challengeRef={"name": "other"}, ready="False", reason="Launching")
    operator.instance("d", condition("Expired", "True", "Expired"), ready="")
    operator.instance("e", namespace="other")

    def names(*words: str) -> list[str]:
        printed = operator("list", "-o", "name", *words).stdout.split()
        assert all(line.startswith(NAME) for line in printed)
        return [line.removeprefix(NAME) for line in printed]

    assert names("-n", "team") == ["a", "b", "c", "d"]
    assert sorted(names("-A")) == ["a", "b", "c", "d", "e"]
    assert names("-A", "--user", "alice") == ["a"]
    assert names("-A", "--node", "node-2") == ["b"]
    assert names("-A", "--challenge", "other") == ["c"]
    assert names("-A", "--not-ready") == ["b", "c"]
    assert names("-A", "--not-ready", "--node", "node-1") == ["c"]
    assert "fieldSelector" in operator.api.queries[-1]
    operator("list", "-l", "team=red")
    assert operator.api.queries[-1]["labelSelector"] == ["team=red"]


NAME = "challengeinstance.challenge-controller.io/"


def test_list_takes_the_namespace_of_the_context_and_says_so(operator: Operator) -> None:
    operator.instance("a")
    done = operator("list")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "No such instances in namespace default (-A: in all of them)\n"
    assert operator("list", "-A", "-n", "team").exit_code == 2
    assert lines(operator("list", "-A").stdout)[0][0] == "NAMESPACE"


def test_objects_come_out_as_they_are(operator: Operator) -> None:
    stored = operator.node("node-1")
    operator.instance("a", user="alice")

    one = json.loads(operator("nodes", "node-1", "-o", "json").stdout)
    many = yaml.safe_load(operator("list", "-A", "-o", "yaml").stdout)

    assert one["kind"] == "ChallengeNode"
    assert one["status"] == stored["status"]
    assert many["kind"] == "List"
    assert [item["kind"] for item in many["items"]] == ["ChallengeInstance"]
    none = json.loads(operator("list", "-o", "json").stdout)
    assert none == {"apiVersion": "v1", "kind": "List", "items": []}


def test_a_long_list_is_read_page_by_page_and_anew_when_a_page_is_gone(operator: Operator) -> None:
    for number in range(1200):
        operator.instance(f"i-{number}")
    assert len(operator("list", "-A", "-o", "name").stdout.split()) == 1200
    assert len(operator.api.requests) == 3

    def gone(method: str, path: str) -> tuple[int, object] | None:
        if "continue" not in operator.api.queries[-1]:
            return None
        return status(410, "Expired", "The provided continue parameter is too old")

    operator.api.before = gone
    assert len(operator("list", "-A", "-o", "name").stdout.split()) == 1200


def test_an_object_of_another_version_is_named(operator: Operator) -> None:
    operator.api.put(NODES, {"metadata": {"name": "node-1"}, "spec": {"drain": "Slowly"}})
    done = operator("nodes")
    assert done.exit_code == 1
    assert "ChallengeNode node-1: spec.drain: " in done.stderr
    assert "use the one of the controller's version" in done.stderr


def test_a_name_of_the_list_is_no_more_than_a_name(operator: Operator) -> None:
    operator("list", "-A", "--node", "a,b=c")
    assert operator.api.queries[-1]["fieldSelector"] == [r"status.nodeName=a\,b\=c"]
    assert operator.api.requests[-1] == ("GET", instances())
