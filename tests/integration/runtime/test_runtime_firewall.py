"""What packets of instances reach, and what not, tried from inside of real containers."""

import json
import socket
import uuid
from collections.abc import Iterator

import pytest

from controller.runtime import rules
from hack.bed.bed import Bed
from hack.bed.processes import run
from tests.integration.runtime.scene import HOST_PORT, Scene, Target, build

# Who must get there for the others' failure to mean anything (`plain`: any other container on the
# same engine; `node`: the host), and who else does. {…} is filled in for each container that tries.
TABLE = """
what                               over  to                port           control  None  Internet
a service of the host              tcp   {node}            7001           plain    no    no
a service of the host              udp   {node}            7001           plain    no    no
a service at the bridge's address  tcp   {gateway}         7001           plain    no    no
a service at another bridge        tcp   {bridge}          7001           plain    no    no
the API server                     tcp   {server}          {server_port}  plain    no    no
a cloud's metadata                 tcp   169.254.169.254   7000           plain    no    no
a cloud's metadata                 tcp   168.63.129.16     7000           plain    no    no
a cloud's metadata                 tcp   192.0.0.192       7000           plain    no    no
a private range                    tcp   10.99.0.1         7000           plain    no    no
a private range                    udp   10.99.0.1         7000           plain    no    no
a private range                    tcp   172.16.5.5        7000           plain    no    no
a private range                    tcp   192.168.77.1      7000           plain    no    no
carrier-grade NAT                  tcp   100.64.0.1        7000           plain    no    no
a range for benchmarks             tcp   198.18.0.1        7000           plain    no    no
a range for documentation          tcp   192.0.2.1         7000           plain    no    no
a range for documentation          tcp   198.51.100.1      7000           plain    no    no
a range for documentation          tcp   203.0.113.1       7000           plain    no    no
a network that is refused          tcp   8.8.4.4           7000           plain    no    no
an instance without egress         tcp   {none}            9000           node     no    no
an instance without egress         udp   {none}            9000           node     no    no
an instance with egress            tcp   {internet}        9000           node     no    no
an instance on a network apart     tcp   {none-own}        9000           node     own   no
another one with egress            tcp   {internet-own}    9000           node     no    own
a port that a neighbour publishes  tcp   {node}            21500          plain    no    no
a port that a neighbour publishes  udp   {gateway}         21500          plain    no    no
the same at the bridge's address   tcp   {gateway}         21500          plain    no    no
one published with egress          tcp   {node}            21502          plain    no    no
one published with egress          udp   {gateway}         21502          plain    no    no
one published from a network apart tcp   {node}            21501          plain    no    no
the public net                     tcp   8.8.8.8           7000           plain    no    yes
the public net                     udp   8.8.8.8           7000           plain    no    yes
the resolver                       udp   1.1.1.1           53             plain    no    yes
the resolver                       tcp   1.1.1.1           53             plain    no    yes
another resolver                   udp   8.8.8.8           53             plain    no    no
another resolver                   tcp   8.8.8.8           53             plain    no    no
"""
ROWS = [(line[:35].strip(), *line[35:].split()) for line in TABLE.strip().splitlines()[1:]]
KINDS = ("none", "none-own", "internet", "internet-own")
PATIENCE = 30.0
"""Seconds for what is to get there."""


