"""The container image: it is what it says, runs with next to no rights, and is a whole agent."""

import json
import os
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from hack.bed import accounts
from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY, cache_folder
from hack.bed.controllers import settings_of
from hack.bed.engine import docker_client
from hack.bed.foreign import remove_from_engine
from hack.bed.kubeconfig import Kubectl
from hack.bed.processes import run
from hack.bed.running import RunningController
from hack.image.image import default_tag
from tests.integration.containers import container_of, documented, run_in
from tests.integration.world import Instances, container, instance

NOBODY = "65532:65532"
EVERY_MODULE = """
import importlib, pkgutil, controller
for module in pkgutil.walk_packages(controller.__path__, "controller."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
import ssl
assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 100
"""

VERSIONS = """
import subprocess, sys
for program in sys.argv[1:]:
    print(subprocess.check_output([program, "--version"], text=True), end="")
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's file, as the command writes it."""
    file = tmp_path_factory.mktemp("image") / "image.tar"
    run(REPOSITORY / "hack" / "image" / "build", "--output", file, timeout=600)
    return file


@pytest.fixture(scope="module")
def client(bed: Bed) -> Iterator[docker.APIClient]:
    """A client of the bed's engine."""
    with docker_client(bed.docker_host) as made:
        yield made


@pytest.fixture(scope="module")
def image(client: docker.APIClient, archive: Path) -> Iterator[str]:
    """The image's name; the bed's engine has loaded it."""
    with archive.open("rb") as file:
        client.load_image(file)  # type: ignore[no-untyped-call]  # stubs
    yield default_tag()
    client.remove_image(default_tag(), force=True)


def test_it_says_what_it_is(client: docker.APIClient, image: str) -> None:
    config = client.inspect_image(image)["Config"]  # type: ignore[no-untyped-call]  # stubs
    labels = config["Labels"]
    assert config["Entrypoint"] == ["/usr/bin/tini", "--", "challenge-controller"]
    assert config["User"] == NOBODY
    assert not config["Cmd"]
    assert labels["org.opencontainers.image.title"] == "challenge-controller"
    assert f"challenge-controller:{labels['org.opencontainers.image.version']}" == image
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_nobody_with_no_rights_can_run_it(client: docker.APIClient, image: str) -> None:
    assert "Usage: challenge-controller" in run_in(client, image, "--help").output
    version = run_in(client, image, "--version")
    assert version.output == f"challenge-controller, version {image.partition(':')[2]}\n"
    definitions = run_in(client, image, "crds")
    files = sorted((REPOSITORY / "crds").glob("*.yaml"))
    assert definitions.code == 0
    assert all(file.read_text() in definitions.output for file in files)
    who = run_in(client, image, "-c", "import os; print(os.getuid())", entrypoint=["python"])
    assert who.output == "65532\n"


def test_every_module_finds_what_it_needs(client: docker.APIClient, image: str) -> None:
    ended = run_in(client, image, "-W", "error", "-c", EVERY_MODULE, entrypoint=["python"])
    assert (ended.code, ended.errors) == (0, "")


def test_a_wrong_setting_is_told_in_a_line(client: docker.APIClient, image: str) -> None:
    ended = run_in(client, image, "agent", environment={"CHALLENGE_PORTS": "many"})
    assert ended.code == 2
    assert ended.errors.startswith("Error: wrong settings\nCHALLENGE_PORTS='many': expected")


def test_root_has_both_kinds_of_iptables(client: docker.APIClient, image: str) -> None:
    root = {"user": "0:0", "cap_add": ["NET_ADMIN", "NET_RAW"]}
    kinds = {"": "nf_tables", "-nft": "nf_tables", "-legacy": "legacy"}
    wanted = {
        f"{family}{variant}{tool}": kind
        for family in ("iptables", "ip6tables")
        for variant, kind in kinds.items()
        for tool in ("", "-save", "-restore")
    }
    ended = run_in(client, image, "-c", VERSIONS, *wanted, entrypoint=["python"], **root)
    assert (ended.code, ended.errors) == (0, "")
    assert [line.rpartition(" ")[2] for line in ended.output.splitlines()] == [
        f"({kind})" for kind in wanted.values()
    ]


def test_nothing_of_the_machine_that_it_was_made_on_is_in_it(archive: Path) -> None:
    index = run(sys.executable, "-m", "pip", "config", "list").stdout
    urls = [word.strip("'") for word in index.split() if "://" in word]
    places = [str(REPOSITORY), str(cache_folder()), str(Path.home() / ""), sys.prefix, *urls]
    marks = [place.encode() for place in places if len(place) > 5]
    sources, compiled = set(), set()
    for member, content in files(archive):
        path = Path(member.name)
        assert not member.mode & 0o6000, f"{path} gives its user another's rights"
        assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 0)
        assert not [mark for mark in marks if mark in content], path
        assert path.name != "direct_url.json", path
        assert path not in (Path("usr/bin/sh"), Path("usr/bin/dpkg"), Path("usr/bin/env")), path
        if path.suffix == ".pyc":
            # Unchecked by hash (PEP 552): whoever mounts it, whenever, it is taken as it is.
            assert content[4:8] == b"\1\0\0\0", path
            compiled.add(path.parent.parent / f"{path.name.partition('.')[0]}.py")
        elif path.suffix == ".py":
            sources.add(path)
    assert compiled <= sources
    left_out = {path for path in sources - compiled if "kubernetes/client" not in str(path)}
    assert left_out == set()


