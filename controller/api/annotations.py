"""The annotations that the controller reads on its objects.

Must hold no logic. The text below each one is for users.
"""

from typing import Final

RESTARTED_AT: Final = "challenge-controller.io/restartedAt"
"""On a ChallengeInstance: restart it. A value that was not there before, whatever it is, has the
containers ended with their grace period and launched anew, on the same ports and through the launch
gate, with their restarts counted from zero. It is done once for each value; one that is there from
the beginning, or is taken away, does nothing. `kubectl annotate --overwrite chinst NAME
challenge-controller.io/restartedAt="$(date -u +%FT%TZ)"`."""
