"""The image `challenge-echo`: one static program, imported into an engine without any registry."""

import io
import tarfile
from pathlib import Path

from hack.bed.cache import REPOSITORY
from hack.bed.engine import docker_client
from hack.bed.golang import Build, build, go_architecture
from hack.bed.report import Report

IMAGE = "challenge-echo:dev"
KEY_LABEL = "challenge-controller.io/source"


def import_echo_image(url: str, report: Report) -> str:
    """Put the image into the engine at `url`, unless this very one is there; returns its name."""
    with docker_client(url) as client:
        wanted = Build(
            "echo",
            "dev",
            REPOSITORY / "hack" / "image" / "echo",
            ".",
            architecture=go_architecture(client.info()["Architecture"]),
        )
        key = wanted.key()
        found = client.images(name=IMAGE, filters={"label": f"{KEY_LABEL}={key}"})
        if found:
            return IMAGE
        name, _, tag = IMAGE.partition(":")
        client.import_image_from_data(
            _archive(build(wanted, report)),
            repository=name,
            tag=tag,
            changes=[
                'ENTRYPOINT ["/echo"]',
                'CMD ["serve"]',
                "EXPOSE 8080/tcp 9000/tcp 9000/udp",
                f"LABEL {KEY_LABEL}={key}",
            ],
        )
    return IMAGE


def _archive(program: Path) -> bytes:
    """A root file system with the program in it; the same bytes for the same program."""
    content = program.read_bytes()
    member = tarfile.TarInfo("echo")
    member.mode = 0o755
    member.size = len(content)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as file:
        file.addfile(member, io.BytesIO(content))
    return archive.getvalue()
