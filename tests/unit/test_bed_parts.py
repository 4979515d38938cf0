"""The parts of a bed that can be judged without starting one."""

import ipaddress
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from hack.bed import dev, foreign, golang, programs
from hack.bed.bed import Bed
from hack.bed.cache import cache_folder, state_folder
from hack.bed.certificates import Authority
from hack.bed.engine import EngineState, foreign_engine
from hack.bed.errors import BedError
from hack.bed.golang import Build
from hack.bed.network import SUBNETS, NetworkState
from hack.bed.report import Report
from hack.bed.state import BedState, every_bed, load_state
from hack.bed.traces import Traces


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folders in a place of the test's own; no engine in the environment."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return tmp_path


def new_bed(name: str = "dev", *, temporary: bool = False) -> Bed:
    return Bed.create(name, state_folder() / name, Report(quiet=True), temporary=temporary)


# -- folders and state ---------------------------------------------------------------------------


def test_relative_xdg_folders_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "challenge-controller"


def test_state_comes_back_as_it_was_written() -> None:
    bed = new_bed()
    bed.state.network = NetworkState(number=7)
    bed.state.save()
    assert load_state(bed.state.folder) == bed.state
    assert [state.name for state in every_bed()] == ["dev"]


def test_two_beds_of_one_name_are_refused() -> None:
    new_bed()
    with pytest.raises(BedError, match=r"there is a bed in .*/dev already"):
        new_bed()


def test_state_that_cannot_be_read_names_the_file() -> None:
    bed = new_bed()
    (bed.state.folder / "bed.json").write_text('{"name": "dev"}')
    with pytest.raises(BedError, match=r"bed.json: Field required at \('folder',\)"):
        load_state(bed.state.folder)


@pytest.mark.parametrize(
    ("temporary", "complete", "owner_lives", "orphaned"),
    [
        (True, True, True, False),
        (True, True, False, True),
        (False, True, False, False),
        (False, False, False, True),
        (False, False, True, False),
    ],
)
def test_only_beds_that_nobody_can_want_are_orphans(
    temporary: bool, complete: bool, owner_lives: bool, orphaned: bool
) -> None:
    state: BedState = new_bed(temporary=temporary).state
    state.complete = complete
    if not owner_lives:
        state.owner.started -= 1
    assert state.orphaned is orphaned


def test_down_of_an_empty_bed_removes_its_folder_and_can_be_repeated() -> None:
    bed = new_bed()
    bed.down()
    assert not bed.state.folder.exists()
    bed.down()


# -- network and engine --------------------------------------------------------------------------


def test_links_of_a_bed_fit_the_kernels_limit_and_its_subnet() -> None:
    for number in (0, len(SUBNETS) - 1):
        state = NetworkState(number=number)
        assert len(state.link(99)) <= 15
        assert ipaddress.ip_address(state.node_address(99)) in state.subnet
        assert state.address not in {state.node_address(node) for node in range(1, 100)}


def test_beds_on_one_engine_get_ports_and_networks_of_their_own() -> None:
    engine = EngineState(url="unix:///nowhere.sock", owned=False)
    nodes = []
    for number in range(foreign.BEDS):
        bed = new_bed(f"b{number}")
        bed.state.nodes = [foreign.claim_node(engine)]
        bed.state.save()
        nodes += bed.state.nodes
    assert len({node.ports for node in nodes}) == foreign.BEDS
    networks = [
        ipaddress.IPv4Network(text)
        for node in nodes
        for text in (node.shared_subnets, node.instance_subnets)
    ]
    overlaps = [(a, b) for a in networks for b in networks if a is not b and a.overlaps(b)]
    assert overlaps == []
    with pytest.raises(BedError, match="10 beds share this Docker engine already"):
        foreign.claim_node(engine)


def test_docker_host_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    with pytest.raises(BedError, match=r"DOCKER_HOST=unix:///nonexistent.sock: no Docker engine"):
        foreign_engine()


def test_traces_name_what_is_new_and_only_that() -> None:
    nothing: frozenset[str] = frozenset()
    before = Traces(nothing, frozenset({"bridge"}), nothing, nothing, nothing)
    after = Traces(
        frozenset({"chal-1"}), frozenset({"bridge", "n"}), nothing, nothing, frozenset({"10000"})
    )
    assert after.left_over(before) == ["container chal-1", "network n", "port 10000"]
    assert before.left_over(after) == []


# -- certificates --------------------------------------------------------------------------------


