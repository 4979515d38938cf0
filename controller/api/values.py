"""The scalar values of the API: names, durations, quantities; their patterns and their parsers.

Must hold no object of the API: only what a single field can say. The patterns use what RE2 (the API
server) and Rust's regex (pydantic) have in common.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic_core import CoreSchema

DNS_LABEL: Final = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_VALUE: Final = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
DURATION: Final = "^(0|([0-9]{1,5}[hms]){1,3})$"
CPU: Final = r"^([0-9]{1,4}(\.[0-9]{1,3})?|[0-9]{1,7}m)$"
MEMORY: Final = r"^[0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?$"

LIST_MAP_BY_NAME: Final[dict[str, Any]] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
}
LIST_SET: Final[dict[str, Any]] = {"x-kubernetes-list-type": "set"}
LIST_ATOMIC: Final[dict[str, Any]] = {"x-kubernetes-list-type": "atomic"}

_UNSEEN: Final = re.compile("[^\n\t -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MEMORY_UNITS: Final = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


class Described:
    """Gives the items of a list, or the values of a map, a description of their own."""

    def __init__(self, description: str) -> None:
        """Keep the text for the schema."""
        self.description = description

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the description; that of a field goes before it."""
        return {**handler(core), "description": self.description}


def _int_or_string(pattern: str, max_length: int, **bounds: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            "pattern": pattern,
            "maxLength": max_length,
            **bounds,
        }
    )


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def fit(text: str, limit: int) -> str:
    """Escape control characters and cut to `limit` characters: the API server refuses longer ones.

    A container may have said the text: it must not steer the terminal of who reads it, and where
    YAML has no place for a character, `kubectl get -o yaml` would fail on all that it lists.
    """
    text = _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def rfc3339(moment: datetime) -> str:
    """Write an aware datetime as Kubernetes does: UTC, whole seconds, `2026-01-31T12:00:00Z`."""
    if moment.tzinfo is None:
        raise ValueError(f"expected a datetime with a time zone, got {moment!r}")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `90s`, `45m`, `1h30m`; `0` and `0s` are zero.

    Raises ValueError when it is none.
    """
    if not re.fullmatch(DURATION.strip("^$"), text):
        raise ValueError(f"expected a duration such as 90s, 45m or 1h30m, got {text!r}")
    seconds = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall("([0-9]+)([hms])", text)
    return timedelta(seconds=sum(int(number) * seconds[unit] for number, unit in parts))


def parse_cpu(quantity: str) -> int:
    """Read CPUs such as `500m`, `2` or `0.5` as Docker's nano-CPUs (10^9 is one CPU).

    Raises ValueError when it is none.
    """
    if not re.fullmatch(CPU.strip("^$"), quantity):
        raise ValueError(f"expected CPUs such as 500m, 2 or 0.5, got {quantity!r}")
    if quantity.endswith("m"):
        return int(quantity[:-1]) * 10**6
    whole, _, fraction = quantity.partition(".")
    return int(whole) * 10**9 + int(fraction.ljust(9, "0"))


def parse_memory(quantity: str) -> int:
    """Read an amount such as `512Mi`, `1.5G` or `1048576` as bytes, a part of a byte rounded up.

    Raises ValueError when it is none.
    """
    if not re.fullmatch(MEMORY.strip("^$"), quantity):
        raise ValueError(f"expected bytes such as 512Mi, 1.5G or 1048576, got {quantity!r}")
    number = quantity.rstrip("KMGTki")
    whole, _, fraction = number.partition(".")
    thousandths = int(whole) * 1000 + int(fraction.ljust(3, "0"))
    return math.ceil(thousandths * _MEMORY_UNITS[quantity[len(number) :]] / 1000)


DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=DNS_LABEL)]
ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)]
DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern="^[-._a-zA-Z0-9]+$")]
Text = Annotated[str, Field(max_length=8192, pattern=r"^[^\x00]*$")]
Argument = Annotated[Text, Described("One word; no shell reads it.")]
LabelValue = Annotated[
    str,
    Field(max_length=63, pattern=LABEL_VALUE),
    Described("The label's value."),
]
ImageName = Annotated[
    str, Field(min_length=1, max_length=512, pattern="^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$")
]
User = Annotated[
    str, Field(min_length=1, max_length=128, pattern="^[A-Za-z0-9][A-Za-z0-9._@:+-]*$")
]
Seed = Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9._-]+$")]
Address = Annotated[
    str,
    Field(min_length=1, max_length=253, pattern="^[A-Za-z0-9:]([A-Za-z0-9.:-]*[A-Za-z0-9:])?$"),
]
Protocol = Literal["TCP", "UDP"]
PortRange = Annotated[str, Field(min_length=3, max_length=11, pattern="^[0-9]{1,5}-[0-9]{1,5}$")]
Port = Annotated[int, Field(ge=1, le=65535, json_schema_extra={"format": "int32"})]
Count = Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})]
# The API server keeps a schema's bounds as floats, and shows larger ones with other digits: a tool
# that compares the CustomResourceDefinition with Git would see it drift for ever.
LARGEST: Final = 2**53 - 1

Bytes = Annotated[int, Field(ge=0, le=LARGEST, json_schema_extra={"format": "int64"})]
Generation = Annotated[int, Field(ge=-1, le=LARGEST, json_schema_extra={"format": "int64"})]
Duration = Annotated[str, Field(min_length=1, max_length=18, pattern=DURATION)]
Cpu = Annotated[str, BeforeValidator(_number_as_text), Field(pattern=CPU), _int_or_string(CPU, 8)]
Memory = Annotated[
    str, BeforeValidator(_number_as_text), Field(pattern=MEMORY), _int_or_string(MEMORY, 21)
]
PortReference = Annotated[
    int | Annotated[str, Field(max_length=15, pattern=DNS_LABEL)],
    _int_or_string(DNS_LABEL, 15, minimum=1, maximum=65535),
]
# The API server takes times for date-time that no calendar has, such as an offset of +99:99.
PLAIN_TIME: Final = (
    r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
Timestamp = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
UserTimestamp = Annotated[
    AwareDatetime,
    PlainSerializer(rfc3339, when_used="json"),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "maxLength": 40, "pattern": PLAIN_TIME}
    ),
]
