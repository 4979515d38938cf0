"""Another tool that applies the same manifests over and over, server-side, does not fight with us.

It owns what it writes, the controller owns status and finalizer; neither ever changes the other's.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import yaml

from controller.api.meta import FINALIZER
from tests.integration.gitops.pipeline import DIFF
from tests.integration.gitops.states import Object
from tests.integration.world import World, container, instance, until

MANAGER = "--field-manager=flux"
PERIOD = 0.2
"""Seconds between two applies; tools take minutes."""


@dataclass
class Applier:
    """Applies what it has, and looks after each time whether that changed anything."""

    world: World
    wanted: dict[str, Object]
    rounds: int = 0
    complaints: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def change(self, name: str, **spec: object) -> None:
        """Change a manifest, and apply it; returns once that has been applied."""
        with self._lock:
            self.wanted[name] = self.wanted[name] | {"spec": self.wanted[name]["spec"] | spec}
            self.apply()

    def apply(self) -> None:
        """Apply all, as one tool does; a conflict or a drift is complained of."""
        text = yaml.safe_dump_all(self.wanted.values())
        where = ("-n", self.world.namespace, "--server-side", MANAGER, "-f", "-")
        done = self.world.kubectl("apply", *where, input=text, check=False)
        if done.returncode != 0:
            self.complaints.append(f"apply: {done.stderr}")
        diff = self.world.kubectl("diff", *where, input=text, check=False, env=DIFF)
        if diff.returncode != 0:
            self.complaints.append(f"diff: {diff.stdout}{diff.stderr}")
        self.rounds += 1

    def wait_rounds(self, number: int) -> None:
        """Wait until it has applied everything so many times more."""
        wanted = self.rounds + number
        until(lambda: self.rounds >= wanted)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Apply over and over meanwhile."""
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(PERIOD):
            with self._lock:
                self.apply()


def manifests(image: str) -> dict[str, Object]:
    """One of every namespaced kind, as short as people write them: the rest is defaults."""
    challenge = {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "Challenge",
        "metadata": {"name": "shared"},
        "spec": {"template": {"containers": [{"name": "echo", "image": image}]}},
    }
    pool = {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengePool",
        "metadata": {"name": "kept"},
        "spec": {"challengeRef": {"name": "shared"}, "seeds": ["1"]},
    }
    return {
        "inline": instance("inline", container(image), ttl="1h"),
        "refers": instance("refers", challengeRef={"name": "shared"}, onExpiry="Retain"),
        "shared": challenge,
        "kept": pool,
    }


def fields(world: World, kind: str, name: str) -> tuple[int, list[Object]]:
    """The generation of an object, and what the tool owns of it, since when."""
    where = (kind, name, "-n", world.namespace, "--show-managed-fields", "-o", "json")
    meta = json.loads(world.kubectl("get", *where).stdout)["metadata"]
    return meta["generation"], [m for m in meta["managedFields"] if m["manager"] == "flux"]


def test_it_may_apply_all_the_time_while_instances_launch_run_and_rest(
    world: World, echo_image: str
) -> None:
    applier = Applier(world, manifests(echo_image))
    applier.apply()
    before = {
        (kind, name): fields(world, kind, name)
        for kind, name in (
            ("chinst", "inline"),
            ("chinst", "refers"),
            ("chal", "shared"),
            ("chpool", "kept"),
        )
    }
    with applier.running():
        world.wait("Ready", "inline", "refers")
        world.kubectl(
            "wait", "chpool/kept", "--for=condition=Ready", "-n", world.namespace, "--timeout=100s"
        )
        settled = world.versions()
        applier.wait_rounds(5)
        assert world.versions() == settled, "nothing has changed, and something was written"
        assert world.get("inline")["metadata"]["finalizers"] == [FINALIZER]
        applier.change("inline", suspended=True)
        assert applier.complaints == []
        world.wait("Suspended", "inline")
        applier.wait_rounds(3)
        applier.change("inline", suspended=False)
        world.wait("Ready", "inline")
        applier.wait_rounds(3)
    assert applier.complaints == []
    after = {key: fields(world, *key) for key in before}
    generation, owned = after.pop(("chinst", "inline"))
    assert generation == 3, "two changes, and no more"
    del before["chinst", "inline"]
    assert after == before, "no generation, no owned field and no time of a write has changed"
    (mine,) = owned
    assert mine["operation"] == "Apply"
    assert "f:finalizers" not in str(mine["fieldsV1"])
    assert "f:status" not in str(mine["fieldsV1"])
    world.kubectl("delete", "chpool", "kept", "-n", world.namespace)
    until(lambda: [name for name in world.versions() if name.startswith("kept")], lambda n: not n)


def test_a_field_that_is_taken_out_again_goes_back_to_its_default(
    world: World, echo_image: str
) -> None:
    """What only the tool has set is gone with it; what cannot be changed is refused by name."""
    applier = Applier(world, {"one": instance("one", container(echo_image), onExpiry="Retain")})
    applier.apply()
    world.wait("Ready", "one")
    assert world.get("one")["spec"]["onExpiry"] == "Retain"
    del applier.wanted["one"]["spec"]["onExpiry"]
    applier.apply()
    assert world.get("one")["spec"]["onExpiry"] == "Delete"
    assert applier.complaints == []
    applier.change("one", user="mallory")
    assert "user is immutable" in " ".join(applier.complaints)
