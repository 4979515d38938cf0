"""Progress is told at a pace that people read at, and that the API server can take."""

from controller.runtime.digests import Digests
from controller.runtime.progress import Pace


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_pull_that_talks_all_the_time_changes_its_words_seldom() -> None:
    clock = Clock()
    pace, told = Pace(clock), list[tuple[float, str]]()
    for second in range(300):
        clock.now = float(second)
        pace.latest = f"{second} of 300 MB"
        if not told or pace.shown() != told[-1][1]:
            told.append((clock.now, pace.shown()))
    assert [at for at, _ in told] == [0, 10, 30, 70, 130, 190, 250]
    assert [words for _, words in told][:3] == ["", "10 of 300 MB", "30 of 300 MB"]


def test_who_reads_is_told_when_to_look_again() -> None:
    clock = Clock()
    pace = Pace(clock)
    assert pace.left() == 10
    clock.now = 12.0
    assert (pace.shown(), pace.left()) == ("waiting for other pulls", 20)


def test_the_digest_is_that_of_the_repository_that_the_image_is_named_by() -> None:
    digests = Digests()
    digests.note("id-1", {"RepoDigests": ["r.example/other@sha256:" + "a" * 64, UBUNTU]})
    assert digests.named("id-1", "docker.io/library/ubuntu:24.04") == UBUNTU
    assert digests.named("id-1", "ubuntu") == UBUNTU
    assert digests.named("id-1", "elsewhere:1") == "r.example/other@sha256:" + "a" * 64


def test_an_image_that_came_from_no_registry_is_told_by_its_id() -> None:
    digests = Digests()
    assert digests.named("id-1", "web:1") is None
    digests.note("id-1", {"RepoDigests": None})
    assert digests.named("id-1", "web:1") == "id-1"


UBUNTU = "ubuntu@sha256:" + "b" * 64
