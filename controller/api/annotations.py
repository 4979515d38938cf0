"""The annotations that the controller reads on its objects.

Must hold no logic. The text below each one is for users.
"""

from typing import Final

ORPHANS_CONFIRMED: Final = "challenge-controller.io/orphans-confirmed"
"""On a ChallengeNode: the instances that are held as OrphansHeld are to go, as far as they are held
until the time in its value at most (status.orphans.until); those held later are not meant.
`kubectl challenge confirm-orphans NODE` sets it."""
UNINSTALL: Final = "challenge-controller.io/uninstall"
"""On a ChallengeNode: once it has no instance left its agent takes away what outlives an agent
(networks, the firewall's chains, the ledger and the folders beside it), says so with the condition
Uninstalled, whose message ends with this value, and does nothing more. `challenge-controller
uninstall` sets it, to the time at which it was asked."""
RESTARTED_AT: Final = "challenge-controller.io/restartedAt"
"""On a ChallengeInstance: restart it. A value that was not there before, whatever it is, has the
containers ended with their grace period and launched anew, on the same ports and through the launch
gate, with their restarts counted from zero. It is done once for each value; one that is there from
the beginning, or is taken away, does nothing. `kubectl annotate --overwrite chinst NAME
challenge-controller.io/restartedAt="$(date -u +%FT%TZ)"`."""
