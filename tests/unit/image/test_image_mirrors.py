"""Packages come from where this machine's apt has its own, or from where one says."""

from pathlib import Path

import pytest

from hack.bed.errors import BedError
from hack.image.mirrors import Mirrors, mirrors

DEB822 = """\
Types: deb
# URIs: http://old.example.org/debian
URIs: http://deb.example.org/debian/
Suites: bookworm

Types: deb
URIs: http://deb.example.org/debian-security
"""
LINES = """\
# deb http://old.example.org/debian bookworm main
deb [arch=amd64] https://docker.example.com/linux/debian-things bookworm stable
deb [signed-by=/k.gpg] http://deb.example.org/debian bookworm main
deb http://deb.example.org/debian-security bookworm-security main
"""
FOUND = Mirrors("http://deb.example.org/debian", "http://deb.example.org/debian-security")


@pytest.mark.parametrize(
    ("name", "text"), [("sources.list.d/debian.sources", DEB822), ("sources.list", LINES)]
)
def test_apts_own_are_found_in_either_form(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert mirrors(None, None, tmp_path) == FOUND
    assert mirrors("http://m/x", None, tmp_path) == Mirrors("http://m/x", FOUND.security)


def test_a_machine_without_any_is_told_which_option_to_use(tmp_path: Path) -> None:
    with pytest.raises(BedError, match=r"ends in /debian: name a mirror with --mirror"):
        mirrors(None, None, tmp_path)
    with pytest.raises(BedError, match=r"--security-mirror"):
        mirrors("http://m/x", None, tmp_path)
    assert mirrors("http://m/x", "http://m/y", tmp_path) == Mirrors("http://m/x", "http://m/y")
