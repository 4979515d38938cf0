"""The N-th-failure sweep: the life of an instance, gone through once for each call that can fail.

Responsible for the scenario, for the agent that has the seam in its doors, and for what is looked
at after each point. Which points there are is the tests' business.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hack.bed.bed import Bed
from hack.bed.foreign import remove_from_engine
from hack.bed.running import RunningController
from tests.faults.expected import Copy, Place
from tests.faults.seam import AGENT, DOORS, Control, Fault
from tests.faults.users import Object, User
from tests.faults.worlds import QUICK
from tests.integration.world import container, until

DEADLINE: Final = 90.0
"""Seconds for each step of the scenario, faults and restarts of the agent included; on a busy
machine. A quiet one needs 10 at most."""
AT_ONCE: Final = 4
"""Points that are gone through at the same time in one agent."""
BEFORE: Final = 2000
"""Characters of a log that are shown from before a traceback, and `AFTER` from there on."""
AFTER: Final = 8000
COMMAND: Final = "hack/test faults tests/faults/test_faults_sweep.py -m 'not slow'"
SETTINGS: Final = QUICK | {
    "BACKOFF_MAXIMUM": "1",
    "CONCURRENT_LAUNCHES": str(AT_ONCE),
    "RESYNC_INTERVAL": "3",
}


@dataclass
class Sweep:
    """One agent with the seam, a manager, and a namespace of their own."""

    bed: Bed
    image: str
    user: User
    control: Control
    agent: RunningController
    place: Place
    rules: list[str] = field(default_factory=list)
    bystander: Copy | None = None
    _object: Object = field(default_factory=dict)
    _runs: dict[str, str] = field(default_factory=dict)
    _deaths: int = 0
    _ends: int = 0

    def begin(self, *, bystander: bool) -> None:
        """Wait for the agent; with a bystander, an instance is up that nothing may touch."""
        self.agent.wait_until_serving(DEADLINE)
        if bystander:
            copy = self._create(f"bystander-{uuid.uuid4().hex[:4]}")
            self._converges(copy)
            self.bystander = copy
            self._remember()
        self.rules = self.place.firewall()

    def count(self) -> dict[str, int]:
        """How many calls that change something one undisturbed life makes at each door."""
        name = f"counted-{uuid.uuid4().hex[:4]}"
        self.live(name)
        self.audit()
        doors = Counter(call.door for call in self.control.calls(name))
        return {door: doors[door] for door in DOORS}

    def meet(self, points: Sequence[Fault]) -> list[Fault]:
        """Go through these points, some at once unless they kill; the ones that were met.

        Raises an ExceptionGroup of what went wrong, each with how to repeat it.
        """
        width = 1 if any(point.what == "kill" for point in points) else AT_ONCE
        met: list[Fault] = []
        for first in range(0, len(points), width):
            batch = points[first : first + width]
            with ThreadPoolExecutor(len(batch)) as pool:
                lives = [pool.submit(self._meet, point) for point in batch]
                self._keep_agent_until(lives)
                failed = [error for life in lives if (error := life.exception()) is not None]
                if failed:
                    raise BaseExceptionGroup("the sweep has found something", failed)
                met += [point for point, life in zip(batch, lives, strict=True) if life.result()]
            try:
                self.audit(resynced=width == 1)
            except (AssertionError, TimeoutError) as error:
                error.add_note(f"after {', '.join(map(str, batch))}")
                raise
        return met

    def _meet(self, point: Fault) -> bool:
        name = f"{point}-{uuid.uuid4().hex[:4]}".replace(".", "-")
        self.control.plan(name, point)
        try:
            self.live(name)
        except BaseException as error:
            calls = "\n".join(f"  {call}" for call in self.control.calls(name))
            error.add_note(f"to repeat it: FAULT_POINT={point} {COMMAND}\n{calls}")
            raise
        return self.control.met(name)

    def count_start(self) -> dict[str, int]:
        """How many calls, those that only read too, a start makes until the agent serves."""
        before = len(self.control.calls(AGENT))
        self._restart(None)
        self.agent.wait_until_serving(DEADLINE)
        return Counter(call.door for call in self.control.calls(AGENT)[before:])

    def start(self, point: Fault) -> bool:
        """Start the agent anew and have it meet a fault on its way; whether it did.

        Meanwhile one instance was deleted, one was made, and the bystander stays as it is.
        """
        old, new = (f"{word}-{uuid.uuid4().hex[:6]}" for word in ("old", "new"))
        deleted = self._create(old)
        self._converges(deleted)
        self.agent.kill()
        self.user.delete(old)
        made = self._create(new)
        self._restart(point)
        with ThreadPoolExecutor(1) as pool:
            life = pool.submit(self._after_a_start, deleted, made)
            self._keep_agent_until([life])
        try:
            life.result()
            self.audit(resynced=True)
        except BaseException as error:
            error.add_note(f"to repeat it: FAULT_START={point} {COMMAND}")
            raise
        return self.control.met(AGENT)

    def _after_a_start(self, deleted: Copy, made: Copy) -> None:
        until(lambda: self.user.find(deleted.name), lambda read: read is None, DEADLINE)
        left = self.place.differences(only=deleted.uid)
        assert not left, f"the object is gone, and left is: {left}"
        self._converges(made)
        # The last of them may belong to the first resync.
        until(lambda: self.control.met(AGENT), timeout=DEADLINE)
        self._converges(made)
        self.user.delete(made.name)
        until(lambda: self.user.find(made.name), lambda read: read is None, DEADLINE)

    def _restart(self, point: Fault | None) -> None:
        if self.agent.alive():
            self.agent.kill()
        self._deaths, self._ends = 0, self.control.ends()
        self.control.forget(AGENT)
        if point is not None:
            self.control.plan(AGENT, point)
        self.agent.start_again()

    def live(self, name: str) -> None:
        """The scenario: created, Ready, finalized, suspended, resumed, deleted; all as expected."""
        copy = self._create(name)
        self._converges(copy)
        self.user.change(name, suspended=True)
        self._converges(Copy(name, copy.uid, "suspended"))
        self.user.change(name, suspended=False)
        self._converges(copy)
        self.user.delete(name)
        until(lambda: self.user.find(name), lambda read: read is None, DEADLINE)
        left = self.place.differences(only=copy.uid)
        assert not left, f"the object is gone, and left is: {left}"

    def audit(self, *, resynced: bool = False) -> None:
        """Nothing is left of all the lives, and the bystander was not touched.

        With `resynced` a resync may come first: the network of an instance that an earlier agent
        has launched is left to it.
        """
        copies = [] if self.bystander is None else [self.bystander]
        patience = DEADLINE if resynced else 0.0
        until(lambda: self.place.differences(*copies), lambda left: not left, patience)
        assert self.place.firewall() == self.rules
        for copy in copies:
            assert self.place.runs(copy) == self._runs, "the bystander's containers run on"
            assert self._read(copy.name) == self._object, "nobody has written to the bystander"

    def _remember(self) -> None:
        """How the bystander is now."""
        if self.bystander is not None:
            self._object = self._read(self.bystander.name)
            self._runs = self.place.runs(self.bystander)

    def _create(self, name: str) -> Copy:
        self.user.secret(name, flag=f"flag-of-{name}")
        made = self.user.create(instance(name, self.image))
        return Copy(name, made["metadata"]["uid"])

    def _converges(self, copy: Copy) -> None:
        """Wait until everything is as expected; first for what is cheap to look at."""
        kind = "Ready" if copy.state == "up" else "Suspended"
        until(lambda: self.user.find(copy.name), lambda read: _holds(read, kind), DEADLINE)
        until(lambda: self.place.differences(copy, only=copy.uid), lambda left: not left, DEADLINE)

    def _keep_agent_until(self, lives: Sequence[Future[Any]]) -> None:
        """Start the agent again whenever a fault has ended it, until these are over.

        In this thread: a controller of a test's ends with the thread that has started it.
        """
        while wait(lives, timeout=0.1).not_done:
            if self.agent.alive():
                continue
            self._deaths += 1
            if self._deaths > self.control.ends() - self._ends:
                raise AssertionError(f"the agent ended by itself: {self.agent.logs()[-5000:]}")
            self.agent.start_again()

    def _read(self, name: str) -> Object:
        found = self.user.find(name)
        assert found is not None, f"{name} is gone"
        return found


@contextmanager
def sweeping(bed: Bed, image: str, folder: Path, **settings: str) -> Iterator[Sweep]:
    """Manager and agent of a sweep; they, their namespace's objects and their things go after."""
    name = f"sweep-{uuid.uuid4().hex[:6]}"
    bed.kubectl("create", "namespace", name)
    control = Control(folder)
    env = {f"CHALLENGE_{key}": value for key, value in (SETTINGS | settings).items()}
    manager = RunningController.start(bed, f"{name}-manager", role="manager", env=env)
    agent = RunningController.start(
        bed, name, role="agent", env=env | control.env, module="tests.faults.agent"
    )
    user = User(bed.kubeconfig, name)
    try:
        yield Sweep(bed, image, user, control, agent, Place(bed, user, agent.state_dir))
        for controller in (agent, manager):
            assert not (found := tracebacks(controller.logs())), found
    finally:
        print(manager.logs()[-20_000:], agent.logs()[-20_000:], sep="\n")
        user.close()
        if agent.alive():
            bed.kubectl("delete", "chinst", "--all", "-n", name, "--timeout=30s", check=False)
        agent.stop()
        manager.stop()
        remove_from_engine(bed.docker_host, bed.state.name)
        for left in bed.kubectl("get", "chinst", "-n", name, "-o", "name").stdout.split():
            patch = '{"metadata":{"finalizers":null}}'
            bed.kubectl("patch", left, "-n", name, "--type=merge", "-p", patch, check=False)


