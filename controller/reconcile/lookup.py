"""Values that an instance takes from Secrets, under the controller's own rules for them.

Read only in namespaces that the controller serves: an instance that was placed before the setting
was changed is still here, and must not be a way around it. No value goes into an error.
"""

from collections.abc import Awaitable, Callable

from controller.cluster import references
from controller.cluster.client import SECRETS
from controller.cluster.references import ReferenceMissing
from controller.reconcile.work import Work

Reader = Callable[[Work, str, str], Awaitable[str]]
"""`secret` or `secret_variable`."""


async def secret(work: Work, name: str, key: str) -> str:
    """The value of a Secret's key in the instance's namespace; raises ReferenceMissing."""
    services, namespace = work.services, work.instance.metadata.namespace
    served = services.settings.namespaces
    if served and namespace not in served:
        message = f"Secret {name!r} is not read: the controller does not serve its namespace"
        raise ReferenceMissing(SECRETS, message)
    return await references.secret_value(services.cluster, namespace, name, key)


async def secret_variable(work: Work, name: str, key: str) -> str:
    """The same for an environment variable, which cannot hold every text.

    The engine's own refusal would show the value.
    """
    value = await secret(work, name, key)
    if "\0" in value:
        message = f"Key {key!r} of Secret {name!r} has a NUL, which no variable can hold"
        raise ReferenceMissing(SECRETS, message)
    return value
