"""What the text of a setting looks like, for its schema.

So that who writes values for the chart is told before anything is sent. Must refuse nothing that a
process takes when it starts, as far as the setting's description names that way to write it; the
settings' own validators say the rest. The patterns are for RE2, which has no lookahead.
"""

from typing import Any, Final

from controller.api.rules import LABEL_KEY
from controller.api.values import CPU, DURATION, LABEL_VALUE, MEMORY

Shape = dict[str, Any]

_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = rf"({_OCTET}\.){{3}}{_OCTET}"
_PORT: Final = (
    "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
)
_GROUPS_OF_IPV6: Final = "[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?"

DURATION_SHAPE: Final[Shape] = {
    # YAML's 0 is a number.
    "type": ["string", "integer"],
    "pattern": DURATION,
    "minimum": 0,
    "maximum": 0,
}
CPU_SHAPE: Final[Shape] = {"type": ["string", "number"], "pattern": CPU, "minimum": 0}
MEMORY_SHAPE: Final[Shape] = {"type": ["string", "integer"], "pattern": MEMORY, "minimum": 0}
MEMORY_OR_NONE_SHAPE: Final[Shape] = MEMORY_SHAPE | {"pattern": f"^$|{MEMORY}"}
PORT_RANGE_SHAPE: Final[Shape] = {"pattern": f"^{_PORT}-{_PORT}$"}
ADDRESS_SHAPE: Final[Shape] = {"pattern": f"^({_IPV4}|{_GROUPS_OF_IPV6})$"}
RESOLVERS_SHAPE: Final[Shape] = {
    "items": {
        "type": "string",
        "pattern": f"^{_IPV4}$",
        # Loopback, unspecified and multicast: none that a container could reach.
        "not": {"pattern": r"^(127|22[4-9]|23[0-9])\.|^0\.0\.0\.0$"},
    }
}
NETWORKS_SHAPE: Final[Shape] = {
    "items": {"type": "string", "pattern": f"^{_IPV4}(/(3[0-2]|[12]?[0-9]))?$"}
}
SHARED_SUBNETS_SHAPE: Final[Shape] = {"pattern": f"^{_IPV4}/(2[0-2]|1?[0-9])$"}
INSTANCE_SUBNETS_SHAPE: Final[Shape] = {"pattern": f"^{_IPV4}/(2[0-7]|1?[0-9])$"}
IMAGE_PATTERNS_SHAPE: Final[Shape] = {
    "minItems": 1,
    "items": {"type": "string", "pattern": "^[A-Za-z0-9*._-][A-Za-z0-9*._:/@-]*$"},
}
CAPABILITIES_SHAPE: Final[Shape] = {
    "items": {
        "type": "string",
        "pattern": "^[A-Z][A-Z_]*$",
        "not": {"pattern": "^(CAP_.*|ALL)$"},
    }
}
NODE_LABELS_SHAPE: Final[Shape] = {
    "uniqueItems": True,
    "items": {
        "type": "string",
        "pattern": f"{LABEL_KEY.removesuffix('$')}={LABEL_VALUE.removeprefix('^')}",
        "not": {"pattern": "^challenge-controller[.]io/"},
    },
}
