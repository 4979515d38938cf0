"""How much containers have written: the sizes of their writable layers, as the engine counts them.

Responsible for one call to the engine for all containers that have a limit. It must not decide what
becomes of one that has written too much.
"""

from dataclasses import dataclass

from controller.runtime import labels
from controller.runtime.engine import Engine


@dataclass(frozen=True)
class Usage:
    """What a container has written and may write, in bytes; `container` is its template's name."""

    id: str
    uid: str
    container: str
    used: int
    limit: int


async def written(engine: Engine, *, installation: str, node: str) -> list[Usage]:
    """The usage of each running container that was made with `storage_limit` and has no quota.

    The engine walks through the files of each, so this is not for the path of a launch. A file with
    holes counts with its full length. Raises EngineUnavailable, EngineError.
    """
    wanted = [
        f"{labels.INSTALLATION}={installation}",
        f"{labels.NODE}={node}",
        labels.STORAGE_LIMIT,
    ]
    found = await engine.call(
        lambda client: client.containers(size=True, filters={"label": wanted}), effect=False
    )
    return [
        Usage(
            id=item["Id"],
            uid=item["Labels"].get(labels.INSTANCE_UID, ""),
            container=item["Labels"].get(labels.CONTAINER, ""),
            used=max(0, int(item.get("SizeRw") or 0)),
            limit=int(item["Labels"][labels.STORAGE_LIMIT]),
        )
        for item in found
        if item["Labels"][labels.STORAGE_LIMIT].isdecimal()
    ]
