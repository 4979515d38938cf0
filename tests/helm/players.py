"""What players have of a release: instances in a namespace, reached from outside of the cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from controller.runtime import labels
from hack.bed.engine import docker_client
from tests.helm.poller import Poller
from tests.integration.world import Instances


@dataclass
class Players(Instances):
    """The instances of one namespace, which no change of the release may touch."""

    def containers(self) -> dict[str, tuple[str, str, int]]:
        """Id, start time and number of restarts of each of their containers, by its name."""
        found = {}
        with docker_client(self.bed.docker_host) as client:
            mark = f"{labels.INSTANCE_NAMESPACE}={self.namespace}"
            for each in client.containers(all=True, filters={"label": mark}):
                told = client.inspect_container(each["Id"])
                state = (told["Id"], told["State"]["StartedAt"], told["RestartCount"])
                found[told["Name"].lstrip("/")] = state
        return found

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """While the block inside runs, what was there stays, and every connection succeeds."""
        before, generations = self.containers(), self.generations()
        assert before, f"there are no containers of {self.namespace}"
        with Poller(self.endpoints()) as poller:
            yield
        assert poller.failures == []
        assert poller.answers > 0
        after, names = self.containers(), self.generations()
        assert {name: after.get(name) for name in before} == before
        assert {name: names.get(name) for name in generations} == generations
        self.wait("Ready")

    def generations(self) -> dict[str, tuple[str, int]]:
        """The uid and the generation of each instance."""
        found = {}
        for name in self.names():
            meta = self.get(name)["metadata"]
            found[name] = (meta["uid"], meta["generation"])
        return found

    def names(self) -> list[str]:
        """The names of all instances."""
        listed = self.kubectl("get", "chinst", "-n", self.namespace, "-o", "name").stdout.split()
        return [name.rpartition("/")[2] for name in listed]
