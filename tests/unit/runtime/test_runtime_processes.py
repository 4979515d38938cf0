"""Which container a process is of, and that nobody else's is killed."""

import subprocess
from pathlib import Path

import pytest

from controller.runtime import processes

ID, OTHER = "a" * 64, "b" * 64
ROOT = "/var/lib/docker"


def process(proc: Path, pid: int, cgroup: str, root: str = ROOT) -> None:
    folder = proc / str(pid)
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text(f"12:pids:{cgroup}\n1:name=systemd:{cgroup}\n")
    options = f"rw,lowerdir=/l,upperdir={root}/overlay2/m/diff,workdir=/w"
    lines = f"1 0 0:1 / / rw - overlay overlay {options}\n2 1 0:2 / /proc rw - proc proc rw\n"
    (folder / "mountinfo").write_text(lines)


@pytest.mark.parametrize(
    ("parent", "cgroup"),
    [
        ("/challenges", f"/challenges/{ID}"),
        ("/challenges", f"/challenges/web/{ID}"),
        ("/node/challenges", f"/node/challenges/{ID}/inner"),
        ("challenges.slice", f"/challenges.slice/docker-{ID}.scope"),
        ("challenges.slice", f"/challenges.slice/challenges-web.slice/docker-{ID}.scope"),
    ],
)
def test_a_cgroup_tells_the_container(tmp_path: Path, parent: str, cgroup: str) -> None:
    process(tmp_path, 11, cgroup)
    process(tmp_path, 12, cgroup)
    assert {k: sorted(v) for k, v in processes.alive(parent, ROOT, tmp_path).items()} == {
        ID: [11, 12]
    }


@pytest.mark.parametrize(
    ("cgroup", "root"),
    [
        (f"/docker/{ID}", ROOT),
        (f"/challenges-of-others/{ID}", ROOT),
        ("/challenges/not-an-id", ROOT),
        (f"/challenges/{ID}", "/var/lib/docker-of-another-engine"),
    ],
)
def test_what_is_not_ours_is_not_seen(tmp_path: Path, cgroup: str, root: str) -> None:
    process(tmp_path, 11, cgroup, root)
    (tmp_path / "12").mkdir()  # has ended meanwhile
    (tmp_path / "uptime").touch()
    assert processes.alive("/challenges", ROOT, tmp_path) == {}


def test_only_what_is_still_of_the_container_is_killed(tmp_path: Path) -> None:
    with (
        subprocess.Popen(["sleep", "60"]) as ours,
        subprocess.Popen(["sleep", "60"]) as another,
        subprocess.Popen(["true"]) as ended,
    ):
        ended.wait()
        process(tmp_path, ours.pid, f"/challenges/{ID}")
        process(tmp_path, another.pid, f"/challenges/{OTHER}")
        pids = [ours.pid, another.pid, ended.pid]
        assert processes.kill(ID, pids, "/challenges", tmp_path) == 1
        assert ours.wait(10) == -9
        assert another.poll() is None
        another.kill()