@pytest.fixture(scope="module")
def scene(
    bed: Bed, shell_image: str, echo_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Instances of every kind; needs an engine whose namespace is the test's to change."""
    if bed.node().engine.namespace is None:
        pytest.skip("the firewall of a machine that is not the bed's is left alone")
    installation = f"it-{uuid.uuid4().hex[:8]}"
    with build(bed, installation, shell_image, echo_image, tmp_path_factory.mktemp("w")) as made:
        yield made


def targets(scene: Scene, word: str) -> list[Target]:
    """The table for one kind of container."""
    links, plane = scene.bed.state.network, scene.bed.control_plane.state
    assert links is not None
    values = scene.addresses | {
        "node": scene.bed.node().address,
        "gateway": scene.gateway(word if word in scene.networks else "plain"),
        "bridge": scene.gateway("none" if word == "internet" else "internet"),
        "server": links.address,
        "server_port": str(plane.apiserver_port),
    }
    return [
        Target(str(number), over, address.format(**values), int(port.format(**values)))
        for number, (_, over, address, port, *_) in enumerate(ROWS)
    ]


@pytest.fixture(scope="module")
def reached(scene: Scene) -> dict[str, set[str]]:
    """The numbers of the rows that each kind reaches."""
    return {
        word: scene.reached(word, targets(scene, word), wanted(word))
        for word in ("node", "plain", *KINDS)
    }


def wanted(word: str) -> set[str]:
    """The numbers of the rows that a kind is to reach, as a control or as the table says."""
    return {str(n) for n, row in enumerate(ROWS) if word == row[4] or reaches(word, row)}


def reaches(word: str, row: tuple[str, ...]) -> bool:
    """Whether an instance of that kind reaches what the row is about; no control does by that."""
    said = {"none": row[5], "internet": row[6]}.get(word.partition("-")[0], "no")
    return said == "yes" or (said == "own" and word.endswith("own"))


@pytest.mark.parametrize("number", range(len(ROWS)), ids=lambda n: " ".join(ROWS[n][:3]))
def test_an_instance_reaches_what_it_may_and_nothing_else(
    reached: dict[str, set[str]], number: int
) -> None:
    control = ROWS[number][4]
    assert str(number) in reached[control], f"nobody gets there: {control} should"
    for word in KINDS:
        assert (str(number) in reached[word]) == reaches(word, ROWS[number]), word


def test_names_of_the_outside_resolve_with_egress_only_and_no_query_leaves_without(
    scene: Scene,
) -> None:
    for word in KINDS:
        answer = scene.inside(word, f"getent ahostsv4 {word}.example || echo nothing")
        assert ("8.8.8.8" in answer) == word.startswith("internet"), (word, answer)
    assert "8.8.8.8" in scene.inside("plain", "getent ahostsv4 plain.example")
    asked = scene.names_log.read_text()
    assert "asked plain.example" in asked
    assert "asked internet.example" in asked
    assert "asked none" not in asked


@pytest.mark.parametrize("word", ["none-own", "internet-own"])
def test_containers_of_one_instance_reach_each_other_by_name_on_every_port(
    scene: Scene, word: str
) -> None:
    ports = [("tcp", 8080), ("tcp", 9000), ("udp", 9000)]
    tried = [Target(f"{over}-{port}", over, "echo", port) for over, port in ports]
    every = {target.key for target in tried}
    assert scene.reached(word, tried, every) == every


@pytest.mark.parametrize("word", KINDS)
def test_players_reach_published_ports_and_get_answers(scene: Scene, word: str) -> None:
    where = (scene.bed.node().address, scene.published[word])
    with socket.create_connection(where, PATIENCE) as player:
        assert json.loads(player.makefile().readline())["container"] == "echo"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
        player.settimeout(PATIENCE)
        player.sendto(b"hi", where)
        assert json.loads(player.recv(1500))["container"] == "echo"


LINK_LOCAL = """
import socket, sys
bridge, port, patience = sys.argv[1:]
scope = socket.if_nametoindex("eth0")
with socket.socket(socket.AF_INET6) as attempt:
    attempt.settimeout(float(patience))
    try:
        attempt.connect((bridge, int(port), 0, scope))
        print("reached")
    except OSError as error:
        print(error)
"""


def test_nothing_is_reached_over_link_local_ipv6_either(scene: Scene) -> None:
    seen = {}
    for word in ("plain", "none-own", "internet"):
        assert scene.inside(word, "cat /proc/net/if_inet6") == "", "the engine gives it none"
        within = ("nsenter", f"--net=/proc/{scene.pid(word)}/ns/net")
        # As one that sends raw packets could do for itself.
        run(*within, "bash", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")
        run(*within, "bash", "-c", "echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad")
        run(*within, "ip", "-6", "addr", "add", "fe80::99/64", "dev", "eth0", "nodad")
        address = _bridge_link_local(scene, word)
        patience = PATIENCE if word == "plain" else 1
        program = ("python3", "-c", LINK_LOCAL, address, str(HOST_PORT), str(patience))
        seen[word] = run(*within, *program).stdout.strip()
    assert seen.pop("plain") == "reached"
    assert set(seen.values()) == {"timed out"}


FORGE = """
import socket, struct, sys
forged, victim, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = b"forged"
head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(data), 0, 0, 64, 17, 0,
                   socket.inet_aton(forged), socket.inet_aton(victim))
datagram = struct.pack("!HHHH", 9000, port, 8 + len(data), 0) + data
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
    raw.sendto(head + datagram, (victim, 0))
"""


def test_who_sends_raw_packets_cannot_pass_for_another_instance(scene: Scene) -> None:
    """A forged answer would reach another's player: its connection is one that players opened."""
    source = rules.names(scene.installation)["SOURCE"]
    on_the_host = ("nsenter", f"--net=/run/netns/{scene.namespace}")
    received = []
    for guarded in (True, False):
        if not guarded:
            run(*on_the_host, "iptables", "--wait", "-t", "raw", "-F", source)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as player:
            player.settimeout(PATIENCE)
            player.sendto(b"hi", (scene.bed.node().address, scene.published["none"]))
            player.recv(1500)
            address = scene.bed.state.network.address if scene.bed.state.network else ""
            within = ("nsenter", f"--net=/proc/{scene.pid('none-own')}/ns/net")
            port = str(player.getsockname()[1])
            run(*within, "python3", "-c", FORGE, scene.addresses["none"], address, port)
            player.settimeout(1 if guarded else PATIENCE)
            try:
                received.append(player.recv(1500))
            except TimeoutError:
                received.append(b"")
    scene.firewall("apply")
    assert received == [b"", b"forged"]


def _bridge_link_local(scene: Scene, word: str) -> str:
    found = scene.api.inspect_network(scene.networks[word])
    link = found["Options"].get("com.docker.network.bridge.name", f"br-{found['Id'][:12]}")
    within = ("ip", "-n", scene.namespace, "-json", "-6", "addr", "show", "dev", link)
    (listed,) = json.loads(run(*within).stdout)
    return str(listed["addr_info"][0]["local"])
