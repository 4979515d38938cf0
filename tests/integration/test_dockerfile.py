"""The Dockerfile builds, with an engine of our own, upon a Debian that Debian's installer makes."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from hack.bed.bed import Bed
from hack.bed.cache import REPOSITORY
from hack.bed.engine import Engine, EngineState, docker_client
from hack.bed.packages import install_missing
from hack.bed.processes import run
from hack.image.debian import RELEASE
from hack.image.image import default_tag
from hack.image.mirrors import mirrors
from tests.integration.containers import run_in

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_engine")]
BASE = "debian-of-the-test:1"
# Neither bridge nor rules: builds use this machine's own network, where the registries are.
DAEMON = {"bridge": "none", "iptables": False, "ip-forward": False, "ip-masq": False}


@pytest.fixture(scope="module")
def client(bed: Bed) -> Iterator[docker.APIClient]:
    """A client of an engine that can reach what this machine reaches."""
    folder = bed.state.folder / "build"
    folder.mkdir()
    url = f"unix://{folder}/docker.sock"
    engine = Engine(
        EngineState(url=url, owned=True, folder=folder, daemon=DAEMON), dies_with_parent=True
    )
    engine.start()
    with docker_client(url, timeout=600) as made:
        yield made
    engine.stop()


@pytest.fixture(scope="module")
def base(bed: Bed, client: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image such as debian:bookworm-slim, with what this machine knows of its registries."""
    install_missing(bed.report, {"debootstrap": "debootstrap"})
    folder = tmp_path_factory.mktemp("debian")
    root, mirror = folder / "root", mirrors(None, None).main
    run("debootstrap", "--variant=minbase", RELEASE, root, mirror, timeout=600)
    (root / "etc/apt/sources.list").write_text(f"deb {mirror} {RELEASE} main\n")
    _tell_pip(root)
    run("tar", "--create", "--file", folder / "root.tar", "--directory", root, ".", timeout=120)
    shutil.rmtree(root)
    with (folder / "root.tar").open("rb") as content:
        name, _, tag = BASE.partition(":")
        client.import_image_from_file(content.name, repository=name, tag=tag)
    (folder / "root.tar").unlink()
    return BASE


def _tell_pip(root: Path) -> None:
    """Have pip in the image look where pip here does, with the same authorities."""
    lines = run(sys.executable, "-m", "pip", "config", "list").stdout.splitlines()
    found = dict(line.split("=", 1) for line in lines)
    options = {key.partition(".")[2]: value.strip("'") for key, value in found.items()}
    if "cert" in options:
        shutil.copy(options["cert"], root / "etc/authorities-of-the-test.crt")
        options["cert"] = "/etc/authorities-of-the-test.crt"
    options.pop("find-links", None)
    text = "".join(f"{key} = {value}\n" for key, value in options.items())
    (root / "etc/pip.conf").write_text(f"[global]\n{text}")


def test_it_builds_and_runs(client: docker.APIClient, base: str) -> None:
    tag = "challenge-controller:of-the-dockerfile"
    lines = client.build(
        path=str(REPOSITORY),
        dockerfile=str(REPOSITORY / "hack" / "image" / "Dockerfile"),
        tag=tag,
        buildargs={"BASE": base, "REVISION": "0123abc"},
        network_mode="host",
        decode=True,
        rm=True,
    )
    said = []
    for line in lines:
        said.append(line.get("stream", ""))
        assert "error" not in line, "".join(said) + line["error"]
    labels = client.inspect_image(tag)["Config"]["Labels"]  # type: ignore[no-untyped-call]  # stubs
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    version = default_tag().partition(":")[2]
    assert run_in(client, tag, "--version").output == f"challenge-controller, version {version}\n"
    assert run_in(client, tag, "crds").code == 0
    setuid = "import os; print([p for d, _, f in os.walk('/usr') for n in f for p in [d + '/' + n]"
    setuid += " if not os.path.islink(p) and os.stat(p).st_mode & 0o6000])"
    assert run_in(client, tag, "-c", setuid, entrypoint=["python"]).output == "[]\n"
    for program in ("iptables-nft", "iptables-legacy", "ip6tables-nft-restore"):
        ended = run_in(client, tag, entrypoint=[program, "--version"], user="0:0")
        assert ended.output.startswith(program.partition("-")[0])
    print(client.inspect_image(tag)["Size"])  # type: ignore[no-untyped-call]  # stubs
