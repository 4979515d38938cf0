"""Containers of the product's own image, on the bed's engine."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker

from hack.bed.cache import REPOSITORY


@dataclass(frozen=True)
class Ended:
    """A container that has ended: its exit code, and what it wrote."""

    code: int
    output: str
    errors: str


# As tight as an engine can make it; what a test needs more it says.
TIGHT: Mapping[str, Any] = {
    "read_only": True,
    "tmpfs": {"/tmp": ""},
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "network_mode": "none",
}


@contextmanager
def container_of(
    client: docker.APIClient,
    image: str,
    *words: str,
    entrypoint: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    user: str | None = None,
    **host: Any,
) -> Iterator[str]:
    """A started container, tight but for what `host` says; its id. It is removed at the end."""
    config = client.create_host_config(**{**TIGHT, **host})
    made = client.create_container(
        image,
        list(words),
        entrypoint=list(entrypoint) if entrypoint else None,
        environment=dict(environment or {}),
        user=user,
        host_config=config,
    )["Id"]
    try:
        client.start(made)
        yield made
    finally:
        client.remove_container(made, force=True, v=True)


def run_in(client: docker.APIClient, image: str, *words: str, **settings: Any) -> Ended:
    """Run a container of the image to its end."""
    with container_of(client, image, *words, **settings) as made:
        code = client.wait(made, timeout=300)["StatusCode"]
        output = client.logs(made, stdout=True, stderr=False).decode()
        return Ended(code, output, client.logs(made, stdout=False, stderr=True).decode())


def documented(command: str, page: str) -> dict[str, list[str]]:
    """The options of a command on a page of docs/, each with its values, as they are there."""
    text = (REPOSITORY / "docs" / page).read_text()
    _, begin, rest = text.partition(f"\n$ {command} ")
    assert begin, f"docs/{page} has no command {command}"
    words = shlex.split(rest.replace("\\\n", " ").partition("\n")[0])
    found: dict[str, list[str]] = defaultdict(list)
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if word.startswith("--"):
            found[word].extend([] if following.startswith("--") else [following])
    return found
