"""A node by its name; a name that there is none of is answered with those that there are."""

from contextlib import suppress

from controller.cli.connection import Connection, Object
from controller.cli.errors import CommandError, NotFound
from controller.cli.resource import NODES


def get_node(connection: Connection, name: str) -> Object:
    """A ChallengeNode. Raises NotFound, which lists the nodes that there are."""
    try:
        return connection.get(NODES, name)
    except NotFound as error:
        raise no_such_node(connection, name) from error


def no_such_node(connection: Connection, name: str) -> NotFound:
    """The error for a name that no node has."""
    text = f"There is no ChallengeNode {name!r}"
    with suppress(CommandError):  # who may not list them is told what is known
        names = sorted(body["metadata"]["name"] for body in connection.find(NODES))
        text += f"; there are {', '.join(names)}" if names else "; there is none at all"
    return NotFound(text)
