"""What containers mount beside their image: volumes and the flag, from the look-up to the removal.

The instance's folder is made by its launch and goes with its ports. It is the record, too, that
there may be volumes of the engine's: it is made before them and removed after.
"""

import asyncio
from collections.abc import Set
from dataclasses import replace

from controller.api.container import Container
from controller.reconcile import identity, volumes
from controller.reconcile.comparison import Left
from controller.reconcile.queue import Key
from controller.reconcile.services import Services
from controller.reconcile.work import Work
from controller.runtime import containers, labels
from controller.runtime import volumes as engine_volumes
from controller.runtime.containers import Mount
from controller.runtime.folders import Folder, FolderOwner


def mounts(work: Work, container: Container) -> tuple[Mount, ...]:
    """All that the container mounts."""
    return (*volumes.mounts(work, container), *identity.mounts(work, container))


def impossible(work: Work) -> str:
    """What can never be mounted, for the user; empty when all can."""
    return identity.impossible(work) or volumes.impossible(work)


async def look_up(work: Work) -> tuple[Folder, ...]:
    """What is to be in the instance's folder; raises ReferenceMissing, ApiError."""
    return (*await volumes.look_up(work), *await identity.look_up(work))


async def prepare(work: Work) -> None:
    """Make the instance's folder anew, unless a launch goes on whose containers have mounted it.

    Nothing is done for an instance that mounts nothing. Raises FolderFault, EngineUnavailable.
    """
    if not work.folders and not volumes.mounted(work):
        return
    folders, meta = work.services.folders, work.instance.metadata
    if folders.path(work.uid).exists() and await _in_use(work.services, work.uid):
        return
    owner = FolderOwner(work.uid, meta.namespace, meta.name)
    await asyncio.to_thread(folders.create, owner, work.folders)
    work.services.volume_limits.renew(work.uid)


async def _in_use(services: Services, uid: str) -> bool:
    """Whether containers have mounted the folder, or may be doing so; asked as late as can be.

    One that runs on in a folder that was removed would have no flag, and nobody to share with.
    """
    if services.pending(uid):
        return True
    return bool(
        await containers.list_containers(
            services.engine, installation=services.settings.installation, uid=uid
        )
    )


async def remove(services: Services, uid: str) -> None:
    """Remove the uid's volumes and its folder, once its containers are gone.

    Raises FolderFault, EngineError, EngineUnavailable, OutcomeUnknown.
    """
    services.volume_limits.forget(uid)
    if uid not in services.strays and not services.folders.exists(uid):
        return
    for volume in await engine_volumes.list_volumes(
        services.engine, installation=services.settings.installation, uid=uid
    ):
        await engine_volumes.remove_volume(services.engine, volume.name)
    # Not among the threads that the ledger is asked in: there may be very many files.
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(services.removals, services.folders.remove, uid)
    services.strays.discard(uid)


async def left(services: Services, known: Set[str]) -> dict[str, Left]:
    """Whose folders and volumes are here, of uids that are not known.

    Also notes of whom there are volumes and no folder. Raises FolderFault, EngineUnavailable.
    """
    settings, folders = services.settings, services.folders
    found = {
        owner.uid: Left(Key(owner.uid, owner.namespace, owner.name), folder=True, volumes=0)
        for owner in await asyncio.to_thread(folders.owners, besides=known)
    }
    for volume in await engine_volumes.list_volumes(
        services.engine, installation=settings.installation, node=settings.node_name
    ):
        if not folders.exists(volume.uid):
            services.strays.add(volume.uid)
        if volume.uid not in known:
            namespace = volume.labels.get(labels.INSTANCE_NAMESPACE, "")
            name = volume.labels.get(labels.INSTANCE_NAME, "")
            before = found.get(volume.uid) or Left(Key(volume.uid, namespace, name), False, 0)
            found[volume.uid] = replace(before, volumes=before.volumes + 1)
    return found
