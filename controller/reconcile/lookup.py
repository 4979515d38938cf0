"""Values that an instance takes from Secrets and ConfigMaps, under the controller's own rules.

Secrets are read only in namespaces that the controller serves: an instance that was placed before
the setting was changed is still here, and must not be a way around it. No value goes into an error.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from controller.cluster import references
from controller.cluster.client import CONFIG_MAPS, SECRETS, Kind
from controller.cluster.references import ReferenceMissing
from controller.reconcile.work import Work

LONGEST: Final = 127
"""KiB of a variable's value. With a longer one the kernel starts no program:
MAX_ARG_STRLEN is 128 KiB, with the variable's name."""

SOONEST: Final = 1.0
LATEST: Final = 15.0
"""Seconds until another look for what is missing: nobody tells of a Secret that appears."""

Reader = Callable[[Work, str, str], Awaitable[str]]
"""`secret` or `secret_variable`."""


def again(work: Work) -> float:
    """Seconds until another look for a Secret, ConfigMap or file that is missing.

    Soon at first, for one that is applied together with the instance or made from it by another
    controller; half of the time that has gone by since the node began with the instance, later.
    """
    begun = work.status.start_time or work.now
    return min(LATEST, max(SOONEST, (work.now - begun).total_seconds() / 2))


async def secret(work: Work, name: str, key: str) -> str:
    """The value of a Secret's key in the instance's namespace; raises ReferenceMissing."""
    services, namespace = work.services, work.instance.metadata.namespace
    served = services.settings.namespaces
    if served and namespace not in served:
        message = f"Secret {name!r} is not read: the controller does not serve its namespace"
        raise ReferenceMissing(SECRETS, message)
    return await references.secret_value(services.cluster, namespace, name, key)


async def secret_variable(work: Work, name: str, key: str) -> str:
    """The same for an environment variable, which cannot hold every text."""
    return _variable(SECRETS, name, key, await secret(work, name, key))


async def config_map_variable(work: Work, name: str, key: str) -> str:
    """The value of a ConfigMap's key for an environment variable; raises ReferenceMissing."""
    namespace = work.instance.metadata.namespace
    value = await references.config_map_value(work.services.cluster, namespace, name, key)
    return _variable(CONFIG_MAPS, name, key, value)


def _variable(kind: Kind, name: str, key: str, value: str) -> str:
    """Refuse what no variable can hold: the engine's own refusal would show the value."""
    what = f"Key {key!r} of {kind.kind} {name!r}"
    if "\0" in value:
        raise ReferenceMissing(kind, f"{what} has a NUL, which no variable can hold")
    if (size := len(value.encode())) > LONGEST * 1024:
        message = f"{what} has {size // 1024} KiB, and a variable holds {LONGEST} KiB at most"
        raise ReferenceMissing(kind, f"{message}: mount it as a file")
    return value
