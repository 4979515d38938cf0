"""Containers: made, started, looked at, paused, removed.

Responsible for each of these being safe to do again, whatever came of the time before. It must not
decide when a container is launched or removed, nor hold any state of its own.
"""

import asyncio
from collections.abc import Sequence

import docker

from controller.runtime import endpoints, labels
from controller.runtime.engine import Engine
from controller.runtime.errors import (
    Conflict,
    EndpointTaken,
    EngineError,
    ImageNotFound,
    NotFound,
)
from controller.runtime.labels import Owner, container_name
from controller.runtime.plan import ContainerPlan as ContainerPlan
from controller.runtime.plan import Mount as Mount
from controller.runtime.plan import PortBinding as PortBinding
from controller.runtime.plan import Ulimit as Ulimit
from controller.runtime.plan import configuration
from controller.runtime.state import ContainerState as ContainerState
from controller.runtime.state import inspected, listed

_ATTEMPTS = 3
# The engine holds a name from the beginning of a creation on, and tells of the container at its
# end; one that an agent had asked for which was killed goes on.
_HALF_MADE_SECONDS = 10.0
_HALF_MADE_PAUSE = 0.1
_LOG_BYTES = 65536


async def create(
    engine: Engine,
    owner: Owner,
    plan: ContainerPlan,
    network: str,
    *,
    aliases: Sequence[str] = (),
) -> str:
    """Make the container on that one network and return its id; nothing runs yet.

    One of the same name that an earlier attempt left is adopted when it has the same labels, ports
    and network, and is created or running; any other of this installation's is removed, and a new
    one made.

    Raises ImageNotFound, NotFound (no such network), Conflict (somebody else's container has the
    name), QuotaUnsupported, EngineError, EngineUnavailable, OutcomeUnknown (the name is then
    `engine.pending` until the engine has answered).
    """
    name = container_name(owner.uid, plan.name)

    def make(client: docker.APIClient) -> str:
        config = configuration(client.api_version, owner, plan, network, tuple(aliases))
        made = client.create_container_from_config(config, name)  # type: ignore[no-untyped-call]  # stubs
        return str(made["Id"])

    loop = asyncio.get_running_loop()
    patient_until = loop.time() + _HALF_MADE_SECONDS
    attempts = 0
    while attempts < _ATTEMPTS:
        try:
            return await engine.call(make, effect=True, name=name)
        except ImageNotFound as missing:
            raise ImageNotFound(plan.image, missing.message) from missing
        except Conflict as refused:
            conflict = refused
        try:
            present = await inspect(engine, name)
        except NotFound:
            if loop.time() > patient_until:
                break
            await asyncio.sleep(_HALF_MADE_PAUSE)
            continue
        attempts += 1
        if _fits(present, owner, plan, network):
            return present.id
        if present.labels.get(labels.INSTALLATION) != owner.installation:
            raise conflict
        await remove(engine, present.id, stop_timeout=0)
    raise conflict


async def start(engine: Engine, name_or_id: str) -> None:
    """Start the container; one that runs stays as it is.

    Raises PortTaken, NetworkExhausted (no address left), NotFound, EngineError (the command cannot
    be executed, say), EngineUnavailable, OutcomeUnknown.
    """
    await engine.call(lambda client: client.start(name_or_id), effect=True, name=name_or_id)


async def launch(
    engine: Engine,
    owner: Owner,
    plan: ContainerPlan,
    network: str,
    *,
    aliases: Sequence[str] = (),
) -> str:
    """Create and start the container; returns its id. Raises what `create` and `start` raise.

    After a fault the container may exist: remove it by its name.
    """
    name = container_name(owner.uid, plan.name)
    made = await create(engine, owner, plan, network, aliases=aliases)
    try:
        await start(engine, name)
    except EndpointTaken:
        # By name it is ended only while the engine has no container of that name.
        await remove(engine, made, stop_timeout=0)
        if not await endpoints.end_stale(engine, network, container=name):
            raise
        made = await create(engine, owner, plan, network, aliases=aliases)
        await start(engine, name)
    return made


async def inspect(engine: Engine, name_or_id: str) -> ContainerState:
    """What the container is now. Raises NotFound, EngineUnavailable."""
    found = await engine.call(lambda client: client.inspect_container(name_or_id), effect=False)
    return inspected(found)


