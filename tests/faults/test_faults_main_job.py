"""What organisers will meet: no engine, no API server, no ports, and everything killed at once."""

import pytest

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.kubeconfig import Kubectl
from tests.faults import left
from tests.faults.worlds import QUICK, Start, Worlds
from tests.integration.world import World, container, instance, until

ALL_IS_WELL = {"Ready", "ProbeFailing"}
"""What is told of an instance that is launched once; on a slow machine its program may need a
second or two before it listens."""


def ready_node(world: World) -> None:
    """Wait until this very controller serves its node."""
    world.bed.wait_for_controller(world.controller.name)


def test_ports_that_ran_out_are_waited_for(begin: Worlds, echo_image: str) -> None:
    world = begin(PORTS="10000-10003")
    world.apply(*(instance(f"i{n}", container(echo_image)) for n in range(2)))
    world.wait("Ready")
    world.apply(instance("third", container(echo_image)))
    condition = world.wait_reason("third", "PortsExhausted")
    assert "ports" in condition["message"]
    world.delete("i0")
    world.wait("Ready", "third")
    world.answers("third")


def test_a_port_that_somebody_else_holds_is_stepped_over(begin: Worlds, echo_image: str) -> None:
    """By a program, and by what the engine itself maps to something that is none of ours."""
    world = begin(PORTS="10000-10003")
    with world.listening_on_the_node(10000), left.of_somebody(world, echo_image, 10002):
        world.apply(instance("stepper", container(echo_image)))
        world.wait("Ready", "stepper")
        ports = {port["hostPort"] for port in world.get("stepper")["status"]["ports"]}
        assert ports == {10001, 10003}
        world.answers("stepper")
        reasons = until(lambda: world.events("stepper"), lambda told: "Ready" in told)
        assert set(reasons) <= ALL_IS_WELL, "one launch, that nobody was told of"


def test_an_engine_that_is_absent_at_the_start_is_waited_for(
    begin: Worlds, bed: Bed, echo_image: str
) -> None:
    engine = bed.engine()
    engine.shut_down()
    try:
        world = begin()
        reason = until(
            lambda: world.node_condition("DockerReachable").get("reason"),
            lambda seen: seen == "DockerUnavailable",
        )
        assert reason == "DockerUnavailable"
        world.apply(instance("patient", container(echo_image)))
        # The manager may hear of the instance before it hears of the node.
        condition = until(
            lambda: world.condition("patient"),
            lambda seen: "not ready (DockerUnavailable)" in seen.get("message", ""),
        )
        assert condition["reason"] == "Unschedulable"
        assert world.controller.alive()
    finally:
        engine.start()
    world.wait("Ready", "patient")
    world.answers("patient")


def test_an_engine_that_goes_away_and_comes_back_loses_no_instance(
    begin: Worlds, bed: Bed, echo_image: str
) -> None:
    world = begin()
    world.apply(instance("through", container(echo_image)))
    world.wait("Ready", "through")
    before = world.get("through")["status"]["ports"]
    bed.engine().kill()
    world.apply(instance("meanwhile", container(echo_image), nodeName="node-1"))
    bed.engine().start()
    world.wait("Ready", "meanwhile")
    until(lambda: world.running_containers("through"), lambda seen: seen == 1)
    world.wait("Ready", "through")
    after = world.get("through")["status"]
    assert after["ports"] == before
    assert after["containers"][0].get("restartCount", 0) == 0, "it has not ended by itself"
    # It was started again: it may not listen yet, and still be called Ready.
    world.answers_again()


def test_an_api_server_that_is_away_for_half_a_minute_is_survived(
    begin: Worlds, bed: Bed, echo_image: str
) -> None:
    world = begin()
    world.apply(instance("before", container(echo_image)))
    world.wait("Ready")
    # The last one before the outage, which has to come before its end.
    world.apply(instance("brief", container(echo_image), ttl="20s"))
    world.wait("Ready", "brief")
    ids = [c["Id"] for c in world.containers()]
    bed.control_plane.stop_apiserver()
    try:
        # A cut-off agent still ends whose time is over; the ports stay: it may have been renewed.
        until(lambda: world.running_containers("brief"), lambda seen: seen == 0)
        assert "brief" in world.rows()
        assert world.running_containers("before") == 1
        # Nothing announces that nothing happens: the outage itself is what is tested.
        assert not world.controller.wait(12), "the controller ended with the API server"
    finally:
        bed.control_plane.start_apiserver()
    world.apply(instance("after", container(echo_image)))
    world.wait("Ready", "after")
    world.answers("after")
    world.answers("before")
    world.wait("delete", "brief")
    assert set(ids) & {c["Id"] for c in world.containers()}
    world.delete("before")


