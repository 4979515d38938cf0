"""What is known of how much instances write: who is over a limit.

The memory beside `storage`, which acts on it. It asks nobody anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Excess:
    """That a container, by the engine's id and the template's name, is over a limit."""

    id: str
    container: str
    message: str


@dataclass
class StorageWatch:
    """The excesses found and not yet over, by instance uid."""

    has_quotas: bool = True
    """Whether the engine's storage driver holds a limit by itself, until it says that it cannot."""
    _excesses: dict[str, Excess] = field(default_factory=dict)

    def exceed(self, uid: str, excess: Excess) -> None:
        """Note it; the instance is to be woken after."""
        self._excesses.setdefault(uid, excess)

    def excess(self, uid: str, ids: Iterable[str]) -> Excess | None:
        """What is known of an instance with containers of these ids; gone with its container."""
        found = self._excesses.get(uid)
        return found if found is not None and found.id in ids else None

    def forget(self, uid: str) -> None:
        """Drop what is known of a uid."""
        self._excesses.pop(uid, None)
