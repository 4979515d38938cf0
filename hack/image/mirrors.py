"""Where Debian's packages come from: where this machine's apt has its own, unless one says."""

import re
from dataclasses import dataclass
from pathlib import Path

from hack.bed.errors import BedError

APT = Path("/etc/apt")
_LINE = re.compile(r"^(?:deb\s+(?:\[[^]]*\]\s+)?|URIs:\s*)(\S+)", re.MULTILINE)
"""The address in a line of a `.list` file, and in one of a `.sources` file."""
_MAIN, _SECURITY = "/debian", "/debian-security"
"""How the addresses of mirrors end, whoever keeps them."""


@dataclass(frozen=True)
class Mirrors:
    """Where packages come from, and where their security fixes do."""

    main: str
    security: str

    def sources(self, release: str, keyring: Path) -> str:
        """The lines of apt's sources.list."""
        signed = f"deb [signed-by={keyring}]"
        return (
            f"{signed} {self.main} {release} main\n"
            f"{signed} {self.main} {release}-updates main\n"
            f"{signed} {self.security} {release}-security main\n"
        )


def mirrors(main: str | None, security: str | None, apt: Path = APT) -> Mirrors:
    """Those that are named, else this machine's; raises BedError when it has none of Debian's."""
    files = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    known = [url for file in files if file.is_file() for url in _LINE.findall(file.read_text())]
    return Mirrors(
        main or _first(_MAIN, known, "--mirror"),
        security or _first(_SECURITY, known, "--security-mirror"),
    )


def _first(ending: str, known: list[str], option: str) -> str:
    for url in known:
        if url.rstrip("/").endswith(ending):
            return url.rstrip("/")
    raise BedError(
        f"apt on this machine has no address of Debian's that ends in {ending}: name a mirror "
        f"with {option}"
    )