def instance(name: str, image: str) -> Object:
    """Two containers, a volume of each kind, and the flag in the Secret of the same name."""
    scratch = {"name": "scratch", "mountPath": "/scratch"}
    files = {"name": "files", "mountPath": "/files"}
    front = container(
        image,
        "front",
        args=["serve", "--upstream", "back:9000"],
        volumeMounts=[scratch, files],
        mountFlag=True,
    )
    back = container(image, "back", ports=[], volumeMounts=[scratch])
    memory = {"medium": "Memory", "sizeLimit": "1Mi"}
    volumes = [{"name": "scratch", "emptyDir": memory}, {"name": "files", "emptyDir": {}}]
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengeInstance",
        "metadata": {"name": name},
        "spec": {
            "template": {"containers": [front, back], "volumes": volumes},
            "flagSecretRef": {"name": name, "key": "flag"},
        },
    }


def tracebacks(log: str) -> str:
    """What a log says from its first traceback on, with what led to it; empty if it has none."""
    before, found, after = log.partition("Traceback")
    return (before[-BEFORE:] + found + after[:AFTER]) if found else ""


def _holds(read: Object | None, kind: str) -> bool:
    if read is None:
        return False
    status = read["status"]
    return status.get("observedGeneration") == read["metadata"]["generation"] and any(
        each["type"] == kind and each["status"] == "True" for each in status.get("conditions", [])
    )