def test_a_restart_of_the_controller_touches_no_container(begin: Worlds, echo_image: str) -> None:
    world = begin()
    world.apply(*(instance(f"i{n}", container(echo_image)) for n in range(3)))
    world.wait("Ready")
    ids = {c["Id"] for c in world.containers()}
    versions = world.versions()
    world.controller.stop()
    again = begin(STATE_DIR=str(world.controller.state_dir))
    again.state_dir = world.state_dir
    ready_node(again)
    again.apply(instance("new", container(echo_image)))
    again.wait("Ready")
    assert ids <= {c["Id"] for c in again.containers()}
    assert {name: versions[name] for name in versions} == {
        name: version for name, version in again.versions().items() if name in versions
    }


@pytest.mark.parametrize("after", [0.4, pytest.param(1.5, marks=pytest.mark.slow), 3.0])
def test_a_controller_killed_in_the_middle_of_launches_leaves_nothing_behind(
    begin: Worlds, echo_image: str, after: float
) -> None:
    world = begin()
    ready_node(world)
    pair = [container(echo_image, "front"), container(echo_image, "back", ports=[])]
    world.apply(*(instance(f"i{n}", *(pair if n % 2 else pair[:1])) for n in range(8)))
    assert not world.controller.wait(after), "it ended by itself"
    world.controller.kill()
    again = begin(STATE_DIR=str(world.controller.state_dir))
    again.state_dir = world.state_dir
    again.wait("Ready")
    for name in (f"i{n}" for n in range(8)):
        again.answers(name)
    assert len(again.containers()) == 8 + 4
    held = {port for row in again.rows().values() for port in row.ports.values()}
    assert len(held) == again.ports_held() == 16


def test_instances_deleted_while_nobody_watched_are_taken_away(
    begin: Worlds, echo_image: str
) -> None:
    world = begin()
    world.apply(*(instance(f"i{n}", container(echo_image)) for n in range(3)))
    world.wait("Ready")
    world.controller.kill()
    world.kubectl("delete", "chinst", "i0", "-n", world.namespace, "--wait=false")
    # Somebody tears the finalizer off by hand: the object vanishes without the agent.
    world.kubectl("delete", "chinst", "i1", "-n", world.namespace, "--wait=false")
    patch = '{"metadata":{"finalizers":null}}'
    world.kubectl("patch", "chinst", "i1", "-n", world.namespace, "--type=merge", "-p", patch)
    again = begin(STATE_DIR=str(world.controller.state_dir))
    again.state_dir = world.state_dir
    until(again.rows, lambda rows: set(rows) == {"i2"})
    until(again.containers, lambda found: len(found) == 1)
    again.answers("i2")


def test_a_second_agent_on_the_same_engine_is_refused_by_name(
    begin: Worlds, controller: Start
) -> None:
    world = begin()
    ready_node(world)
    second = controller("agent", NODE_NAME="node-2")
    assert second.wait(90)
    assert "Another agent (process" in second.logs()
    assert "Traceback" not in second.logs()
    assert world.controller.alive()


def test_a_ledger_of_another_node_stops_the_start(begin: Worlds, controller: Start) -> None:
    world = begin()
    ready_node(world)
    world.controller.stop()
    other = controller(NODE_NAME="other", STATE_DIR=str(world.controller.state_dir))
    assert other.wait(90)
    assert "was made for node 'node-1', but this is 'other'" in other.logs()
    assert "move the ledger's file away" in other.logs()


def test_a_name_used_again_at_once_gets_a_copy_of_its_own(begin: Worlds, echo_image: str) -> None:
    world = begin()
    world.apply(instance("phoenix", container(echo_image), user="first"))
    world.wait("Ready", "phoenix")
    first = world.get("phoenix")["metadata"]["uid"]
    world.delete("phoenix")
    world.apply(instance("phoenix", container(echo_image), user="second"))
    world.wait("Ready", "phoenix")
    answer = world.answers("phoenix")["nc"]
    assert answer["user"] == "second"
    assert answer["uid"] != first


