"""What a step of a reconcile can answer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """The step's part of the desired state holds; go on with the next step."""


@dataclass(frozen=True)
class Waiting:
    """Nothing is wrong, but something must happen first, which will wake the instance.

    ``after`` is the time in seconds after which to look again even if nothing did.
    """

    reason: str
    message: str
    after: float | None = None


@dataclass(frozen=True)
class Failed:
    """Something is wrong; ``after`` seconds later it is tried again.

    Without ``after`` only a change of the objects involved can help. ``stalled`` is false while it
    may help to try again: who waits for the instance need not give it up yet.
    """

    reason: str
    message: str
    after: float | None = None
    stalled: bool = True


@dataclass(frozen=True)
class Ended:
    """The instance has come to an orderly rest (expired, suspended): nothing follows."""

    after: float | None = None


Result = Done | Waiting | Failed | Ended

DONE = Done()
