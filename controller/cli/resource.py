"""The resources that the plugin asks for: their names in paths, in rights and in messages."""

from dataclasses import dataclass
from typing import Final

from controller.api.instance import ChallengeInstance
from controller.api.meta import API_VERSION
from controller.api.node import ChallengeNode


@dataclass(frozen=True)
class Resource:
    """A kind as the API server's paths have it."""

    api_version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group."""
        return self.api_version.partition("/")[0]

    @property
    def full_name(self) -> str:
        """`plural.group`, as rights and CustomResourceDefinitions have it."""
        return f"{self.plural}.{self.group}"

    def path(self, name: str = "") -> str:
        """The end of the path of an object, or of the collection."""
        return f"{self.plural}/{name}" if name else self.plural

    def printed(self, name: str) -> str:
        """An object as kubectl's `-o name` has it."""
        return f"{self.kind.lower()}.{self.group}/{name}"


NODES: Final = Resource(API_VERSION, ChallengeNode.PLURAL, ChallengeNode.KIND, namespaced=False)
INSTANCES: Final = Resource(API_VERSION, ChallengeInstance.PLURAL, ChallengeInstance.KIND)
LEASES: Final = Resource("coordination.k8s.io/v1", "leases", "Lease")
