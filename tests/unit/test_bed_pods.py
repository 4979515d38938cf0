"""The parts of a bed that runs pods, as far as they can be judged without starting one."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from hack.bed import kubelet
from hack.bed.archive import docker_archive, root_archive
from hack.bed.engine import EngineState, own_engine
from hack.bed.errors import BedError
from hack.bed.state import own_kubelet, own_node


def test_archive_names_its_image_and_holds_the_layer_that_its_config_tells(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"program")
    root = root_archive(tmp_path / "program", "echo")
    archive = docker_archive(
        "docker.io/library/x:dev", root, entrypoint=["/echo"], architecture="arm64", command=["run"]
    )
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        read = {member.name: file.extractfile(member) for member in file.getmembers()}
        contents = {name: found.read() for name, found in read.items() if found is not None}
    (manifest,) = json.loads(contents["manifest.json"])
    config = json.loads(contents[manifest["Config"]])
    layer = contents[manifest["Layers"][0]]
    assert manifest["RepoTags"] == ["docker.io/library/x:dev"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]
    assert (config["architecture"], config["config"]["Cmd"]) == ("arm64", ["run"])
    with tarfile.open(fileobj=io.BytesIO(layer)) as file:
        assert [(member.name, member.mode) for member in file.getmembers()] == [("echo", 0o755)]


def test_kubelet_runs_only_beside_an_engine_of_the_beds_own() -> None:
    mine = own_node(2, "10.209.0.12", own_engine(Path("/bed/node-2"), "ccbed0-node-2"), "1-2")
    state = own_kubelet(mine)
    assert (state.folder, state.namespace) == (Path("/bed/node-2/pods"), "ccbed0-node-2")
    other = EngineState(url="unix:///run/docker.sock", owned=False)
    with pytest.raises(BedError, match="node-2 has no engine of the bed's own"):
        own_kubelet(mine.model_copy(update={"engine": other}))


def test_settings_of_the_machine_that_another_bed_has_changed_are_left_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubelet, "SETTINGS", tmp_path)
    for name, wanted in kubelet.SYSCTLS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text(f"{wanted}\n")
    (tmp_path / "kernel/panic").write_text("1\n")
    node = own_node(1, "10.209.0.11", own_engine(Path("/bed/node-1"), "ccbed0-node-1"), "1-2")
    assert own_kubelet(node).sysctls == {"kernel/panic": "1"}
