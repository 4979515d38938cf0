"""Host ports of the range that others on the host use as well: taken all the same, with a warning.

Reads the kernel's own settings, and blocks. It changes none.
"""

from pathlib import Path
from typing import Final

from controller.ledger.portrange import format_spans, parse_ports, spans

NODE_PORTS: Final = range(30000, 32768)
"""kube-apiserver's default, --service-node-port-range."""
SETTINGS: Final = Path("/proc/sys/net/ipv4")


def overlap(ports: str, settings: Path = SETTINGS) -> str:
    """What the range FIRST-LAST shares with whom, and what to do; empty when nothing."""
    wanted = set(parse_ports(ports))
    parts = []
    if shared := _text(wanted & set(NODE_PORTS)):
        parts.append(
            f"{shared} are NodePorts of Kubernetes' Services: one of these can take a port away "
            "from an instance; choose a portRange without them"
        )
    if shared := _text(wanted & _ephemeral(settings)):
        parts.append(
            f"{shared} are ports that the kernel takes for connections of the host's own "
            "(net.ipv4.ip_local_port_range), so that a launch may find one in use and has to take "
            "another; choose a portRange without them, or keep them free: "
            f"sysctl -w net.ipv4.ip_local_reserved_ports={shared}"
        )
    return "; ".join(parts)


def _ephemeral(settings: Path) -> set[int]:
    try:
        first, last = (settings / "ip_local_port_range").read_text().split()
        reserved = (settings / "ip_local_reserved_ports").read_text().strip()
    except (OSError, ValueError):  # not a Linux that tells
        return set()
    kept_free = set(parse_ports(reserved)) if reserved else set()
    return set(range(int(first), int(last) + 1)) - kept_free


def _text(ports: set[int]) -> str:
    return format_spans(spans(sorted(ports)))
