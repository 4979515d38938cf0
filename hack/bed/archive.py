"""Images as archives that `docker load` and `ctr images import` take, made of single programs."""

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def root_archive(program: Path, name: str) -> bytes:
    """A root file system with the program in it; the same bytes for the same program."""
    return _tar({name: program.read_bytes()}, mode=0o755)


def docker_archive(
    image: str, root: bytes, *, entrypoint: Sequence[str], architecture: str, command: Sequence[str]
) -> bytes:
    """The image of this full name (registry, path and tag) with one layer, `root`, as an archive.

    `architecture` is Go's name of it.
    """
    layer = hashlib.sha256(root).hexdigest()
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
    }
    described = json.dumps(config).encode()
    key = hashlib.sha256(described).hexdigest()
    manifest = [{"Config": f"{key}.json", "RepoTags": [image], "Layers": [f"{layer}.tar"]}]
    members = {
        f"{key}.json": described,
        f"{layer}.tar": root,
        "manifest.json": json.dumps(manifest).encode(),
    }
    return _tar(members, mode=0o644)


def _tar(members: Mapping[str, bytes], *, mode: int) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as file:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.mode = mode
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return archive.getvalue()
