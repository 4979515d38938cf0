"""Instances that come, go, rest and stay while something is broken, and what must become of them.

`Churn.stir` asks for all four at once; `Churn.settle` waits until each is as it should be: it
answers for itself, was launched once, and nothing else is there.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.instances import ask
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController
from tests.integration.world import Object, World, container, instance, until
from tests.onenode import new_namespace

CONVERGED = 90.0
"""Seconds after a fault's end within which everything is as it should be, on a machine in use."""


@dataclass
class Churn:
    """Instances of one world, changed again and again."""

    world: World
    image: str
    stays: str = ""
    """The container of the one that nothing is ever done to."""
    rests: bool = False
    last: str = ""
    """Who came the last time; goes the next time."""
    _numbers: "count[int]" = field(default_factory=count)

    def begin(self) -> None:
        """Have one that stays, one that will rest, and one that will go; all Ready."""
        if self.stays:
            return
        self.last = "comes-first"
        self.world.apply(*(instance(n, container(self.image)) for n in ("stays", "rests")))
        self.world.apply(instance(self.last, container(self.image)))
        self.world.wait("Ready")
        self.stays = self._ids("stays")[0]

    def stir(self) -> None:
        """One comes, one goes, and one is suspended, or resumed the next time."""
        self.rests = not self.rests
        going, self.last = self.last, f"comes-{next(self._numbers)}"
        self.world.apply(
            instance(self.last, container(self.image)),
            instance("rests", container(self.image), suspended=self.rests),
        )
        self.world.kubectl("delete", "chinst", going, "-n", self.world.namespace, "--wait=false")

    def settle(self, timeout: float = CONVERGED) -> None:
        """Wait until all is as it should be; raises TimeoutError with what is not."""
        try:
            until(self._amiss, lambda amiss: not amiss, timeout)
        except TimeoutError:
            self.world.tell()
            raise
        for endpoint in self.world.endpoints():
            if endpoint.instance != "rests" or not self.rests:
                ask(endpoint)
        assert self._ids("stays") == [self.stays], "it was launched anew"
        assert self.launches(self.last) == 1
        assert self.world.problems() == []

    def launches(self, name: str) -> int:
        """How many containers were ever made for an instance, by the engine's own account."""
        with self.world.docker() as client:
            since = int(self.world.controller.process.begin.timestamp())
            wanted = {
                "type": "container",
                "event": "create",
                "label": f"{labels.INSTANCE_NAME}={name}",
            }
            made = client.events(
                since=since, until=int(time.time()) + 1, filters=wanted, decode=True
            )
            return len(list(made))

    def _amiss(self) -> list[str]:
        """What is not yet as it should be."""
        listed = self.world.kubectl(
            "get", "chinst", "-n", self.world.namespace, "-o", "json", check=False
        ).stdout
        found = {o["metadata"]["name"]: o for o in json.loads(listed or '{"items": []}')["items"]}
        wanted = {
            "stays": "Ready",
            "rests": "Suspended" if self.rests else "Ready",
            self.last: "Ready",
        }
        amiss = [f"{name} is there" for name in found.keys() - wanted.keys()]
        amiss += [
            f"{name} is not {kind}: {_said(found.get(name, {}))}"
            for name, kind in wanted.items()
            if not _is(found.get(name, {}), kind)
        ]
        if amiss:
            return amiss
        present = sorted(c["Labels"][labels.INSTANCE_NAME] for c in self.world.containers())
        rows = sorted(self.world.rows())
        return [
            f"{what}: {names}"
            for what, names in (("containers", present), ("rows", rows))
            if names != sorted(wanted)
        ]

    def _ids(self, name: str) -> list[str]:
        marks = [(c["Labels"][labels.INSTANCE_NAME], c["Id"]) for c in self.world.containers()]
        return [found for owner, found in marks if owner == name]


def _is(found: Object, kind: str) -> bool:
    status = found.get("status", {})
    if status.get("observedGeneration") != found.get("metadata", {}).get("generation"):
        return False
    return any(c["type"] == kind and c["status"] == "True" for c in status.get("conditions", []))


def _said(found: Object) -> list[str]:
    said = found.get("status", {}).get("conditions", [])
    return [f"{c['type']}={c['status']} {c['reason']}" for c in said]


@contextmanager
def churning(bed: Bed, kubectl: Kubectl, agent: RunningController, image: str) -> Iterator[Churn]:
    """Instances of an agent in a namespace of their own; nothing of them may be left at the end."""
    with new_namespace(bed, kubectl) as namespace:
        world = World(bed, kubectl, namespace, agent)
        made = Churn(world, image)
        made.begin()
        yield made
        world.delete()
        world.assert_nothing_left()
