"""What the agent sees of its host: disks, the cgroup's limit, ports that others use as well."""

from pathlib import Path

import pytest

from controller.agent import cgroup, disks, portoverlap
from controller.agent.disks import Disk

GIB = 2**30


def disk(*, free: int = 50, inodes: int = 0, inodes_free: int = 0) -> Disk:
    return Disk(Path("/data"), 100 * GIB, free * GIB, inodes, inodes_free)


def test_folders_of_one_disk_are_looked_at_once_and_those_not_there_are_left_out(
    tmp_path: Path,
) -> None:
    (tmp_path / "below").mkdir()
    found = disks.look([tmp_path, tmp_path / "below", tmp_path / "absent", Path("/proc")])
    assert [each.path for each in found] == [tmp_path, Path("/proc")]
    assert 0 < found[0].free <= found[0].size


@pytest.mark.parametrize(
    ("seen", "reserve", "before", "words"),
    [
        (disk(free=10), 10, False, ""),
        (disk(free=9), 10, False, "/data: 9.0 of 100.0 GiB are free, expected 10 %"),
        (disk(free=11), 10, True, "expected 12 %"),
        (disk(free=12), 10, True, ""),
        (disk(free=0), 0, True, ""),
        (disk(inodes=1000, inodes_free=50), 10, False, ""),
        (disk(inodes=1000, inodes_free=49), 10, False, "49 of 1000 inodes are free, expected 5 %"),
        (disk(inodes=0, inodes_free=0), 10, False, ""),
    ],
)
def test_a_disk_is_short_of_room_below_the_reserve_and_until_a_little_above(
    seen: Disk, reserve: int, before: bool, words: str
) -> None:
    said = disks.shortages([seen], reserve=reserve, before=before)
    assert words in said
    assert bool(said) == bool(words)
    if words:
        assert "docker image prune" in said
        assert "CHALLENGE_DISK_RESERVE" in said


def test_the_kernels_own_file_systems_are_never_short(tmp_path: Path) -> None:
    assert disks.shortages(disks.look([Path("/proc")]), reserve=90, before=False) == ""


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{text}\n")


def test_the_least_limit_on_the_way_to_the_cgroup_counts(tmp_path: Path) -> None:
    write(tmp_path / "memory/memory.limit_in_bytes", str(1))
    write(tmp_path / "memory/ctf/memory.limit_in_bytes", str(3 * GIB))
    write(tmp_path / "memory/ctf/challenges/memory.limit_in_bytes", str(2**63 - 4096))
    assert cgroup.memory_limit("/ctf/challenges", "1", tmp_path) == 3 * GIB
    write(tmp_path / "memory/ctf/challenges/memory.limit_in_bytes", str(GIB))
    assert cgroup.memory_limit("/ctf/challenges", "1", tmp_path) == GIB


def test_the_same_with_the_second_version_and_with_slices(tmp_path: Path) -> None:
    write(tmp_path / "ctf.slice/memory.max", str(3 * GIB))
    write(tmp_path / "ctf.slice/ctf-all.slice/memory.max", "max")
    assert cgroup.memory_limit("ctf-all.slice", "2", tmp_path) == 3 * GIB
    write(tmp_path / "challenges/memory.max", str(GIB))
    assert cgroup.memory_limit("/challenges", "2", tmp_path) == GIB


def test_without_a_limit_or_a_cgroup_there_is_none(tmp_path: Path) -> None:
    assert cgroup.memory_limit("/challenges", "1", tmp_path) is None
    write(tmp_path / "memory/challenges/memory.limit_in_bytes", str(2**63 - 4096))
    assert cgroup.memory_limit("/challenges", "1", tmp_path) is None
    write(tmp_path / "challenges/memory.max", "max")
    assert cgroup.memory_limit("/challenges", "2", tmp_path) is None


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    write(tmp_path / "ip_local_port_range", "32768\t60999")
    write(tmp_path / "ip_local_reserved_ports", "")
    return tmp_path


def test_the_default_range_is_clear_of_everybody(kernel: Path) -> None:
    assert portoverlap.overlap("10000-29999", kernel) == ""


def test_node_ports_and_the_kernels_are_named_with_what_to_do(kernel: Path) -> None:
    said = portoverlap.overlap("20000-40000", kernel)
    assert "30000-32767 are NodePorts" in said
    assert "32768-40000 are ports that the kernel takes" in said
    assert "sysctl -w net.ipv4.ip_local_reserved_ports=32768-40000" in said
    assert "portRange" in said


def test_ports_that_the_kernel_was_told_to_leave_alone_are_nobodys(kernel: Path) -> None:
    write(kernel / "ip_local_reserved_ports", "40000-40010,40015")
    assert portoverlap.overlap("40000-40010", kernel) == ""
    assert "40011-40014,40016 are ports that the kernel takes" in portoverlap.overlap(
        "40000-40016", kernel
    )


def test_where_the_kernel_tells_nothing_only_node_ports_count(tmp_path: Path) -> None:
    assert portoverlap.overlap("40000-40010", tmp_path) == ""
    assert "30000 are NodePorts" in portoverlap.overlap("29990-30000", tmp_path)
