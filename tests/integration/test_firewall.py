"""The agent keeps its firewall in force, whatever happens to it, and says where it cannot."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.runtime import labels, rules
from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY
from hack.bed.kubeconfig import Kubectl
from hack.bed.processes import run
from hack.bed.running import RunningController
from tests.integration.commands import exit_code
from tests.integration.runtime.outside import answering, machine
from tests.integration.runtime.scene import firewall
from tests.integration.world import World, container, instance, until

Start = Callable[..., RunningController]
PUBLIC, METADATA, PORT = "8.8.8.8", "169.254.169.254", 7000
# They flush the rules of the machine.
pytestmark = pytest.mark.usefixtures("own_engine")
QUICK = {"RESYNC_INTERVAL": "1", "BACKOFF_INITIAL": "0.2"}


@pytest.fixture
def world(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, echo_image: str
) -> Iterator[World]:
    """A controller that compares every second; nothing may be left after."""
    made = World(bed, kubectl, namespace, controller(**QUICK))
    yield made
    made.tell()
    made.delete()
    made.assert_nothing_left()
    assert "Traceback" not in made.controller.logs()


def on_the_node(bed: Bed, *words: str) -> str:
    """Run a program in the engine's network namespace; what it printed."""
    if words[0] in ("iptables", "ip6tables"):
        words = (words[0], "--wait", *words[1:])  # legacy ones have one lock for the whole machine
    return run("nsenter", f"--net=/run/netns/{bed.node().engine.namespace}", *words).stdout


def jumps(world: World) -> list[str]:
    """The rules that lead to the installation's chains, in all tables of both families."""
    chains = rules.names(world.bed.state.name).values()
    saved = "".join(on_the_node(world.bed, f"{name}-save") for name in ("iptables", "ip6tables"))
    return [line for line in saved.splitlines() if line.split(" ")[-1] in chains]


def reaches(world: World, name: str, *targets: str) -> list[bool]:
    """Whether a program inside the instance connects to each `host:port`."""
    (found,) = [c for c in world.containers() if c["Labels"][labels.INSTANCE_NAME] == name]
    with world.docker() as client:
        codes = [exit_code(client, found["Id"], "/echo", "check", target) for target in targets]
    return [code == 0 for code in codes]


def test_rules_that_are_flushed_are_put_back(world: World, echo_image: str) -> None:
    world.apply(instance("guarded", container(echo_image)))
    world.wait("Ready", "guarded")
    assert world.node_condition("FirewallReady")["status"] == "True"
    server = world.bed.control_plane.state
    target = f"{server.address}:{server.apiserver_port}"
    assert reaches(world, "guarded", target) == [False]

    remove = (sys.executable, "-m", "controller", "firewall", "remove")
    env = {"PYTHONPATH": str(REPOSITORY), "CHALLENGE_INSTALLATION": world.bed.state.name}
    enter = ("nsenter", f"--net=/run/netns/{world.bed.node().engine.namespace}")
    refused = run(*enter, *remove, env=env, check=False)
    assert refused.returncode == 1
    assert "Delete the instances first, or say --force" in refused.stderr

    wanted = jumps(world)
    assert len([line for line in wanted if line.startswith("-A")]) >= 5
    for words in (("iptables", "-F"), ("iptables", "-t", "raw", "-F"), ("ip6tables", "-F")):
        on_the_node(world.bed, *words)
    until(lambda: jumps(world), lambda seen: sorted(seen) == sorted(wanted), timeout=20)
    # Logged once the last of the commands has ended, IPv6's too.
    until(world.controller.logs, lambda seen: "put back" in seen)

    # A rule of somebody else's before ours would let through what ours refuse.
    on_the_node(world.bed, "iptables", "-I", "FORWARD", "-j", "ACCEPT")
    until(lambda: forward(world), lambda seen: "DOCKER-USER" in seen[0], timeout=20)
    on_the_node(world.bed, "iptables", "-D", "FORWARD", "-j", "ACCEPT")

    world.bed.engine().kill()
    world.bed.engine().start()
    until(lambda: world.running_containers("guarded"), lambda seen: seen == 1)
    assert sorted(jumps(world)) == sorted(wanted)
    assert reaches(world, "guarded", target) == [False]


def forward(world: World) -> list[str]:
    """The rules of FORWARD."""
    listed = on_the_node(world.bed, "iptables", "-S", "FORWARD").splitlines()
    return [line for line in listed if line.startswith("-A")]


def test_rules_outlive_the_agent_and_their_removal_takes_nothing_else_along(
    world: World, echo_image: str
) -> None:
    node = str(world.bed.node().engine.namespace)
    world.bed.wait_for_controller(world.controller.name)
    before = on_the_node(world.bed, "iptables-save")
    assert "set" in firewall(node, "apply", INSTALLATION="neighbour")
    world.controller.stop()
    assert jumps(world) != []
    name = world.bed.state.name
    assert "removed" in firewall(node, "remove", INSTALLATION=name)
    assert jumps(world) == []
    assert "not there" in firewall(node, "remove", INSTALLATION=name)
    left = on_the_node(world.bed, "iptables-save")
    assert rules.names("neighbour")["FORWARD"] in left
    assert "-A FORWARD -j DOCKER-USER" in left
    firewall(node, "remove", INSTALLATION="neighbour")
    for saved in ("iptables-save", "ip6tables-save"):
        assert "CHALLENGE-" not in on_the_node(world.bed, saved)
    assert "CHALLENGE-" in before


