"""An image with bash, for templates that misbehave, and containers of it."""

from typing import Any, Final

from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from tests.integration.runtime.support import shell_archive
from tests.integration.world import Object

IMAGE: Final = "faults-shell:test"


def import_shell(bed: Bed) -> str:
    """Put the image into the bed's engine; returns its name."""
    repository, _, tag = IMAGE.partition(":")
    with docker_client(bed.docker_host) as client:
        client.import_image_from_data(shell_archive(), repository=repository, tag=tag)
    return IMAGE


def shell(script: str, name: str = "shell", **fields: Any) -> Object:
    """A container that runs a script, and has to be killed."""
    return {"name": name, "image": IMAGE, "command": ["bash", "-c", script]} | fields