def test_every_package_in_it_can_be_listed(archive: Path) -> None:
    """What syft and trivy read: dpkg's fields and pip's own metadata, with versions."""
    paths = {member.name: content for member, content in files(archive)}
    debian = {path: text for path, text in paths.items() if "/status.d/" in path}
    assert {"iptables", "tini", "libssl3"} <= {path.rpartition("/")[2] for path in debian}
    assert all(b"\nVersion: " in text for text in debian.values())
    pinned = (REPOSITORY / "hack" / "constraints.txt").read_text().split()
    wheels = [path.split("/")[-2] for path in paths if path.endswith(".dist-info/METADATA")]
    versions = {wheel.removesuffix(".dist-info").replace("-", "==").lower() for wheel in wheels}
    known = {pin.replace("-", "_").lower() for pin in pinned} | {f"{default_tag()}"}
    known = {each.replace("challenge-controller:", "challenge_controller==") for each in known}
    assert versions <= known


@pytest.mark.slow
def test_the_same_code_gives_the_same_image(archive: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar"
    run(REPOSITORY / "hack" / "image" / "build", "--output", again, timeout=600)
    assert again.read_bytes() == archive.read_bytes()


@pytest.mark.slow
def test_the_same_packages_give_the_same_image(tmp_path: Path) -> None:
    env = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = (sys.executable, "-m", "hack.image", "--fresh", "--output")
    made = [tmp_path / "one.tar", tmp_path / "other.tar"]
    for file in made:
        run(*command, file, env=env, timeout=600)
    assert made[0].read_bytes() == made[1].read_bytes()


@pytest.mark.usefixtures("own_engine")
def test_containerd_takes_it(bed: Bed, archive: Path) -> None:
    folder = bed.engine().state.folder
    ctr = ("ctr", "--address", f"{folder}/containerd.sock", "--namespace", "image-test", "images")
    run(*ctr, "import", "--no-unpack", archive)
    name = f"docker.io/library/{default_tag()}"
    assert name in run(*ctr, "ls", "--quiet").stdout.split()
    run(*ctr, "rm", "--sync", name)


@pytest.fixture
def agent(
    bed: Bed, kubectl: Kubectl, client: docker.APIClient, image: str, own_engine: None
) -> Iterator[str]:
    """An agent in a container of its node's engine, as the docs run it, and a manager; its id."""
    name = "image-agent"
    manager = RunningController.start(bed, "image-manager", role="manager", number=None)
    node = bed.node()
    kubeconfig = accounts.agent_kubeconfig(bed.control_plane, kubectl, name, node.name)
    settings = settings_of(bed.state, node, kubeconfig, name)
    state = Path(settings["CHALLENGE_STATE_DIR"])
    state.mkdir(parents=True, mode=0o700)
    Path("/run/xtables.lock").touch(mode=0o600)
    given = documented("docker run", "image.md")
    here = {
        "/run/docker.sock": [node.engine.url.removeprefix("unix://")],
        "/var/lib/challenge-controller": [str(state)],
        "/etc/challenge-controller": [str(kubeconfig), str(kubeconfig.with_suffix(".token"))],
    }
    binds = []
    for volume in given["--volume"]:
        source, _, target = volume.partition(":")
        mode = target.partition(":")[2] or "rw"
        binds += [f"{path}:{path}:{mode}" for path in here.get(source, [source])]
    with container_of(
        *(client, image, "agent"),
        environment=settings,
        user=given["--user"][0],
        cap_drop=given["--cap-drop"],
        cap_add=given["--cap-add"],
        security_opt=given["--security-opt"],
        network_mode=given["--network"][0],
        pid_mode=given["--pid"][0],
        read_only="--read-only" in given,
        tmpfs=dict.fromkeys(given["--tmpfs"], ""),
        binds=binds,
    ) as made:
        yield made
    manager.stop()
    remove_from_engine(bed.docker_host, bed.state.name)


@pytest.mark.slow  # the tests with Helm run it as one, too
def test_it_is_an_agent(
    bed: Bed,
    kubectl: Kubectl,
    namespace: str,
    client: docker.APIClient,
    echo_image: str,
    agent: str,
) -> None:
    instances = Instances(bed, kubectl, namespace)
    volume = {"name": "work", "emptyDir": {"sizeLimit": "1Mi"}}
    mounts = [{"name": "work", "mountPath": "/work"}]
    try:
        instances.apply(
            instance(
                "boxed",
                container(echo_image, volumeMounts=mounts),
                template={"volumes": [volume]},
                user="alice",
            )
        )
        instances.wait("Ready", "boxed")
        answers = instances.answers("boxed")
        assert {answer["user"] for answer in answers.values()} == {"alice"}
        status = json.loads(kubectl("get", "chnode", bed.node().name, "-o", "json").stdout)
        conditions = {c["type"]: c["status"] for c in status["status"]["conditions"]}
        assert conditions["FirewallReady"] == "True"
        assert status["status"]["version"] == default_tag().partition(":")[2]
        instances.delete("boxed")
    finally:
        print(client.logs(agent).decode())
    client.stop(agent, timeout=50)
    assert client.inspect_container(agent)["State"]["ExitCode"] == 0
    said = client.logs(agent).decode()
    assert "Traceback" not in said
    assert "tini" not in said


def files(archive: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    """Every entry of every layer, with what is in it."""
    with tarfile.open(archive) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest is not None
        for path in json.load(manifest)[0]["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(path)) as layer:
                for member in layer:
                    content = layer.extractfile(member) if member.isreg() else None
                    yield member, content.read() if content else b""
