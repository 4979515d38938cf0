"""A template's volumes: what a container mounts for each, and what is in them at first.

An emptyDir on disk and a configMap are folders of the instance's own, an emptyDir in memory is a
volume of the engine's. Must not write anything.
"""

from typing import Final

from controller.api.container import Container, VolumeMount
from controller.api.values import parse_memory
from controller.api.volume import ConfigMapVolume, EmptyDirVolume, Volume
from controller.cluster import references
from controller.cluster.client import CONFIG_MAPS
from controller.cluster.references import ReferenceMissing
from controller.reconcile.work import Work
from controller.runtime import volumes
from controller.runtime.containers import Mount
from controller.runtime.folders import File, Folder

FOLDER: Final = "volumes"


def mounted(work: Work) -> list[Volume]:
    """The volumes that some container mounts; the others are not made."""
    names = {m.name for container in work.template.containers for m in container.volume_mounts}
    return [volume for volume in work.template.volumes if volume.name in names]


def mounts(work: Work, container: Container) -> tuple[Mount, ...]:
    """What the container mounts for its volumeMounts."""
    by_name = {volume.name: volume for volume in work.template.volumes}
    return tuple(_mount(work, by_name[m.name], m) for m in container.volume_mounts)


async def look_up(work: Work) -> tuple[Folder, ...]:
    """The folders of all mounted volumes that are on disk; raises ReferenceMissing."""
    folders = []
    for volume in mounted(work):
        path = f"{FOLDER}/{volume.name}"
        if volume.config_map is not None:
            files = await _files(work, volume.config_map)
            folders.append(Folder(path, 0o755, files))
        elif volume.empty_dir is not None and _on_disk(volume.empty_dir):
            folders.append(Folder(path, 0o777))  # as a Pod's: any user may write
    return tuple(folders)


def disk_limits(work: Work) -> dict[str, int]:
    """The bytes that each emptyDir on disk may hold, by the volume's name."""
    default = work.services.settings.default_volume_size
    return {
        volume.name: parse_memory(volume.empty_dir.size_limit or default)
        for volume in mounted(work)
        if volume.empty_dir is not None and _on_disk(volume.empty_dir)
    }


def impossible(work: Work) -> str:
    """What is wrong with the volumes, for the user; empty when nothing is."""
    for volume in work.template.volumes:
        paths = [item.path for item in volume.config_map.items] if volume.config_map else []
        for path in paths:
            if paths.count(path) > 1 or any(other.startswith(f"{path}/") for other in paths):
                return (
                    f"volumes[{volume.name}].configMap.items: expected each path once, and none "
                    f"to be the folder of another one: {path!r}"
                )
    return ""


def _on_disk(empty_dir: EmptyDirVolume) -> bool:
    return empty_dir.medium != "Memory"


def _mount(work: Work, volume: Volume, mount: VolumeMount) -> Mount:
    if volume.empty_dir is not None and not _on_disk(volume.empty_dir):
        size = _memory_size(work, volume.name, volume.empty_dir)
        return volumes.memory_volume(
            work.owner, volume.name, mount.mount_path, size=size, read_only=mount.read_only
        )
    source = work.services.folders.path(work.uid) / FOLDER / volume.name
    read_only = mount.read_only or volume.config_map is not None
    return Mount("bind", str(source), mount.mount_path, read_only)


def _memory_size(work: Work, name: str, empty_dir: EmptyDirVolume) -> int:
    """The sizeLimit, but no more than its containers' memory together, as a kubelet has it.

    What is in the volume outlives a container that was killed for it, while another one runs.
    """
    default = work.services.settings.default_memory
    memory = sum(
        parse_memory(container.resources.limits.memory or default)
        for container in work.template.containers
        if any(mount.name == name for mount in container.volume_mounts)
    )
    return min(memory, parse_memory(empty_dir.size_limit)) if empty_dir.size_limit else memory


async def _files(work: Work, source: ConfigMapVolume) -> tuple[File, ...]:
    namespace = work.instance.metadata.namespace
    found = await references.config_map_files(work.services.cluster, namespace, source.name)
    if not source.items:
        return tuple(File(key, content, source.default_mode) for key, content in found.items())
    files = []
    for item in source.items:
        if item.key not in found:
            message = f"ConfigMap {source.name!r} has no key {item.key!r}"
            raise ReferenceMissing(CONFIG_MAPS, message)
        mode = source.default_mode if item.mode is None else item.mode
        files.append(File(item.path, found[item.key], mode))
    return tuple(files)
