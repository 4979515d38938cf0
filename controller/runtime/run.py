"""Which run of the engine this is: another one means that it, or the whole host, was restarted.

The engine does not tell when it was started. But without live-restore it makes its default bridge
anew at each start (moby, daemon/daemon_unix.go: initBridgeDriver), and its id with it; with
live-restore the bridge stays as long as containers run on. The kernel's boot id tells of the host.
"""

from pathlib import Path
from typing import Final

from controller.runtime.engine import Engine

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
DEFAULT_BRIDGE: Final = "bridge"


async def current(engine: Engine) -> str:
    """The run that answers now, as "<boot id>/<id of the default bridge>".

    Empty after the slash where the engine has no default bridge (`--bridge none`): then a restart
    of the engine alone does not show. Raises EngineUnavailable.
    """
    found = await engine.call(lambda client: client.networks(names=[DEFAULT_BRIDGE]), effect=False)
    bridges = [each["Id"] for each in found if each["Name"] == DEFAULT_BRIDGE]
    return f"{boot_id()}/{bridges[0] if bridges else ''}"


def boot_id() -> str:
    """The kernel's name of this boot; empty where it has none."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""
