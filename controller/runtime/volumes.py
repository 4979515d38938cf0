"""Volumes that the engine keeps: those in memory, one for all containers of an instance.

Responsible for saying how the engine is to make one (it does so with the first container that
mounts it), for listing and for removing them. It must not know how large one may be, nor hold any
state. What is in such a volume lasts as long as one container that mounts it runs or is paused:
the engine mounts the tmpfs with the first of them and unmounts it with the last.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.runtime import labels
from controller.runtime.engine import Engine
from controller.runtime.errors import NotFound
from controller.runtime.labels import Owner
from controller.runtime.plan import Mount


@dataclass(frozen=True)
class VolumeState:
    """A volume of ours, by its labels."""

    name: str
    uid: str
    labels: Mapping[str, str]


def memory_volume(
    owner: Owner, volume: str, target: str, *, size: int, read_only: bool = False
) -> Mount:
    """A mount of the instance's volume of that name, which holds `size` bytes at most.

    Every user may write to it, as to a Pod's emptyDir; devices and set-user-ID mean nothing in it.
    """
    return Mount(
        "volume",
        labels.volume_name(owner.uid, volume),
        target,
        read_only,
        options={
            "type": "tmpfs",
            "device": "tmpfs",
            "o": f"size={size},mode=0777,nosuid,nodev",
        },
        labels=owner.labels(),
    )


async def list_volumes(
    engine: Engine, *, installation: str, node: str | None = None, uid: str | None = None
) -> list[VolumeState]:
    """All volumes of an installation (of that node, of that instance). Raises EngineUnavailable."""
    wanted = [f"{labels.INSTALLATION}={installation}"]
    if node is not None:
        wanted.append(f"{labels.NODE}={node}")
    if uid is not None:
        wanted.append(f"{labels.INSTANCE_UID}={uid}")
    found = await engine.call(
        lambda client: client.volumes(filters={"label": wanted})["Volumes"] or [], effect=False
    )
    return [_state(each) for each in found]


async def remove_volume(engine: Engine, name: str) -> None:
    """Remove the volume; done when there is none.

    Raises Conflict (a container mounts it), EngineError, EngineUnavailable, OutcomeUnknown.
    """
    try:
        await engine.call(lambda client: client.remove_volume(name), effect=True, name=name)
    except NotFound:
        return


def _state(found: dict[str, Mapping[str, str]]) -> VolumeState:
    marks = found.get("Labels") or {}
    return VolumeState(
        name=str(found["Name"]), uid=marks.get(labels.INSTANCE_UID, ""), labels=marks
    )
