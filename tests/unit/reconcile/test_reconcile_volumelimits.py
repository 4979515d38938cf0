"""A volume on disk that is over its sizeLimit: found, and its instance stopped for good."""

from pathlib import Path
from typing import Any

import pytest

from controller.api import conditions
from controller.reconcile import teardown, volumelimits, volumes
from controller.reconcile.result import DONE, Failed
from controller.reconcile.storage import storage
from controller.reconcile.volumelimits import Limit, VolumeLimits
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


async def sampled(limits: VolumeLimits) -> list[str]:
    return [uid async for uid in limits.sample()]


def fill(work: Work, size: int) -> None:
    folder = work.services.folders.path(UID) / "volumes" / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_bytes(b"x" * size)


async def test_one_within_its_limit_is_left_alone(node: World, work: Work) -> None:
    assert await storage(work) == DONE
    fill(work, LIMIT // 2)
    assert await sampled(node.services.volume_limits) == []
    assert await storage(work) == DONE
    assert node.engine.states == {"web": "running"}


async def test_one_over_its_limit_is_stopped_and_not_started_again(node: World, work: Work) -> None:
    await storage(work)
    fill(work, 2 * LIMIT)
    assert await sampled(node.services.volume_limits) == [UID]
    assert await sampled(node.services.volume_limits) == [], "told once"
    failed = await storage(work)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.after) == ("StorageExceeded", None)
    assert failed.message.startswith("Volume data holds 128 KiB or more; its sizeLimit is 64 KiB")
    assert node.engine.states == {"web": "exited"}
    assert work.status.containers[0].state == "Terminated"
    # Another process, which has found nothing itself, goes by what the status says.
    node.services.volume_limits = VolumeLimits()
    assert await storage(work) == failed


async def test_containers_made_anew_start_anew(node: World, work: Work) -> None:
    await storage(work)
    fill(work, 2 * LIMIT)
    await sampled(node.services.volume_limits)
    await storage(work)
    await teardown.release(work)
    work.containers = []
    assert await sampled(node.services.volume_limits) == [], "nobody's any more"
    assert await storage(work) == DONE
    assert conditions.get(work.status.conditions, conditions.LAUNCHED) is None
    fill(work, LIMIT // 2)
    assert await sampled(node.services.volume_limits) == []


async def test_what_was_found_of_a_volume_that_is_empty_again_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, looked = VolumeLimits(), []
    limits.watch(UID, [Limit("data", tmp_path, LIMIT)])

    def emptied_meanwhile(folder: Path, enough: int) -> int:
        looked.append(folder)
        limits.renew(UID)
        return 2 * LIMIT

    with monkeypatch.context() as patched:
        patched.setattr(tree, "usage", emptied_meanwhile)
        assert await sampled(limits) == []
    assert looked == [tmp_path]
    (tmp_path / "file").write_bytes(b"x" * 2 * LIMIT)
    assert await sampled(limits) == [UID]
    limits.renew(UID)
    assert limits.exceeded(UID) == ""
    assert await sampled(limits) == [UID]


async def test_what_cannot_be_measured_is_over_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree, "MOST_ENTRIES", 0)
    (tmp_path / "file").touch()
    limits = VolumeLimits()
    limits.watch(UID, [Limit("data", tmp_path, LIMIT), Limit("gone", tmp_path / "gone", LIMIT)])
    assert await sampled(limits) == [UID]
    assert "Volume data holds more than 0 files" in limits.exceeded(UID)


async def test_those_over_a_limit_are_woken(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 2 * LIMIT)
    limits, woken = VolumeLimits(), []
    limits.watch(UID, [Limit("data", tmp_path, LIMIT)])

    class Woken(Exception):
        pass

    def wake(uid: str) -> None:
        woken.append(uid)
        raise Woken

    with pytest.raises(Woken):
        await volumelimits.keep_sampling(limits, wake, period=0)
    assert woken == [UID]


def test_each_volume_on_disk_that_is_mounted_has_a_limit(node: World) -> None:
    wanted = template()
    wanted["containers"][0]["volumeMounts"] += [
        {"name": name, "mountPath": f"/{name}"} for name in ("free", "memory")
    ]
    memory = {"sizeLimit": "1Mi", "medium": "Memory"}
    wanted["volumes"] += [
        {"name": "free", "emptyDir": {}},
        {"name": "memory", "emptyDir": memory},
        {"name": "unused", "emptyDir": {"sizeLimit": "1Mi"}},
    ]
    limits = volumes.disk_limits(node.work({"template": wanted}))
    assert limits == {"data": LIMIT, "free": 2**30}
