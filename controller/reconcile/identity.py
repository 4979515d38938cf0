"""What an instance is told about itself in files: the flag, below /run/challenge.

Each container has a folder of its own, so that one without `mountFlag` has none, and each its own
mode. The flag's value is in the Secret, in that folder and in the container, and nowhere else.
"""

from typing import Final

from controller.api.container import Container
from controller.reconcile import lookup
from controller.reconcile.work import Work
from controller.runtime.containers import Mount
from controller.runtime.folders import File, Folder

TARGET: Final = "/run/challenge"
FOLDER: Final = "identity"
FLAG_MODE: Final = 0o444


def mounts(work: Work, container: Container) -> tuple[Mount, ...]:
    """The container's own folder, which it can only read; none without mountFlag."""
    if not container.mount_flag:
        return ()
    source = work.services.folders.path(work.uid) / FOLDER / container.name
    return (Mount("bind", str(source), TARGET, read_only=True),)


async def look_up(work: Work) -> tuple[Folder, ...]:
    """A folder for each container with mountFlag; raises ReferenceMissing."""
    wanting = [container for container in work.template.containers if container.mount_flag]
    if not wanting:
        return ()
    flag = (await _flag(work, lookup.secret)).encode()
    return tuple(
        Folder(f"{FOLDER}/{container.name}", 0o755, (File("flag", flag, _mode(container)),))
        for container in wanting
    )


async def environment(work: Work, container: Container) -> dict[str, str]:
    """The flag as the variable that the container asks for, if it does; raises ReferenceMissing."""
    if container.flag_env is None:
        return {}
    return {container.flag_env: await _flag(work, lookup.secret_variable)}


def impossible(work: Work) -> str:
    """What is wrong with the instance, for the user; empty when nothing is."""
    if work.instance.spec.flag_secret_ref is not None:
        return ""
    for container in work.template.containers:
        if container.mount_flag or container.flag_env is not None:
            field = "mountFlag" if container.mount_flag else "flagEnv"
            return (
                f"containers[{container.name}].{field} asks for the flag, and the instance's "
                "spec.flagSecretRef is not set: delete the instance, and create one that names "
                "the flag's Secret"
            )
    return ""


def _mode(container: Container) -> int:
    return FLAG_MODE if container.flag_mode is None else container.flag_mode


async def _flag(work: Work, read: lookup.Reader) -> str:
    reference = work.instance.spec.flag_secret_ref
    if reference is None:
        raise RuntimeError(f"{work.instance.key} has no flagSecretRef after Admit")
    return await read(work, reference.name, reference.key)
