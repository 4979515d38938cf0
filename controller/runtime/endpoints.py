"""The endpoints of a network: those of its containers, and stale ones whose containers are gone.

An engine whose disk was full can keep an endpoint of a container that it has not any more: the
network counts as in use for ever, and no container of that name gets on it again. Docker 20.10
lists an endpoint under its container's id, one without a sandbox as "ep-" and its own id (so also
that of a container which is being started), and ends a stale one by the name of its container only.
Who is cut off and when is the caller's business.
"""

import contextlib
from functools import partial
from typing import Any

import docker
from docker.errors import APIError

from controller.runtime.engine import Engine
from controller.runtime.errors import EngineError, NotFound

_WITHOUT_SANDBOX = "ep-"

Endpoints = dict[str, dict[str, Any]]


async def names(engine: Engine, network: str) -> list[str]:
    """The names of the containers that have an endpoint; raises NotFound, EngineUnavailable."""
    return [each.get("Name", "") for each in (await _all(engine, network)).values()]


async def cut_off(engine: Engine, name: str, network_id: str) -> None:
    """End all endpoints of the network, of containers that are there as well.

    `name` is the network's. What resists is left: the removal that follows says so. Raises
    EngineUnavailable, OutcomeUnknown.
    """

    def disconnect(client: docker.APIClient) -> None:
        found: Endpoints = client.inspect_network(network_id).get("Containers") or {}
        for key, endpoint in found.items():
            if not _disconnect(client, key, network_id):
                _disconnect(client, endpoint.get("Name", ""), network_id)

    with contextlib.suppress(EngineError):  # the network is gone
        await engine.call(disconnect, effect=True, name=name)


async def end_stale(engine: Engine, name: str, *, network_id: str = "", container: str = "") -> int:
    """End the network's endpoints whose containers the engine does not have; how many there were.

    `name` is the network's; its id tells it from others of that name. With `container` no more
    than the endpoint of one by that name is looked at: a shared network has a thousand. Raises
    EngineError, EngineUnavailable, OutcomeUnknown.
    """
    network = network_id or name
    try:
        found = await _all(engine, network)
    except NotFound:
        return 0
    stale = [
        endpoint.get("Name", "")
        for key, endpoint in found.items()
        if container in ("", endpoint.get("Name"))
        and not await _has_container(engine, key, endpoint.get("Name", ""))
    ]

    def disconnect(client: docker.APIClient) -> int:
        return sum(_disconnect(client, container, network) for container in stale)

    return await engine.call(disconnect, effect=True, name=name) if stale else 0


async def _has_container(engine: Engine, key: str, name: str) -> bool:
    """Asked for by id and by name: one of that name would be the one that is disconnected."""

    def inspect(client: docker.APIClient, container: str) -> bool:
        return bool(client.inspect_container(container))

    for reference in (key, name):
        if reference and not reference.startswith(_WITHOUT_SANDBOX):
            with contextlib.suppress(NotFound):
                return await engine.call(partial(inspect, container=reference), effect=False)
    return False


async def _all(engine: Engine, network: str) -> Endpoints:
    found = await engine.call(lambda client: client.inspect_network(network), effect=False)
    return dict(found.get("Containers") or {})


def _disconnect(client: docker.APIClient, container: str, network: str) -> bool:
    """Whether the engine has done it; it may have left by itself."""
    if not container:
        return False
    try:
        client.disconnect_container_from_network(container, network, force=True)
    except APIError:
        return False
    return True
