"""A pattern of images that an operator allows, and what it matches.

Pure. Compared part by part with a name in full: a registry is never matched by what stands in a
path, nor a tag by a digest.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from controller.api.image_reference import DOCKER_HUB, ImageReference, split_registry

EVERY_IMAGE: Final = "*"

_HOST = re.compile(r"[A-Za-z0-9*]([A-Za-z0-9.*-]*[A-Za-z0-9*])?(:[0-9*]+)?")
_PATH = re.compile(r"[a-z0-9._*-]+(/[a-z0-9._*-]+)*")
_END = re.compile(r"[A-Za-z0-9._:*-]+")


@dataclass(frozen=True)
class ImagePattern:
    """The parts of a pattern, each with `*` for any characters of that part."""

    registry: str
    repository: str
    tag: str
    digest: str

    def matches(self, image: ImageReference) -> bool:
        """Whether the image is one of the pattern's.

        Without tag and digest in the pattern every tag and digest of the repository is. One with a
        tag matches no digest, since what a digest stands for need not be what has the tag.
        """
        if not (
            _like(self.registry, image.registry.lower())
            and _like(self.repository, image.repository)
        ):
            return False
        if self.digest:
            return bool(image.digest) and _like(self.digest, image.digest)
        return not self.tag or (not image.digest and _like(self.tag, image.tag))


@lru_cache(maxsize=256)
def parse(text: str) -> ImagePattern:
    """Read a pattern such as `registry.example.org/ctf/*`; `*` alone is every image.

    As in an image's name, the first part is a registry when it has a dot or a colon or is
    localhost, and a pattern without one is about Docker Hub. Raises ValueError, which says what was
    expected.
    """
    if text == EVERY_IMAGE:
        return ImagePattern("*", "*", "", "")
    name, at, digest = text.partition("@")
    registry, path = split_registry(name)
    repository, colon, tag = path.partition(":")
    parts = [(_HOST, registry), (_PATH, repository)]
    parts += [(_END, tag)] if colon else []
    parts += [(_END, digest)] if at else []
    if not all(kind.fullmatch(part) for kind, part in parts):
        raise ValueError(
            f"expected patterns such as registry.example.org/ctf/*, ubuntu:24.04 or *; {text!r} "
            "is none"
        )
    if registry == DOCKER_HUB and "/" not in repository and repository != "*":
        repository = f"library/{repository}"
    return ImagePattern(registry.lower(), repository, tag, digest)


def _like(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text) is not None


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
