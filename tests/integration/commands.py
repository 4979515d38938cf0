"""Programs in running containers, as the engine starts them."""

import docker

from tests.integration.world import until


def exit_code(client: docker.APIClient, container: str, *command: str) -> int:
    """With what a program ends in a container.

    The end of what it writes is told before its code is: that it runs no more is waited for.
    """
    made = client.exec_create(container, list(command))
    client.exec_start(made["Id"])
    ended = until(lambda: client.exec_inspect(made["Id"]), lambda seen: not seen["Running"])
    return int(ended["ExitCode"])
