"""What instances say of themselves: the reason and message of Ready, of many at one look."""

import json
from collections.abc import Mapping

from tests.integration.world import Instances, until

Verdicts = dict[str, tuple[str, str]]


def verdicts(world: Instances) -> Verdicts:
    """Reason and message by name; of one at rest (Suspended, Expired) those of that condition."""
    out = world.kubectl("get", "chinst", "-n", world.namespace, "-o", "json").stdout
    return {
        item["metadata"]["name"]: (said["reason"], said.get("message", ""))
        for item in json.loads(out)["items"]
        for said in item["status"].get("conditions", [])
        if said["type"] in ("Ready", "Suspended", "Expired")
    }


def until_told(
    world: Instances, wanted: Mapping[str, str], words: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Wait until each instance says the reason wanted of it; returns the messages.

    Those in ``words`` have these in their message as well: what a probe is told can vary. Raises
    TimeoutError with those that say something else.
    """

    def look() -> tuple[Verdicts, dict[str, str]]:
        """Who says something else, and the messages of that very moment."""
        told = verdicts(world)
        others = {
            name: told.get(name, ("", ""))
            for name, reason in wanted.items()
            if told.get(name, ("", ""))[0] != reason
            or (words or {}).get(name, "") not in told[name][1]
        }
        return others, {name: message for name, (_, message) in told.items()}

    _, messages = until(look, lambda seen: not seen[0])
    return messages
