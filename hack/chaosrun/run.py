"""One run: load and faults by the plan, then healing, the audit, and the end of all instances."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import docker.errors
import requests

from controller.ledger import LedgerError
from hack.bed.audit import Wanted, endpoints_ready, engine_remains, judge, unanswered
from hack.bed.bed import Bed
from hack.bed.errors import BedError
from hack.bed.fleet import Fleet
from hack.bed.inventory import Inventory, look
from hack.bed.running import RunningController
from hack.bed.skewed import MODULE
from hack.chaosrun.api import Api, NoAnswer, Object, Refused
from hack.chaosrun.breakage import Breakage, Undo, small_disks
from hack.chaosrun.journal import Journal
from hack.chaosrun.load import Load
from hack.chaosrun.manifests import challenges
from hack.chaosrun.plan import Plan, Step
from hack.chaosrun.watch import Watch

NAMESPACE: Final = "chaos"
NODES: Final = ("node-1", "node-2")
DAEMONS: Final = {2: {"live-restore": True}}
"""What else daemon.json has on a node: the containers of one outlive their engine."""
TIMERS: Final = {
    "CHALLENGE_MANAGER_LEASE_DURATION": "4",
    "CHALLENGE_NODE_LEASE_DURATION": "6",
    "CHALLENGE_NODE_LOSS_TIMEOUT": "8",
    "CHALLENGE_RESYNC_INTERVAL": "5",
    "CHALLENGE_BACKOFF_MAXIMUM": "5",
    "CHALLENGE_DOCKER_TIMEOUT": "5",
    "CHALLENGE_LAUNCH_TIMEOUT": "30",
    "CHALLENGE_RESTART_BUDGET": "50",
}
"""Short ones, in seconds, so that faults of seconds matter; containers are killed by us, often."""
TICK: Final = 0.1
CONVERGENCE: Final = 150.0
"""Seconds from the end of the last fault until all must be as wanted."""
STEPS_LEFT: Final = 120.0
"""Seconds from then until the users' last requests must be answered."""
SETTLE: Final = 2.0


@dataclass
class Active:
    """A fault at work: until when (seconds from the start), and what ends it."""

    until: float
    step: Step
    undo: Undo


@dataclass
class Result:
    """What came of a run."""

    findings: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    """Events of instances, by their reason."""
    live: int = 0
    engine_remains: set[str] = field(default_factory=set)
    """Ports that a killed dockerd still maps: its own fault, not the product's."""
    converged_after: float | None = None
    """Seconds from the end of the healing until all was as wanted; None when it never was."""


