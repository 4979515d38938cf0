"""Objects as the API server has them, as models; or in one line why this version cannot read them.

The definitions keep such objects out, so another version of the controller has written it, or a
definition is not the one of this version. Nothing is done about the object then: what runs of it
runs on.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from controller.api.meta import Resource

R = TypeVar("R", bound=Resource)


class Unreadable(Exception):
    """An object is not as this version of the API has it; the text names object and field."""


def parse(model: type[R], body: Mapping[str, Any]) -> R:
    """Read an object of one of the four kinds; raises Unreadable."""
    try:
        return model.parse(body)
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_input=False)
        field = ".".join(map(str, first["loc"]))
        others = f" (and {len(more)} more)" if more else ""
        name = (body.get("metadata") or {}).get("name")
        raise Unreadable(
            f"{model.KIND} {name}: {field}: {first['msg']}{others}. This agent cannot read it: is "
            "it of the same version as the definitions?"
        ) from None
