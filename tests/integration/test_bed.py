"""The bed keeps its word: what it starts works, and nothing of it stays, whatever has crashed."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from hack.bed import instances, traces
from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY, temporary_folder
from hack.bed.controlplane import ControlPlane
from hack.bed.engine import docker_client
from hack.bed.errors import BedError, ProgramFailed
from hack.bed.kubeconfig import Kubectl
from hack.bed.leftovers import processes_of_folder
from hack.bed.processes import run
from hack.bed.programs import find_kubectl
from hack.bed.report import Report
from hack.bed.running import RunningController
from tests.integration.world import until

StartController = Callable[..., RunningController]


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Bed]:
    """Another bed beside the one of the run."""
    name = f"second-{uuid.uuid4().hex[:6]}"
    bed = Bed.create(name, temporary_folder() / name, Report(quiet=True), temporary=True)
    yield bed
    bed.down()


def run_echo(bed: Bed, image: str, **env: str) -> int:
    """Start the test image with a published port and return the port."""
    with docker_client(bed.docker_host) as client:
        host = client.create_host_config(port_bindings={9000: None})
        made = client.create_container(image, ports=[9000], host_config=host, environment=env)
        client.start(made["Id"])
        published = client.port(made["Id"], 9000)
    assert published is not None
    return int(published[0]["HostPort"])


def remove_all(bed: Bed, image: str) -> None:
    """Remove the containers that tests have made from the image."""
    with docker_client(bed.docker_host) as client:
        for found in client.containers(all=True, filters={"ancestor": image}):
            client.remove_container(found["Id"], force=True)


def test_api_server_knows_our_kinds_and_its_version(kubectl: Kubectl) -> None:
    version = json.loads(kubectl("version", "--output=json").stdout)["serverVersion"]
    assert version["gitVersion"].startswith("v1.")
    listed = kubectl("api-resources", "--categories=challenges", "--no-headers").stdout
    assert {line.split()[-1] for line in listed.splitlines()} == {
        "Challenge",
        "ChallengeInstance",
        "ChallengeNode",
        "ChallengePool",
    }


def test_rbac_holds_for_other_users(control_plane: ControlPlane, tmp_path: Path) -> None:
    kubeconfig = control_plane.kubeconfig("student", groups=["players"])
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    student = Kubectl(find_kubectl(Report()), kubeconfig, tmp_path)
    with pytest.raises(ProgramFailed, match='User "student" cannot list resource "secrets"'):
        student("get", "secrets")


def test_etcd_refuses_who_has_no_certificate(control_plane: ControlPlane) -> None:
    url = f"https://127.0.0.1:{control_plane.state.etcd_port}/health"
    authority = str(control_plane.state.folder / "pki" / "ca.crt")
    with pytest.raises(requests.exceptions.RequestException, match=r"certificate required"):
        requests.get(url, verify=authority, timeout=5)


def test_api_server_keeps_objects_over_an_outage(
    control_plane: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("create", "configmap", "kept", "-n", namespace)
    control_plane.stop_apiserver()
    assert kubectl("get", "ns", check=False).returncode != 0
    control_plane.start_apiserver()
    assert kubectl("get", "configmap", "kept", "-n", namespace, "-o", "name").stdout


def test_published_port_answers_at_the_nodes_address(bed: Bed, echo_image: str) -> None:
    port = run_echo(bed, echo_image, INSTANCE_UID="u-1", INSTANCE_NAME="n-1", CHALLENGE_SEED="7")
    wanted = instances.Endpoint("n-1", "u-1", "nc", bed.node().address, port, is_http=False)
    answer = _ask_until_it_answers(wanted)
    assert (answer["uid"], answer["name"], answer["seed"]) == ("u-1", "n-1", "7")
    other = instances.Endpoint("n-2", "u-2", "nc", bed.node().address, port, is_http=False)
    with pytest.raises(BedError, match=r"should be n-2 \(u-2\) and says that it is n-1 \(u-1\)"):
        instances.ask(other)
    remove_all(bed, echo_image)


def test_traces_show_what_a_container_leaves_and_no_more(bed: Bed, echo_image: str) -> None:
    before = traces.take(bed)
    port = run_echo(bed, echo_image)
    left = traces.take(bed).left_over(before)
    assert len([line for line in left if line.startswith("container ")]) == 1
    if bed.engine().owned:
        assert any(line.startswith("rule ") and f"--dport {port} " in line for line in left)
    remove_all(bed, echo_image)
    assert traces.take(bed).left_over(before) == []


def test_controller_registers_its_node_and_ends_when_asked(
    controller: StartController, kubectl: Kubectl
) -> None:
    running = controller()
    running.bed.wait_for_controller(running.name)
    assert kubectl("get", "chnode", "node-1", "-o", "name").stdout
    assert running.logs()
    running.stop()
    assert not running.alive()


def test_controller_that_ends_at_once_is_reported_with_its_words(
    controller: StartController,
) -> None:
    running = controller(PORTS="nonsense")
    with pytest.raises(BedError, match=r"CHALLENGE_PORTS='nonsense': expected FIRST-LAST"):
        running.bed.wait_for_controller(running.name)


def test_frozen_engine_hangs_and_goes_on_when_thawed(second: Bed) -> None:
    second.start_engine()
    second.engine().freeze()
    try:
        assert not second.engine().alive()
    finally:
        second.engine().thaw()
    until(second.engine().alive)


def test_killed_engine_comes_back_with_what_it_had(second: Bed) -> None:
    second.start_engine()
    image = second.import_image()
    second.engine().kill()
    assert not second.engine().alive()
    second.engine().start()
    with docker_client(second.docker_host) as client:
        assert client.images(name=image)


def test_nothing_is_left_after_engine_and_containers_were_orphaned(second: Bed) -> None:
    second.start_engine()
    run_echo(second, second.import_image())
    links, folder = second.state.network, second.state.folder
    assert links is not None
    state = second.engine().state
    containers = os.listdir(folder / "node-1" / "data" / "containers")
    for process in (state.dockerd, state.containerd):
        assert process is not None
        process.kill()
    assert processes_of_folder(folder), "the shims should have outlived their engine"

    # As another process does it, from what is written down alone.
    loaded = Bed.load(folder, Report(quiet=True))
    assert loaded is not None
    loaded.down()

    assert not processes_of_folder(folder)
    assert not folder.exists()
    assert str(folder) not in Path("/proc/mounts").read_text()
    assert links.bridge not in run("ip", "-brief", "link").stdout
    assert links.namespace(1) not in run("ip", "netns").stdout
    cgroups = {name for _, names, _ in os.walk("/sys/fs/cgroup") for name in names}
    assert not cgroups.intersection([*containers, links.namespace(1)])
    loaded.down()


def test_beds_do_not_share_subnets_or_ports(bed: Bed, second: Bed) -> None:
    second.start_engine()
    assert second.node().address != bed.node().address or second.node().ports != bed.node().ports
    assert second.state.network != bed.state.network


def test_bed_that_is_removed_twice_leaves_its_successor_alone(second: Bed) -> None:
    second.start_engine()
    stale = Bed.load(second.state.folder, Report(quiet=True))
    assert stale is not None
    second.down()
    if stale.state.network is None:
        return
    # The next bed has the same number by chance.
    name = f"third-{uuid.uuid4().hex[:6]}"
    third = Bed.create(name, temporary_folder() / name, Report(quiet=True), temporary=True)
    try:
        third.start_engine()
        stale.state.network = third.state.network
        stale.state.nodes[0].engine.namespace = third.node().engine.namespace
        stale.down()
        assert third.engine().alive()
        assert third.state.network is not None
        assert third.state.network.bridge in run("ip", "-brief", "link").stdout
    finally:
        third.down()


HALF_UP = """
import sys, time
from pathlib import Path
from hack.bed.bed import Bed
from hack.bed.report import Report
from hack.bed.running import RunningController
bed = Bed.create("half", Path(sys.argv[1]), Report(quiet=True), temporary=True)
bed.start_engine()
print("up", flush=True)
time.sleep(600)
"""


def test_programs_end_with_a_killed_owner_and_the_rest_can_be_removed() -> None:
    folder = temporary_folder() / f"half-{uuid.uuid4().hex[:6]}"
    env = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", HALF_UP, str(folder)], stdout=subprocess.PIPE, env=env, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        owner.kill()
    bed = Bed.load(folder, Report(quiet=True))
    assert bed is not None
    try:
        assert bed.state.orphaned
        dockerd = bed.engine().state.dockerd
        assert dockerd is not None
        assert dockerd.wait(90), "dockerd should end with its owner"
    finally:
        bed.down()
    assert not folder.exists()


def test_failure_half_way_takes_everything_down(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = temporary_folder() / f"broken-{uuid.uuid4().hex[:6]}"
    bed = Bed.create(folder.name, folder, Report(quiet=True), temporary=True)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/nonexistent")
    bed.start_engine()
    with pytest.raises(BedError, match="holds no etcd"), bed.removed_on_failure():
        bed.start_control_plane()
    assert not folder.exists()


def _ask_until_it_answers(endpoint: instances.Endpoint) -> dict[str, object]:
    """docker-proxy takes connections some milliseconds before the program listens."""

    def look() -> dict[str, object]:
        with suppress(BedError):
            return instances.ask(endpoint)
        return {}

    return until(look)