class Run:
    """A run on a bed that has a control plane and two nodes."""

    def __init__(self, bed: Bed, plan: Plan, seed: int, journal: Journal) -> None:
        """Nothing is started yet."""
        self.bed, self.journal = bed, journal
        self.fleet = Fleet(bed, TIMERS, module=MODULE)
        self._plan = plan
        self._api = Api(bed.control_plane, NAMESPACE)
        self._load = Load(self._api, NAMESPACE, journal)
        self._watch = Watch(self._api, journal, seed)
        self._result = Result(findings=journal.findings)
        self._breakage = Breakage(self.fleet)

    def go(self, seconds: float) -> Result:
        """All of it; raises BedError when the bed itself fails."""
        self._prepare()
        self._break_while_loaded(seconds)
        wanted = self._heal()
        self._converge("all that should be there is", wanted)
        self._count()
        self._delete_all()
        self._converge("nothing is left", [])
        self._read_logs()
        self.fleet.stop()
        self._api.close()
        return self._result

    def close(self) -> None:
        """Stop what runs in this process, whatever has happened."""
        self._load.stop()
        self._watch.stop()

    # -- the run -----------------------------------------------------------------------------------

    def _prepare(self) -> None:
        small_disks(self.fleet)
        with self.bed.report.stage("start the manager and two agents"):
            self.fleet.start()
        self.bed.kubectl("create", "namespace", NAMESPACE)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": challenges()})
        self.bed.kubectl("apply", "-n", NAMESPACE, "-f", "-", input=text)

    def _break_while_loaded(self, seconds: float) -> None:
        active: list[Active] = []
        waiting = list(self._plan.faults)
        begin = self.journal.now
        # The journal's clock began with the bed's.
        self._load.start(_later(self._plan.load, begin))
        self._watch.start()
        with self.bed.report.stage(f"load and faults for {seconds:.0f} s"):
            while (now := self.journal.now - begin) < seconds:
                for fault in [each for each in active if each.until <= now]:
                    self._end(fault)
                    active.remove(fault)
                if waiting and waiting[0].at <= now:
                    active += self._begin(waiting.pop(0), begin)
                self._keep_up(active)
                time.sleep(TICK)
            for fault in active:
                self._end(fault)

    def _begin(self, step: Step, begin: float) -> list[Active]:
        self.journal.note(f"fault: {step}")
        try:
            broken = self._breakage.begin(step)
        except BedError as error:
            self.journal.note(f"fault: {step.kind} {step.target} is not possible: {error}")
            return []
        self.journal.count(f"fault {step.kind}")
        self.journal.note(f"fault: {step.kind} {step.target}: {broken.text}")
        return [Active(self.journal.now - begin + step.seconds, step, broken.undo)]

    def _end(self, fault: Active) -> None:
        fault.undo()
        self.journal.note(f"fault: {fault.step.kind} {fault.step.target} is over")

    def _keep_up(self, active: Sequence[Active]) -> None:
        """Start a controller again that has ended by itself, as whoever runs it would."""
        down = {each.step.target for each in active if each.step.kind.endswith("-kill")}
        for name, controller in self.fleet.controllers.items():
            if not controller.alive() and _place(self.bed, controller) not in down:
                last = controller.process.log_tail(1)
                self.journal.count("controllers that ended by themselves")
                self.journal.note(f"{name} has ended by itself: {last}")
                controller.start_again()

    def _heal(self) -> list[Wanted]:
        with self.bed.report.stage("heal everything"):
            self.journal.note("all faults are over")
            try:
                self._breakage.heal()
            except BedError as error:
                # What does not come up is for the audit to tell.
                self.journal.note(f"not healed: {error}")
        with self.bed.report.stage("the users' last requests are answered"):
            if not self._load.join(STEPS_LEFT):
                self.journal.found("users' requests are not answered")
        self._watch.stop()
        return self._load.wanted()

    # -- the audit ---------------------------------------------------------------------------------

    def _converge(self, text: str, wanted: Sequence[Wanted]) -> None:
        """Look until there is nothing to be found, or for too long; what is found then counts."""
        begin = time.monotonic()
        found: list[str] = []
        try:
            with self.bed.report.stage(text):
                while (found := self._audit(wanted)) and time.monotonic() - begin < CONVERGENCE:
                    time.sleep(SETTLE)
                if found:
                    raise BedError("the audit has found something")
            if self._result.converged_after is None and wanted:
                self._result.converged_after = time.monotonic() - begin
        except BedError:
            for line in found:
                self.journal.found(line)

    def _audit(self, wanted: Sequence[Wanted]) -> list[str]:
        try:
            objects = self._api.instances()
            nodes = self._nodes()
            found = judge(objects, nodes, wanted)
            self._result.engine_remains.update(engine_remains(nodes))
            return found or unanswered(endpoints_ready(objects))
        except (NoAnswer, Refused, LedgerError, BedError) as error:
            return [f"cannot look: {error}"]
        except (docker.errors.DockerException, requests.RequestException) as error:
            return [f"an engine does not answer: {error}"]

    def _nodes(self) -> list[Inventory]:
        return [
            look(self.bed, number, self.fleet.agent(number).state_dir)
            for number in self.fleet.numbers
        ]

    def _count(self) -> None:
        try:
            self._result.live = len(self._api.instances())
            events = self._api.events()
        except (NoAnswer, Refused) as error:
            self.journal.found(f"the API server does not answer after all faults: {error}")
            return
        for event in events:
            self._result.events[event["reason"]] += int(event.get("count") or 1)

    def _delete_all(self) -> None:
        with self.bed.report.stage("delete everything"):
            deadline = time.monotonic() + CONVERGENCE
            while (left := self._undeleted()) and time.monotonic() < deadline:
                time.sleep(0.5)
            if left:
                self.journal.found(f"{len(left)} instances cannot be deleted: {left}")

    def _undeleted(self) -> list[str]:
        """Ask for the deletion of all; returns who is not being deleted yet."""
        try:
            there = self._api.instances()
            for each in there:
                if not each["metadata"].get("deletionTimestamp"):
                    self._api.delete(each["metadata"]["name"], each["metadata"]["uid"])
        except (NoAnswer, Refused) as error:
            return [str(error)]
        return []

    def _read_logs(self) -> None:
        for name, controller in self.fleet.controllers.items():
            times = controller.logs().count("Traceback")
            if times:
                self.journal.found(f"{times} tracebacks in the log of {name}")


def tell(run: Run) -> list[Object]:
    """All instances and nodes as they are now, for who looks for a cause."""
    out = run.bed.kubectl("get", "chinst,chnode", "-A", "-o", "json", check=False).stdout
    found: list[Object] = json.loads(out)["items"] if out else []
    return found


def log_files(bed: Bed) -> list[Path]:
    """The logs of the bed's parts."""
    return sorted((bed.state.folder / "logs").glob("*.log"))


def _place(bed: Bed, controller: RunningController) -> str:
    """What a fault's step calls the place of a controller."""
    return controller.name if controller.number is None else bed.node(controller.number).name


def _later(steps: Sequence[Step], seconds: float) -> list[Step]:
    return [replace(step, at=step.at + seconds) for step in steps]
