"""Two killed at once while instances start: each instance comes up once, and nothing leaks."""

import itertools
import json
import os
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from controller.runtime import labels
from hack.bed.fleet import Fleet
from hack.bed.instances import ask, silent
from tests.integration.world import PORTS, Object, container, instance, until
from tests.nodes.nodes import Nodes

ALL = 100
"""Instances that start while each pair is killed, on each node in turn."""
SHARE = 24
"""As many as a plain `hack/test` has time for, with one pair and one node."""
PAIRS = list(itertools.combinations(("agent", "dockerd", "manager"), 2))
PATIENCE = 300.0
"""Seconds for all to come up after the last kill: two cores launch about two a second."""


def test_what_starts_while_two_are_killed_comes_up_once(nodes: Nodes, echo_image: str) -> None:
    dice = thrown()
    pair = dice.choice(PAIRS)
    print(" and ".join(pair))
    survive(nodes, echo_image, SHARE, pair, dice, kills=1)


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
def test_all_of_a_hundred_come_up_once_whichever_two_are_killed_on_each_node(
    nodes: Nodes, echo_image: str, pair: tuple[str, str]
) -> None:
    survive(nodes, echo_image, ALL, pair, thrown(), kills=len(nodes.fleet.numbers))


def thrown() -> random.Random:
    """What decides who is killed where and in which order; says how to have the same again."""
    seed = int(os.environ.get("TEST_SEED") or random.randrange(10**6))
    print(f"TEST_SEED={seed}")
    return random.Random(seed)


def survive(
    nodes: Nodes,
    image: str,
    number: int,
    pair: tuple[str, str],
    dice: random.Random,
    *,
    kills: int,
) -> None:
    """Create instances by shares, kill a pair on a node as each comes up, then look at all."""
    names = [f"i{n:03}" for n in range(number)]
    small = {"limits": {"memory": "32Mi"}}
    for turn, node in enumerate(dice.sample(nodes.fleet.numbers, kills)):
        share = names[turn::kills]
        made = [instance(name, container(image, resources=small)) for name in share]
        # Aside: the first ones are up before the last ones are created.
        with ThreadPoolExecutor(1) as aside:
            created = aside.submit(nodes.apply, *made)
            wait_until_up(nodes, share, len(share) // 8)
            # Both are dead before either is back; either may be first.
            for part in dice.sample(pair, 2):
                kill(nodes.fleet, part, node)
            up = ready(nodes)
            print(f"{len(up)} are up: killed on node {node}")
            assert {*share} - up, "all have started already: nothing is tested"
            for part in dice.sample(pair, 2):
                start(nodes.fleet, part, node)
            created.result()
        nodes.fleet.heal()

    until(lambda: wrong(nodes, names), lambda found: found == [], timeout=PATIENCE)
    assert_all_answer_on_ports_of_their_own(nodes, names)
    assert_books_agree(nodes)

    words = ("delete", "chinst", "--all", "-n", nodes.namespace, "--timeout=200s")
    nodes.kubectl(*words, timeout=220)
    nodes.assert_nothing_left()


def wait_until_up(nodes: Nodes, names: list[str], number: int) -> None:
    """Wait until as many of the instances are Ready."""
    until(lambda: len(ready(nodes) & {*names}), lambda n: n >= number, timeout=PATIENCE)


def kill(fleet: Fleet, part: str, node: int) -> None:
    """Kill a part, by SIGKILL; of agents and engines the one of this node."""
    if part == "dockerd":
        fleet.bed.engine(node).kill()
    else:
        (fleet.manager if part == "manager" else fleet.agent(node)).kill()


def start(fleet: Fleet, part: str, node: int) -> None:
    """Start a part that was killed; `Fleet.heal` waits for it."""
    if part == "dockerd":
        fleet.bed.engine(node).start()
        fleet.bed.state.save()
    else:
        (fleet.manager if part == "manager" else fleet.agent(node)).start_again()


def bodies(nodes: Nodes) -> list[Object]:
    """All instances of the namespace."""
    out = nodes.kubectl("get", "chinst", "-n", nodes.namespace, "-o", "json").stdout
    found: list[Object] = json.loads(out)["items"]
    return found


def ready(nodes: Nodes) -> set[str]:
    """The names of the instances that are Ready."""
    return {
        body["metadata"]["name"]
        for body in bodies(nodes)
        for condition in body["status"].get("conditions", [])
        if (condition["type"], condition["status"]) == ("Ready", "True")
    }


def wrong(nodes: Nodes, names: list[str]) -> list[str]:
    """What is not as it has to be in the end: who is not Ready, or has not just one container.

    Or does not answer: one that was started again may not listen yet, and still be called Ready.
    """
    found = [f"{name} is not Ready" for name in sorted({*names} - ready(nodes))]
    placed = nodes.placed()
    there: Counter[tuple[str, str, str]] = Counter()
    for number in nodes.fleet.numbers:
        for each in nodes.node(number).containers():
            name = each["Labels"][labels.INSTANCE_NAME]
            there[name, nodes.bed.node(number).name, each["State"]] += 1
    wanted = Counter((name, placed.get(name, ""), "running") for name in names)
    found += [f"{key} is there {n} times too often" for key, n in sorted((there - wanted).items())]
    found += [f"{key} is missing" for key in sorted(wanted - there)]
    return found or silent(nodes.endpoints())


def assert_all_answer_on_ports_of_their_own(nodes: Nodes, names: list[str]) -> None:
    """Each port answers for its own instance, on its own node's address, and is nobody else's."""
    endpoints, placed = nodes.endpoints(), nodes.placed()
    assert Counter(each.instance for each in endpoints) == Counter({n: len(PORTS) for n in names})
    doors = Counter((each.host, each.port) for each in endpoints)
    assert [door for door, times in doors.items() if times > 1] == []
    address = {node.name: node.address for node in nodes.bed.state.nodes}
    for endpoint in endpoints:
        assert endpoint.host == address[placed[endpoint.instance]]
        ask(endpoint)


def assert_books_agree(nodes: Nodes) -> None:
    """Each node's ledger has the instances that are placed there, on the ports they tell."""
    placed = nodes.placed()
    told = {body["metadata"]["name"]: body["status"]["ports"] for body in bodies(nodes)}
    for number in nodes.fleet.numbers:
        node, name = nodes.node(number), nodes.bed.node(number).name
        assert node.problems() == []
        booked = {row.name: dict(row.ports) for row in node.rows().values()}
        assert booked == {
            instance: {port["name"]: port["hostPort"] for port in told[instance]}
            for instance, where in placed.items()
            if where == name
        }
        assert node.ports_held() == len(PORTS) * len(booked)
