"""A volume on disk that is over its sizeLimit: found, and its instance stopped for good."""

from pathlib import Path
from typing import Any

import pytest

from controller.api import conditions
from controller.reconcile import teardown, volumelimits
from controller.reconcile.result import DONE, Failed
from controller.reconcile.volumelimits import Limit, VolumeLimits
from controller.reconcile.volumestep import keep_limits
from controller.reconcile.work import Work
from controller.runtime import tree
from controller.runtime.folders import Folders
from tests.unit.reconcile.world import UID, World

LIMIT = 64 * 1024


@pytest.fixture
def work(node: World, tmp_path: Path) -> Work:
    """An instance that runs, with a limited volume."""
    node.services.folders = Folders(tmp_path / "instances")
    made = node.work({"template": template()})
    node.engine.states = {"web": "running"}
    node.found(made)
    return made


def template() -> dict[str, Any]:
    mount = {"name": "data", "mountPath": "/data"}
    return {
        "containers": [{"name": "web", "image": "img:1", "volumeMounts": [mount]}],
        "volumes": [{"name": "data", "emptyDir": {"sizeLimit": "64Ki"}}],
    }


def fill(work: Work, size: int) -> None:
    folder = work.services.folders.path(UID) / "volumes" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_bytes(b"x" * size)


async def test_one_within_its_limit_is_left_alone(node: World, work: Work) -> None:
    assert await keep_limits(work) == DONE
    fill(work, LIMIT // 2)
    assert await node.services.volume_limits.sample() == []
    assert await keep_limits(work) == DONE
    assert node.engine.states == {"web": "running"}


async def test_one_over_its_limit_is_stopped_and_not_started_again(node: World, work: Work) -> None:
    await keep_limits(work)
    fill(work, 2 * LIMIT)
    assert await node.services.volume_limits.sample() == [UID]
    assert await node.services.volume_limits.sample() == [], "told once"
    failed = await keep_limits(work)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.after) == ("StorageExceeded", None)
    assert failed.message.startswith("Volume data holds 128 KiB or more; its sizeLimit is 64 KiB")
    assert node.engine.states == {"web": "exited"}
    assert work.status.containers[0].state == "Terminated"
    # Another process, which has found nothing itself, goes by what the status says.
    node.services.volume_limits = VolumeLimits()
    assert await keep_limits(work) == failed


async def test_containers_made_anew_start_anew(node: World, work: Work) -> None:
    await keep_limits(work)
    fill(work, 2 * LIMIT)
    await node.services.volume_limits.sample()
    await keep_limits(work)
    await teardown.release(work)
    work.containers = []
    assert await node.services.volume_limits.sample() == [], "nobody's any more"
    assert await keep_limits(work) == DONE
    assert conditions.get(work.status.conditions, conditions.LAUNCHED) is None
    fill(work, LIMIT // 2)
    assert await node.services.volume_limits.sample() == []


async def test_what_cannot_be_measured_is_over_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MOST_ENTRIES", 0)
    (tmp_path / "file").touch()
    limits = VolumeLimits()
    limits.watch(UID, (Limit("data", tmp_path, LIMIT), Limit("gone", tmp_path / "gone", LIMIT)))
    assert await limits.sample() == [UID]
    assert "Volume data holds more than 0 files" in limits.exceeded(UID)


async def test_those_over_a_limit_are_woken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2 * LIMIT)
    limits, woken = VolumeLimits(), []
    limits.watch(UID, (Limit("data", tmp_path, LIMIT),))
    monkeypatch.setattr(volumelimits, "PERIOD", 0)

    class Woken(Exception):
        pass

    def wake(uid: str) -> None:
        woken.append(uid)
        raise Woken

    with pytest.raises(Woken):
        await volumelimits.keep_sampling(limits, wake)
    assert woken == [UID]
