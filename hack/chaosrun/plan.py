"""What is to happen when: drawn from a seed, always the same for the same seed and options.

It knows no bed. What users do is planned on what they know themselves: which instances they have
created and not deleted. How the parts fare meanwhile has no influence on it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from hack.chaosrun.kinds import FAULTS, Fault

SHAPES: Final = {"single": 5, "ref": 4, "pair": 3, "ref-pair": 2, "volume": 2}
"""What instances consist of, and how often one is drawn."""
ACTIONS: Final = {
    "create": 30,
    "burst": 3,
    "delete": 14,
    "recreate": 10,
    "delete-while-launching": 9,
    "short": 6,
    "retain": 3,
    "suspend": 8,
    "resume": 8,
    "renew": 10,
    "node": 6,
}
BURST: Final = 5
BRIEF: Final = 15
"""Seconds that a short-lived instance lives once it is ready."""
LONG: Final = 3600
"""Seconds that those live which can be renewed; others live for ever."""
LOAD_PAUSE: Final = 1.6
"""Seconds between two actions, on average."""
FAULT_SECONDS: Final = (1.0, 10.0)
PAUSE_SECONDS: Final = (2.0, 15.0)
TWO_AT_ONCE: Final = 0.3
"""How often a second fault begins while one is at work."""
MOST_SHIFT: Final = 120
"""Seconds that a clock jumps at most, there or back."""
NODE_SETTINGS: Final = ("launchConcurrency", "unschedulable", "maxInstances")


@dataclass(frozen=True)
class Step:
    """One thing to be done: when (seconds from the start), what, to whom."""

    at: float
    kind: str
    target: str
    """The instance's or the node's name; for faults the part, such as `node-1`."""
    shape: str = ""
    ttl: int = 0
    """Seconds; 0 for ever."""
    value: str = ""
    number: int = 0
    """Tells a creation from others of the same name."""
    seconds: float = 0.0
    """How long a fault lasts."""

    def __str__(self) -> str:
        words = [self.kind, self.target, self.shape, self.value]
        words += [f"ttl {self.ttl} s"] if self.ttl else []
        words += [f"for {self.seconds:.1f} s"] if self.seconds else []
        return " ".join(word for word in words if word)


@dataclass(frozen=True)
class Plan:
    """All steps, each list in the order of time."""

    load: tuple[Step, ...]
    faults: tuple[Step, ...]


def draw(
    seed: int,
    *,
    seconds: float,
    instances: int,
    nodes: Sequence[str],
    faults: Sequence[str] = tuple(FAULTS),
) -> Plan:
    """The plan of a seed: load for so many seconds, and these kinds of faults.

    `instances` is how many long-lived ones there are at most at any time.
    """
    # Apart, so that the load of a seed is the same whichever faults are chosen.
    load, trouble = Random(f"load {seed}"), Random(f"faults {seed}")
    return Plan(
        load=tuple(_Load(load, instances, nodes).steps(seconds)),
        faults=tuple(_faults(trouble, seconds, nodes, faults)),
    )


@dataclass
class _Load:
    """Draws what users do; keeps the names of what they have."""

    dice: Random
    most: int
    nodes: Sequence[str]
    live: dict[str, Step] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    settings: dict[tuple[str, str], str] = field(default_factory=dict)
    _made: int = 0
    _done: list[Step] = field(default_factory=list)

    def steps(self, seconds: float) -> list[Step]:
        """All that is done in that time; node settings are back to none at its end."""
        now = 0.5
        for _ in range(self.most // 2):
            self._create(now)
        while (now := now + self.dice.expovariate(1 / LOAD_PAUSE)) < seconds:
            kind = self.dice.choices(list(ACTIONS), list(ACTIONS.values()))[0]
            self._action(kind)(now)
        for node, name in sorted(key for key, value in self.settings.items() if value):
            self._done.append(Step(seconds, "node", node, value=f"{name}=null"))
        return sorted(self._done, key=lambda step: step.at)

    def _action(self, kind: str) -> Callable[[float], None]:
        full, empty = len(self.live) >= self.most, len(self.live) < 3
        if (full and kind in ("create", "burst")) or (empty and kind in ("delete", "recreate")):
            kind = "delete" if full else "create"
        return {
            "create": self._create,
            "burst": self._burst,
            "delete": self._delete,
            "recreate": self._recreate,
            "delete-while-launching": self._delete_while_launching,
            "short": lambda now: self._brief(now, "short"),
            "retain": lambda now: self._brief(now, "retain"),
            "suspend": self._suspend,
            "resume": self._resume,
            "renew": self._renew,
            "node": self._node,
        }[kind]

    def _add(self, step: Step) -> Step:
        self._done.append(step)
        return step

    def _new(self, now: float, name: str = "", *, ttl: int | None = None, value: str = "") -> Step:
        self._made += 1
        if ttl is None:
            ttl = self.dice.choice((0, LONG))
        shape = self.dice.choices(list(SHAPES), list(SHAPES.values()))[0]
        name = name or f"i{self._made:04}"
        return self._add(Step(now, "create", name, shape, ttl, value, self._made))

    def _create(self, now: float) -> None:
        step = self._new(now)
        self.live[step.target] = step

    def _burst(self, now: float) -> None:
        for _ in range(min(BURST, self.most - len(self.live))):
            self._create(now)

    def _take(self) -> Step:
        return self.live[self.dice.choice(sorted(self.live))]

    def _delete(self, now: float) -> None:
        step = self._take()
        del self.live[step.target]
        self.suspended.discard(step.target)
        self._add(Step(now, "delete", step.target, number=step.number))

    def _recreate(self, now: float) -> None:
        """The same name again at once, which is another instance."""
        old = self._take()
        self.suspended.discard(old.target)
        self._add(Step(now, "delete", old.target, number=old.number))
        self.live[old.target] = self._new(now, old.target)

    def _delete_while_launching(self, now: float) -> None:
        step = self._new(now)
        soon = now + self.dice.uniform(0.0, 2.5)
        self._add(Step(soon, "delete", step.target, number=step.number))

    def _brief(self, now: float, kind: str) -> None:
        """Lives a few seconds; nobody touches it after."""
        self._new(now, ttl=BRIEF, value=kind)

    def _suspend(self, now: float) -> None:
        if awake := sorted(self.live.keys() - self.suspended):
            name = self.dice.choice(awake)
            self.suspended.add(name)
            self._add(Step(now, "suspend", name, number=self.live[name].number))

    def _resume(self, now: float) -> None:
        if self.suspended:
            name = self.dice.choice(sorted(self.suspended))
            self.suspended.remove(name)
            self._add(Step(now, "resume", name, number=self.live[name].number))

    def _renew(self, now: float) -> None:
        if renewable := sorted(name for name, step in self.live.items() if step.ttl):
            name = self.dice.choice(renewable)
            self._add(Step(now, "renew", name, ttl=LONG, number=self.live[name].number))

    def _node(self, now: float) -> None:
        """A setting of a node, or its end: never both nodes cordoned at once."""
        node, name = self.dice.choice(list(self.nodes)), self.dice.choice(NODE_SETTINGS)
        if self.settings.get((node, name)):
            value = ""
        elif name == "launchConcurrency":
            value = str(self.dice.randint(1, 4))
        elif name == "maxInstances":
            value = str(self.most)
        elif any(self.settings.get((other, name)) for other in self.nodes):
            return
        else:
            value = "true"
        self.settings[node, name] = value
        self._add(Step(now, "node", node, value=f"{name}={value or 'null'}"))


def _faults(dice: Random, seconds: float, nodes: Sequence[str], names: Sequence[str]) -> list[Step]:
    """One after the other with pauses, sometimes two at once, never two of one part."""
    kinds = [FAULTS[name] for name in names]
    steps: list[Step] = []
    now = dice.uniform(*PAUSE_SECONDS)
    while kinds and now < seconds:
        first = _fault(dice, now, nodes, kinds)
        steps.append(first)
        end = first.at + first.seconds
        if dice.random() < TWO_AT_ONCE:
            others = [kind for kind in kinds if kind.part != FAULTS[first.kind].part]
            if others:
                second = _fault(dice, now + dice.uniform(0, first.seconds), nodes, others)
                steps.append(second)
                end = max(end, second.at + second.seconds)
        now = end + dice.uniform(*PAUSE_SECONDS)
    return [step for step in steps if step.at < seconds]


def _fault(dice: Random, at: float, nodes: Sequence[str], kinds: Sequence[Fault]) -> Step:
    kind = dice.choices(kinds, [each.weight for each in kinds])[0]
    target = dice.choice([*nodes, *kind.others] if kind.on_nodes else list(kind.others))
    value = ""
    if kind.name == "clock-jump":
        value = str(dice.choice((-1, 1)) * dice.randint(5, MOST_SHIFT))
    elif kind.part == "container":
        value = str(dice.randrange(1000))
    return Step(at, kind.name, target, value=value, seconds=dice.uniform(*FAULT_SECONDS))