async def list_containers(
    engine: Engine, *, installation: str, node: str | None = None, uid: str | None = None
) -> list[ContainerState]:
    """All containers of an installation (of that node, of that instance), running or not.

    One call to the engine, and none for each container. Raises EngineUnavailable.
    """
    wanted = [f"{labels.INSTALLATION}={installation}"]
    if node is not None:
        wanted.append(f"{labels.NODE}={node}")
    if uid is not None:
        wanted.append(f"{labels.INSTANCE_UID}={uid}")
    found = await engine.call(
        lambda client: client.containers(all=True, filters={"label": wanted}), effect=False
    )
    return [listed(item) for item in found]


async def list_everybodys(engine: Engine) -> list[ContainerState]:
    """The same of all installations and nodes that share the engine. Raises EngineUnavailable."""
    found = await engine.call(
        lambda client: client.containers(all=True, filters={"label": [labels.INSTALLATION]}),
        effect=False,
    )
    return [listed(item) for item in found]


async def remove(engine: Engine, name_or_id: str, *, stop_timeout: int) -> None:
    """Stop the container, remove it and its anonymous volumes; done when it is gone or never was.

    `stop_timeout` is the time that its process has to end by itself, in seconds; 0 kills it.
    Raises EngineError, EngineUnavailable, OutcomeUnknown (as long as a call on it is unanswered).
    """
    try:
        if stop_timeout > 0:
            await _stop(engine, name_or_id, stop_timeout)
        await engine.call(
            lambda client: client.remove_container(name_or_id, v=True, force=True),
            effect=True,
            name=name_or_id,
        )
    except NotFound:
        return
    except Conflict as conflict:
        if "already in progress" not in conflict.message:
            raise
        await _gone(engine, name_or_id)


async def terminate(engine: Engine, name_or_id: str) -> None:
    """Ask the container's process to end (SIGTERM) and do not wait; one that has ended is fine.

    Raises EngineError, EngineUnavailable, OutcomeUnknown.
    """
    await _signal(engine, name_or_id, "SIGTERM")


async def kill(engine: Engine, name_or_id: str) -> None:
    """End the container's processes at once (SIGKILL), frozen or not; one that has ended is fine.

    Raises EngineError, EngineUnavailable, OutcomeUnknown.
    """
    await _signal(engine, name_or_id, "SIGKILL")


async def pause(engine: Engine, name_or_id: str) -> None:
    """Freeze the container's processes; one that is frozen stays so, as does one that has ended.

    Raises as `start` does.
    """
    try:
        await engine.call(lambda client: client.pause(name_or_id), effect=True, name=name_or_id)
    except EngineError as error:
        if not any(words in error.message for words in ("already paused", "is not running")):
            raise


async def unpause(engine: Engine, name_or_id: str) -> None:
    """Let the container's processes go on; one that is not frozen stays as it is.

    Raises as `start` does.
    """
    try:
        await engine.call(lambda client: client.unpause(name_or_id), effect=True, name=name_or_id)
    except EngineError as error:
        if "is not paused" not in error.message:
            raise


async def logs_tail(engine: Engine, name_or_id: str, lines: int) -> str:
    """The last lines of what the container wrote, its last 64 KiB at most; undecodable bytes as �.

    Raises NotFound, EngineError, EngineUnavailable.
    """
    written = await engine.call(
        lambda client: client.logs(name_or_id, tail=lines, stream=False), effect=False
    )
    return written[-_LOG_BYTES:].decode(errors="replace")


async def _signal(engine: Engine, name_or_id: str, signal: str) -> None:
    try:
        await engine.call(
            lambda client: client.kill(name_or_id, signal), effect=True, name=name_or_id
        )
    except (NotFound, Conflict):
        return
    except EngineError as error:
        if "is not running" not in error.message:
            raise


async def _stop(engine: Engine, name_or_id: str, stop_timeout: int) -> None:
    # The engine lets a paused container go on once it has been sent the signal.
    await engine.call(
        lambda client: client.stop(name_or_id, timeout=stop_timeout),
        effect=True,
        name=name_or_id,
        timeout=engine.timeout + stop_timeout,
    )


async def _gone(engine: Engine, name_or_id: str) -> None:
    """Wait until the removal that goes on in the engine is over."""
    try:
        await engine.call(lambda client: client.wait(name_or_id, condition="removed"), effect=False)
    except NotFound:
        return


def _fits(present: ContainerState, owner: Owner, plan: ContainerPlan, network: str) -> bool:
    marks = owner.labels(plan.name)
    return (
        all(present.labels.get(key) == value for key, value in marks.items())
        and present.state in ("created", "running")
        and present.network == network
        and set(present.bindings) == set(plan.bindings)
    )
