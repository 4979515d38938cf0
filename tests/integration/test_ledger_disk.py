"""A disk that fills up and a folder that turns read-only, for real: mounts of this test's own."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.ledger import Ledger, LedgerUnavailable


def mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, timeout=20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 2 MB."""
    if os.geteuid() != 0:
        pytest.fail("this test mounts a file system: run it as root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=20)


def reserve(ledger: Ledger, number: int) -> None:
    # A long name fills pages fast, so that the disk and not the file's free pages is what ends.
    name = f"instance-{number}-" + "x" * 2000
    ledger.reserve(f"u{number}", ["p"], namespace="ns", name=name, now=1)


def fill(folder: Path) -> Path:
    """Use up all that is left of the disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * 4096)
            except OSError:
                return ballast


def reserve_until_refused(ledger: Ledger) -> tuple[int, LedgerUnavailable]:
    """How many instances there are then, and the refusal."""
    for number in range(1, 500):
        try:
            reserve(ledger, number)
        except LedgerUnavailable as refusal:
            return number, refusal
    raise AssertionError("a full disk took 500 reservations")


@pytest.mark.parametrize("wal", [True, False])
def test_a_full_disk(small_disk: Path, wal: bool) -> None:
    path = small_disk / "ledger.db"
    with Ledger.open(path, "10000-10999", wal=wal) as ledger:
        reserve(ledger, 0)
        ballast = fill(small_disk)
        done, refusal = reserve_until_refused(ledger)
        assert str(path) in str(refusal)
        assert "free space in its folder" in str(refusal)
        # It can still be read, and what had returned is there, whole.
        assert len(ledger.uids()) == done
        ballast.unlink()
        reserve(ledger, 999)
        assert len(ledger.uids()) == done + 1
        assert ledger.check() == []
    with Ledger.open(path, "10000-10999", wal=wal) as ledger:
        assert len(ledger.uids()) == done + 1


def test_a_disk_too_full_to_start(small_disk: Path) -> None:
    ballast = fill(small_disk)
    path = small_disk / "ledger.db"
    with pytest.raises(LedgerUnavailable, match="free space in its folder"):
        Ledger.open(path, "10000-10999")
    ballast.unlink()
    with Ledger.open(path, "10000-10999") as ledger:
        assert ledger.usage().free == 1000
        assert ledger.check() == []


def test_a_read_only_remount(small_disk: Path) -> None:
    path = small_disk / "ledger.db"
    with Ledger.open(path, "10000-10999") as ledger:
        reserve(ledger, 0)
    mount("-o", "remount,ro", str(small_disk))
    with pytest.raises(LedgerUnavailable, match=r"read-only|cannot be opened") as caught:
        Ledger.open(path, "10000-10999")
    assert str(path) in str(caught.value)
    mount("-o", "remount,rw", str(small_disk))
    with Ledger.open(path, "10000-10999") as ledger:
        assert ledger.set_aside is None
        assert ledger.uids() == {"u0"}
        reserve(ledger, 1)
        assert ledger.check() == []
