"""An image's name in full, as the Docker engine understands a short one.

Pure: must ask neither a registry nor an engine. The grammar is distribution/reference's, which the
engine uses itself.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

DOCKER_HUB: Final = "docker.io"
HUB_ALIASES: Final = frozenset({"docker.io", "index.docker.io"})

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?")
_PATH = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+([.+_-][a-z0-9]+)*:[0-9a-f]{32,}")
_ID = re.compile(r"(sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageReference:
    """A registry's host (with its port), a repository there, and which of its images.

    Either `tag` or `digest` is set: an engine that is given both goes by the digest alone.
    """

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        """The name that an engine can take for nothing else, such as the start of an image's id."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"


@lru_cache(maxsize=1024)
def parse(text: str) -> ImageReference:
    """Read a name such as `ubuntu`, `team/web:1` or `registry.example.org/web@sha256:…`.

    Raises ValueError, which says what was expected, for what is no name of an image in a registry;
    an image's id is none.
    """
    if _ID.fullmatch(text):
        raise ValueError(f"expected the name of an image, not an image's id: {text!r}")
    name, at, digest = text.partition("@")
    registry, path = split_registry(name)
    repository, colon, tag = path.partition(":")
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    if not (_HOST.fullmatch(registry) and _PATH.fullmatch(repository)):
        raise ValueError(
            f"expected [registry/]name[:tag][@digest], the name in small letters: {text!r}"
        )
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(f"expected a tag of letters, digits, '_', '.' and '-' after ':': {text!r}")
    if at and not _DIGEST.fullmatch(digest):
        raise ValueError(f"expected a digest such as sha256:<64 hexadecimal digits>: {text!r}")
    return ImageReference(registry, repository, "" if at else tag or "latest", digest)


def split_registry(name: str) -> tuple[str, str]:
    """Split a name into its registry, Docker Hub where it names none, and the rest.

    The first part is a registry when it has a dot or a colon or is localhost.
    """
    first, slash, rest = name.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DOCKER_HUB, name
    return (DOCKER_HUB if first in HUB_ALIASES else first), rest
