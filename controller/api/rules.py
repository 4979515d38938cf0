"""CEL rules that more than one object of the API has.

Must hold no rule of a single object: that stands with it. Every message names the field and says
what was expected.
"""

from typing import Final

from controller.api.meta import Rule
from controller.api.values import DURATION

LABEL_KEY: Final = (
    r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)


def duration_rule(field: str, *, zero: bool) -> Rule:
    """Return the rule that a field is a duration of at most a year; `zero`: 0 is one too."""
    least = "" if zero else f" && duration(self.{field}) > duration('0s')"
    bounds = "at most 8760h" if zero else "more than 0s and at most 8760h"
    return Rule(
        f"!has(self.{field}) || (self.{field}.matches('{DURATION}') && "
        f"duration(self.{field}) <= duration('8760h'){least})",
        f"{field} must be a duration such as 90s, 45m or 1h30m, {bounds}",
        f".{field}",
    )


def quantity_rule(parent: str, field: str, *, unit: str, least: str, most: str, such: str) -> Rule:
    """Return the rule that a field is a quantity from `least` to `most`; `such` is an example."""
    name = field.replace("-", "__dash__")
    text = f"string(self.{name})"
    return Rule(
        f"!has(self.{name}) || (isQuantity({text}) && "
        f"quantity({text}).compareTo(quantity('{least}')) >= 0 && "
        f"quantity({text}).compareTo(quantity('{most}')) <= 0)",
        f"{parent}.{field} must be {unit} from {least} to {most}, such as {such}",
        # A path in a rule cannot have a dash.
        f".{field}" if name == field else "",
    )


def label_keys_rule(field: str) -> Rule:
    """Return the rule that the keys of a map are label keys, which a schema cannot say."""
    return Rule(
        f"!has(self.{field}) || self.{field}.all(k, k.matches('{LABEL_KEY}'))",
        f"{field} must have label keys, such as example.org/disk or disk",
        f".{field}",
    )


def immutable_rule(field: str, kind: str) -> Rule:
    """Return the rule that a field, set or unset, stays as it was.

    It belongs to the object around the field: one on the field would not see its removal.
    """
    return Rule(
        f"has(self.{field}) == has(oldSelf.{field}) && "
        f"(!has(self.{field}) || self.{field} == oldSelf.{field})",
        f"{field} is immutable: delete the {kind} and create another one",
        f".{field}",
    )


RESERVED_ENV_RULE: Final = Rule(
    "!has(self.env) || !self.env.exists(e, e.name == 'USER_ID' || e.name == 'SEED')",
    "env must not have USER_ID or SEED: user and seed give these",
    ".env",
)