def test_certificates_bear_users_groups_and_hosts(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    client = authority.client("c", user="student", groups=["players", "testers"])
    found = x509.load_pem_x509_certificate(client.certificate.read_bytes())
    names = found.subject.get_attributes_for_oid
    assert [str(name.value) for name in names(NameOID.COMMON_NAME)] == ["student"]
    organizations = [str(name.value) for name in names(NameOID.ORGANIZATION_NAME)]
    assert organizations == ["players", "testers"]

    server = authority.server("s", ["127.0.0.1", "localhost"])
    found = x509.load_pem_x509_certificate(server.certificate.read_bytes())
    hosts = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    assert "127.0.0.1" in str(hosts.value)
    assert "localhost" in str(hosts.value)


def test_authority_of_a_folder_stays_the_same_and_is_private(tmp_path: Path) -> None:
    first = Authority(tmp_path / "pki").pair.certificate.read_bytes()
    again = Authority(tmp_path / "pki")
    assert again.pair.certificate.read_bytes() == first
    for path in (tmp_path / "pki").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


# -- programs ------------------------------------------------------------------------------------


def test_versions_come_from_the_modules() -> None:
    wanted = programs.kubernetes_build("kube-apiserver", core_seconds=1)
    assert wanted.version.startswith("v1.")
    assert f"gitVersion={wanted.version}" in wanted.ldflags
    assert programs.etcd_build().version.startswith("v3.")


def test_key_of_a_build_follows_its_sources(tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "main.go").write_text("package main")
    wanted = Build("x", "v1", module, ".")
    before = wanted.key()
    (module / "notes.txt").write_text("no source")
    assert wanted.key() == before
    (module / "main.go").write_text("package main // changed")
    assert wanted.key() != before
    assert Build("x", "v1", module, ".", ldflags="-s").key() != wanted.key()


def test_build_that_is_cached_runs_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Build("x", "v1", tmp_path, ".", architecture="amd64")
    target = cache_folder() / "bin" / f"x-v1-amd64-{wanted.key()}"
    target.parent.mkdir(parents=True)
    target.touch()
    monkeypatch.setenv("PATH", "")
    assert golang.build(wanted, Report(quiet=True)) == target


def test_assets_folder_that_lacks_a_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(BedError, match=r"KUBEBUILDER_ASSETS=.* holds no etcd"):
        programs.find_programs(Report(quiet=True))
    for name in ("etcd", "kube-apiserver"):
        (tmp_path / name).touch()
    assert programs.find_programs(Report(quiet=True)).etcd == tmp_path / "etcd"


# -- commands ------------------------------------------------------------------------------------


def hack_dev(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(dev.main, words)
    return result.exit_code, result.output


def test_commands_on_a_bed_that_is_not_there_say_so() -> None:
    code, output = hack_dev("env")
    assert code == 1
    assert output == "Error: there is no bed dev; `hack/dev up --name dev` starts it\n"
    assert hack_dev("status") == (0, "No bed is up; `hack/dev up` starts one.\n")
    assert hack_dev("down") == (0, "There is no bed dev.\n")
    assert hack_dev("down", "--all") == (0, "No bed is up.\n")


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "ä", "a" * 33, "../x"])
def test_names_of_beds_are_plain(name: str) -> None:
    code, output = hack_dev("env", "--name", name)
    assert code == 2
    assert "expected 1 to 32 lower-case letters, digits and dashes" in output


def test_bed_that_is_being_started_is_not_started_again() -> None:
    new_bed()
    code, output = hack_dev("up")
    assert code == 1
    assert f"the bed dev is being started by pid {os.getpid()}" in output


def test_several_nodes_need_engines_and_a_control_plane_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, text = hack_dev("up", "--nodes", "3", "--use-current-cluster")
    assert (code, "--nodes 3 needs a control plane that its nodes reach" in text) == (1, True)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    code, text = hack_dev("up", "--nodes", "3")
    assert (code, "starts an engine for each: unset DOCKER_HOST" in text) == (1, True)
    assert every_bed() == []


def test_a_part_without_a_log_is_told_of_those_with_one() -> None:
    logs = new_bed().state.folder / "logs"
    logs.mkdir()
    for name in ("manager", "agent-1", "dockerd-node-1"):
        (logs / f"{name}.log").write_text(f"this is {name}\n")
    assert hack_dev("logs") == (0, "this is manager\n")
    assert hack_dev("logs", "dockerd") == (0, "this is dockerd-node-1\n")
    code, text = hack_dev("logs", "agent-2")
    assert code == 1
    assert "agent-2 of this bed has logged nothing; what has: agent-1, dockerd-node-1" in text