def test_without_dockers_chains_nothing_is_launched_and_it_is_told(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, echo_image: str
) -> None:
    firewall(str(bed.node().engine.namespace), "remove", INSTALLATION=bed.state.name)
    for words in (("-F", "FORWARD"), ("-F", "DOCKER-USER"), ("-X", "DOCKER-USER")):
        on_the_node(bed, "iptables", *words)
    try:
        world = World(bed, kubectl, namespace, controller(**QUICK))
        world.apply(instance("pinned", container(echo_image), nodeName="node-1"))
        # Told by the agent, or by the manager if the node was known by then.
        until(lambda: world.condition("pinned"), lambda seen: "FirewallUnavailable" in str(seen))
        said = until(
            lambda: world.node_condition("FirewallReady").get("message", ""),
            lambda seen: "There is no chain DOCKER-USER" in seen,
        )
        assert "hostNetwork" in said
        assert world.containers() == []
        assert world.ports_held() == 0
    except TimeoutError:
        world.tell()
        raise
    finally:
        bed.engine().shut_down()
        bed.engine().start()
    world.wait("Ready", "pinned")
    world.answers("pinned")
    world.delete()
    world.assert_nothing_left()


def test_a_kernel_that_does_not_filter_within_bridges_is_waited_for(
    world: World, echo_image: str
) -> None:
    switch = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    world.apply(instance("first", container(echo_image)))
    world.wait("Ready", "first")
    on_the_node(world.bed, "bash", "-c", f"echo 0 > {switch}")
    try:
        world.apply(instance("second", container(echo_image), nodeName="node-1"))
        # By the agent, or by the manager if the node has told it before.
        until(lambda: world.condition("second"), lambda seen: "BridgeFilterOff" in str(seen))
        found = until(
            lambda: world.node_condition("FirewallReady"),
            lambda seen: seen.get("reason") == "BridgeFilterOff",
        )
        assert "sysctl -w net.bridge.bridge-nf-call-iptables=1" in found["message"]
    finally:
        on_the_node(world.bed, "bash", "-c", f"echo 1 > {switch}")
    world.wait("Ready", "second")


def test_egress_internet_is_the_public_net_and_nothing_else(
    world: World, echo_image: str, tmp_path: Path
) -> None:
    links = world.bed.state.network
    assert links is not None
    internet = {"network": {"egress": "Internet"}}
    back = container(echo_image, "back", ports=[])
    front = container(echo_image, "front", args=["serve", "--upstream", "back:9000"])
    with (
        machine(links, 1, (PUBLIC, METADATA)) as outside,
        answering(outside, PORT, log=tmp_path / "log"),
    ):
        world.apply(
            instance("inside", container(echo_image)),
            instance("online", container(echo_image), template=internet),
            instance("pair", front, back, template=internet),
        )
        world.wait("Ready")
        targets = (f"{PUBLIC}:{PORT}", f"{METADATA}:{PORT}")
        # The program gives up after a time of its own, which a busy machine may take to answer.
        until(lambda: reaches(world, "online", targets[0]) == [True])
        assert reaches(world, "online", targets[1]) == [False]
        assert reaches(world, "inside", *targets) == [False, False]
        answer = world.answers("pair")["nc"]
        assert answer["upstream"]["uid"] == answer["uid"]
        world.answers("online")


def test_ports_are_bound_on_one_address_and_told_as_another_udp_too(
    bed: Bed, kubectl: Kubectl, namespace: str, controller: Start, echo_image: str
) -> None:
    links = bed.state.network
    assert links is not None
    bound, node = str(links.subnet[60]), links.node_address(1)
    run("ip", "-n", links.namespace(1), "addr", "add", f"{bound}/32", "dev", "eth0")
    try:
        running = controller(**QUICK, INTERFACE=bound, PUBLIC_ADDRESS=bound)
        world = World(bed, kubectl, namespace, running)
        ports = [
            {"name": "nc", "containerPort": 9000},
            {"name": "udp", "containerPort": 9000, "protocol": "UDP"},
        ]
        world.apply(instance("bound", container(echo_image, ports=ports)))
        world.wait("Ready", "bound")
        status = world.get("bound")["status"]
        assert status["address"] == bound
        uid = world.get("bound")["metadata"]["uid"]
        for port in status["ports"]:
            assert port["endpoint"] == f"{bound}:{port['hostPort']}"
            # What listens for datagrams is probed by nobody, and one that is lost is sent again.
            until(lambda port=port: uid in ask(port["protocol"], bound, port["hostPort"]))  # type: ignore[misc]  # a default binds it
            assert ask(port["protocol"], node, port["hostPort"]) == ""
        world.delete()
        world.assert_nothing_left()
    finally:
        run("ip", "-n", links.namespace(1), "addr", "del", f"{bound}/32", "dev", "eth0")


def ask(protocol: str, host: str, port: int) -> str:
    """What a port answers; empty when it does not."""
    door = f"/dev/{protocol.lower()}/{host}/{port}"
    script = f"exec 3<>{door} && echo hi >&3 && dd bs=1500 count=1 status=none <&3"
    return run("timeout", "2", "bash", "-c", script, check=False).stdout
