"""The image `challenge-echo`: one static program, imported into an engine without any registry."""

import json
import os

from hack.bed.archive import docker_archive, root_archive
from hack.bed.cache import REPOSITORY
from hack.bed.engine import docker_client
from hack.bed.golang import Build, build, go_architecture
from hack.bed.report import Report

IMAGE = "challenge-echo:dev"
KEY_LABEL = "challenge-controller.io/source"
ENTRYPOINT = ["/echo"]


def import_echo_image(url: str, report: Report) -> str:
    """Put the image into the engine at `url`, unless this very one is there; returns its name."""
    with docker_client(url) as client:
        wanted = _program(go_architecture(client.info()["Architecture"]))
        key = wanted.key()
        found = client.images(name=IMAGE, filters={"label": f"{KEY_LABEL}={key}"})
        if found:
            return IMAGE
        name, _, tag = IMAGE.partition(":")
        client.import_image_from_data(
            root_archive(build(wanted, report), "echo"),
            repository=name,
            tag=tag,
            changes=[
                f"ENTRYPOINT {json.dumps(ENTRYPOINT)}",
                'CMD ["serve"]',
                "EXPOSE 8080/tcp 9000/tcp 9000/udp",
                f"LABEL {KEY_LABEL}={key}",
            ],
        )
    return IMAGE


def echo_archive(image: str, command: list[str], report: Report) -> bytes:
    """An image of this full name that runs a command of the program, for this machine's kind."""
    architecture = go_architecture(os.uname().machine)
    root = root_archive(build(_program(architecture), report), "echo")
    return docker_archive(
        image, root, entrypoint=ENTRYPOINT, architecture=architecture, command=command
    )


def _program(architecture: str) -> Build:
    source = REPOSITORY / "hack" / "image" / "echo"
    return Build("echo", "dev", source, ".", architecture=architecture)
