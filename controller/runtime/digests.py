"""Under which digests registries have the engine's images, as far as it is known here.

A memory of what the engine has said of an image when it was looked at. It must not ask the engine.
"""

from typing import Any

from controller.api import image_reference


class Digests:
    """The digests by image id; one image can have several, of several repositories."""

    def __init__(self) -> None:
        self._by_id: dict[str, tuple[str, ...]] = {}

    def note(self, image_id: str, found: dict[str, Any]) -> None:
        """Take in what the engine says of an image; empty for one that it has no more."""
        self._by_id[image_id] = tuple(found.get("RepoDigests") or ())

    def known(self, image_id: str) -> bool:
        """Whether the engine was asked about this image."""
        return image_id in self._by_id

    def forget(self) -> None:
        """Forget all: a pull can give an image that is there another digest."""
        self._by_id.clear()

    def named(self, image_id: str, image: str) -> str | None:
        """The image's digest in the repository that `image` names, as `name@sha256:…`.

        Another repository's where that one has none, and the id of an image that came from no
        registry. None for an image that is not known.
        """
        digests = self._by_id.get(image_id)
        if digests is None:
            return None
        repository = _repository(image)
        own = [digest for digest in digests if _repository(digest) == repository]
        return (own or [*digests, image_id])[0]


def _repository(image: str) -> str:
    try:
        return image_reference.parse(image).name
    except ValueError:
        return image