def test_wrong_settings_are_named_with_what_was_expected(controller: Start) -> None:
    running = controller(PORTS="70000-70010", CONCURRENT_LAUNCHES="none")
    assert running.wait(90)
    said = running.logs()
    assert "CHALLENGE_PORTS='70000-70010': expected 1 <= FIRST <= LAST <= 65535" in said
    assert "CHALLENGE_CONCURRENT_LAUNCHES='none': expected" in said
    assert "Traceback" not in said


def test_a_lost_ledger_is_rebuilt_from_what_runs(begin: Worlds, echo_image: str) -> None:
    world = begin()
    pair = [container(echo_image, "front"), container(echo_image, "back", ports=[])]
    world.apply(instance("single", container(echo_image)), instance("pair", *pair))
    world.wait("Ready")
    ids = {c["Id"] for c in world.containers()}
    before = {name: world.get(name)["status"]["ports"] for name in ("single", "pair")}
    world.controller.stop()
    for file in world.state_dir.glob("ledger.db*"):
        file.unlink()
    again = begin(STATE_DIR=str(world.controller.state_dir))
    again.state_dir = world.state_dir
    ready_node(again)
    again.apply(instance("new", container(echo_image)))
    again.wait("Ready")
    assert "took over 2 instances" in again.controller.logs()
    assert ids <= {c["Id"] for c in again.containers()}
    assert before == {name: again.get(name)["status"]["ports"] for name in before}
    rows = until(again.rows, lambda rows: all(row.is_finalized for row in rows.values()))
    assert {p["hostPort"] for p in before["pair"]} == set(rows["pair"].ports.values())


def network_ids(world: World) -> set[str]:
    with world.docker() as client:
        mark = f"{labels.INSTALLATION}={world.bed.state.name}"
        return {network["Id"] for network in client.networks(filters={"label": mark})}


def test_subnets_that_ran_out_are_waited_for_quietly(begin: Worlds, echo_image: str) -> None:
    world = begin(INSTANCE_SUBNETS="10.213.0.0/26")  # two networks of 32 addresses
    pair = [container(echo_image, "front"), container(echo_image, "back", ports=[])]
    world.apply(*(instance(f"i{n}", *pair) for n in range(2)))
    world.wait("Ready")
    world.apply(instance("third", *pair))
    world.wait_reason("third", "NetworkExhausted")
    assert world.ports_held() == 4
    written, read = world.versions()["third"], world.requests("GET")
    # Nothing announces that nothing happens: that it waits, and does not try on and on.
    assert not world.controller.wait(3)
    assert world.versions()["third"] == written
    assert world.requests("GET") - read <= 6
    before = network_ids(world)
    world.delete("i0")
    world.wait("Ready", "third")
    world.answers("third")
    assert network_ids(world) == before, "a clean network goes to the next instance"
    world.delete()
    world.assert_nothing_left()


def test_a_life_costs_few_writes_and_events(begin: Worlds, echo_image: str) -> None:
    world = begin()
    ready_node(world)
    before = world.requests("PUT", "status")
    names = [f"i{n}" for n in range(6)]
    world.apply(*(instance(name, container(echo_image)) for name in names))
    world.wait("Ready")
    events = until(
        lambda: [world.events(name) for name in names],
        lambda found: all("Ready" in reasons for reasons in found),
    )
    world.delete()
    for reasons in events:
        assert reasons.count("Ready") == 1
        assert set(reasons) <= ALL_IS_WELL
        assert len(reasons) <= 2
    # The placement and Ready; on a slow machine one more for who had to wait for its turn, and one
    # for what did not listen at once.
    assert world.requests("PUT", "status") - before <= 4 * len(names)


def test_agent_and_manager_apart_serve_the_namespaces_that_they_are_told(
    begin: Worlds, controller: Start, kubectl: Kubectl, namespace: str, echo_image: str
) -> None:
    elsewhere = f"{namespace}-unserved"
    kubectl("create", "namespace", elsewhere)
    world = begin(role="agent", NAMESPACES=namespace)
    manager = controller("manager", NAMESPACES=namespace, **QUICK)
    stranger = World(world.bed, kubectl, elsewhere, world.controller)
    stranger.apply(instance("stranger", container(echo_image)))
    world.apply(instance("served", container(echo_image)))
    world.wait("Ready", "served")
    world.answers("served")
    assert stranger.get("stranger")["status"] == {"observedGeneration": -1}
    stranger.delete()
    manager.stop()
    world.apply(instance("unplaced", container(echo_image)))
    # With the manager away the agent still takes its own instances down.
    world.delete("served")
    assert world.get("unplaced")["status"] == {"observedGeneration": -1}
    assert "Traceback" not in manager.logs()
