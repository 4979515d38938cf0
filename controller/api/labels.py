"""The labels that the controller puts on its objects.

Must hold no other logic than how one is read. The text below each one is for users.
"""

from collections.abc import Mapping
from typing import Final

POOL: Final = "challenge-controller.io/pool"
"""On an instance of a ChallengePool: the pool's name. Only the ownerReference makes it the pool's:
an instance with the label alone is nobody's."""
SEED: Final = "challenge-controller.io/seed"
"""On an instance of a ChallengePool: its seed, where that can be a label's value (at most 63
characters, with a letter or digit at both ends)."""
REVISION: Final = "challenge-controller.io/revision"
"""On an instance of a ChallengePool: a hash of instanceTemplate and the Challenge's template when
it was created; the last part of its name as well."""
INSTALLATION: Final = "challenge-controller.io/installation"
"""On a ChallengeNode: the installation whose agent has registered it. Managers heed the nodes of
their own installation only; a node without the label is one of the installation `default`."""

DEFAULT_INSTALLATION: Final = "default"
"""The installation of an agent or manager that is told no other."""


def installation(labels: Mapping[str, str]) -> str:
    """The installation of a ChallengeNode with these labels."""
    return labels.get(INSTALLATION, DEFAULT_INSTALLATION)
