"""The settings that are addresses or lists of them: their types, and what is wrong with a value.

Responsible for no more than reading them; what they are for is the setting's own text.
"""

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode

from controller import shapes


def comma_separated(value: Any) -> Any:
    """The parts of a text, trimmed, without empty ones; anything else as it is."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _host_address(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("expected an IP address of this host, or 0.0.0.0") from None


def _addresses(value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        try:
            address = ipaddress.IPv4Address(each)
        except ValueError:
            raise ValueError(f"expected IPv4 addresses; {each!r} is none") from None
        if address.is_loopback or address.is_unspecified or address.is_multicast:
            raise ValueError(
                f"expected addresses that a container can reach; {each} is its own there"
            )
    return value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        try:
            ipaddress.IPv4Network(each)
        except ValueError as error:
            raise ValueError(f"expected IPv4 networks such as 9.8.7.0/24: {error}") from None
    return value


HostAddress = Annotated[
    str, AfterValidator(_host_address), Field(json_schema_extra=shapes.ADDRESS_SHAPE)
]
"""An IP address of this host, as text."""

Resolvers = Annotated[
    tuple[str, ...],
    NoDecode,
    Field(max_length=3, json_schema_extra=shapes.RESOLVERS_SHAPE),  # resolv.conf(5), MAXNS
    BeforeValidator(comma_separated),
    AfterValidator(_addresses),
]
"""Addresses of name servers, as text; 3 at most."""

Networks = Annotated[
    tuple[str, ...],
    NoDecode,
    Field(max_length=200, json_schema_extra=shapes.NETWORKS_SHAPE),
    BeforeValidator(comma_separated),
    AfterValidator(_networks),
]
"""IPv4 networks, as text; 200 at most."""
