"""What containers mount: volumes and the flag; who gets which, and that nothing of it stays."""

import base64
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from controller.cluster.client import CONFIG_MAPS, SECRETS
from controller.cluster.references import USE_LABEL, ReferenceMissing
from controller.reconcile import launch, mounts, plan, reserve, teardown
from controller.reconcile.comparison import Left
from controller.reconcile.queue import Key
from controller.reconcile.result import Failed
from controller.reconcile.work import Work
from controller.runtime import labels
from controller.runtime.containers import ContainerPlan, Mount
from controller.runtime.errors import OutcomeUnknown
from controller.runtime.folders import FolderOwner, Folders
from controller.settings import load
from tests.unit.reconcile.world import UID, World

FLAG = "flag{not-to-be-shown}"
REFERENCE = {"name": "flags", "key": "flag"}


@pytest.fixture
def served(node: World, tmp_path: Path) -> World:
    """A node with a folder for its instances."""
    node.services.folders = Folders(tmp_path / "instances")
    return node


def put_flag(node: World, value: str = FLAG) -> None:
    data = {"flag": base64.b64encode(value.encode()).decode()}
    meta = {"name": "flags", "namespace": "team", "labels": {USE_LABEL: "true"}}
    node.cluster.put(SECRETS, {"metadata": meta, "data": data})


def put_texts(node: World, **data: str) -> None:
    meta = {"name": "texts", "namespace": "team"}
    node.cluster.put(CONFIG_MAPS, {"metadata": meta, "data": data})


def work_for(
    node: World,
    *containers: dict[str, Any],
    volumes: list[dict[str, Any]] | None = None,
    **spec: Any,
) -> Work:
    named = [{"name": f"c{n}", "image": "img:1"} | c for n, c in enumerate(containers)]
    return node.work({"template": {"containers": named, "volumes": volumes or []}} | spec)


async def planned(work: Work) -> list[ContainerPlan]:
    await reserve.reserve(work)
    return await plan.plans(work)


def at(path: str, name: str = "data", **fields: Any) -> dict[str, Any]:
    return {"volumeMounts": [mount(path, name, **fields)]}


def mount(path: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path} | fields


async def test_containers_share_a_volume_on_disk_each_at_its_own_path(served: World) -> None:
    volume = {"name": "data", "emptyDir": {}}
    work = work_for(served, at("/data"), at("/seen", readOnly=True), {}, volumes=[volume])
    first, second, third = await planned(work)
    source = str(served.services.folders.path(UID) / "volumes" / "data")
    assert first.mounts == (Mount("bind", source, "/data"),)
    assert second.mounts == (Mount("bind", source, "/seen", read_only=True),)
    assert third.mounts == ()


@pytest.mark.parametrize(
    ("limit", "size"),
    [({"sizeLimit": "1Mi"}, 2**20), ({}, (512 + 64) * 2**20), ({"sizeLimit": "9Gi"}, 576 * 2**20)],
)
async def test_a_volume_in_memory_is_never_larger_than_its_containers_memory(
    served: World, limit: dict[str, str], size: int
) -> None:
    volume = {"name": "data", "emptyDir": {"medium": "Memory"} | limit}
    small = {"resources": {"limits": {"memory": "64Mi"}}}
    work = work_for(served, at("/a"), at("/b", readOnly=True) | small, {}, volumes=[volume])
    first, second, _ = await planned(work)
    ((made,), (other,)) = first.mounts, second.mounts
    assert (made.kind, made.source) == ("volume", labels.volume_name(UID, "data"))
    assert f"size={size}," in made.options["o"]
    assert made.labels[labels.INSTANCE_UID] == UID
    assert (other.source, other.options, other.read_only) == (made.source, made.options, True)
    assert await mounts.look_up(work) == ()


async def test_config_maps_become_files_that_nobody_writes(served: World) -> None:
    put_texts(served, motd="hi", rules="be nice")
    every = {"name": "every", "configMap": {"name": "texts"}}
    items = [{"key": "motd", "path": "a/b", "mode": 0o400}, {"key": "rules", "path": "c"}]
    some = {"name": "some", "configMap": {"name": "texts", "items": items, "defaultMode": 0o555}}
    container = {
        "volumeMounts": [*at("/e", "every")["volumeMounts"], *at("/s", "some").popitem()[1]]
    }
    work = work_for(served, container, volumes=[every, some])
    (made,) = await planned(work)
    assert [(m.target, m.read_only) for m in made.mounts] == [("/e", True), ("/s", True)]
    found = {folder.path: folder.files for folder in await mounts.look_up(work)}
    assert {f.path: (f.content, f.mode) for f in found["volumes/every"]} == {
        "motd": (b"hi", 0o644),
        "rules": (b"be nice", 0o644),
    }
    assert {f.path: (f.content, f.mode) for f in found["volumes/some"]} == {
        "a/b": (b"hi", 0o400),
        "c": (b"be nice", 0o555),
    }


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"name": "absent"}, "ConfigMap 'absent' does not exist"),
        ({"name": "texts", "items": [{"key": "x", "path": "x"}]}, "'texts' has no key 'x'"),
    ],
)
async def test_a_missing_config_map_or_key_is_named_if_somebody_mounts_it(
    served: World, source: dict[str, Any], said: str
) -> None:
    put_texts(served, motd="hi")
    volume = {"name": "data", "configMap": source}
    with pytest.raises(ReferenceMissing, match=said) as caught:
        await mounts.look_up(work_for(served, at("/data"), volumes=[volume]))
    assert caught.value.kind is CONFIG_MAPS
    assert await mounts.look_up(work_for(served, {}, volumes=[volume])) == ()


async def test_the_flag_is_a_file_for_those_who_ask_and_a_variable_for_who_insists(
    served: World,
) -> None:
    put_flag(served)
    asked: tuple[dict[str, Any], ...] = (
        {"mountFlag": True},
        {"mountFlag": True, "flagMode": 0o400},
        {"flagEnv": "FLAG"},
        {},
    )
    work = work_for(served, *asked, flagSecretRef=REFERENCE)
    made = await planned(work)
    assert [[(m.target, m.read_only) for m in p.mounts] for p in made] == [
        [("/run/challenge", True)],
        [("/run/challenge", True)],
        [],
        [],
    ]
    assert [FLAG in p.env.values() for p in made] == [False, False, True, False]
    assert made[2].env["FLAG"] == FLAG
    found = await mounts.look_up(work)
    assert [(f.path, f.mode) for f in found] == [("identity/c0", 0o755), ("identity/c1", 0o755)]
    files = [file for folder in found for file in folder.files]
    assert [(f.path, f.content, f.mode) for f in files] == [
        ("flag", FLAG.encode(), 0o444),
        ("flag", FLAG.encode(), 0o400),
    ]
    work.folders = found
    assert FLAG not in repr(work)


async def test_a_secret_is_not_read_if_nobody_asks_for_the_flag(served: World) -> None:
    work = work_for(served, {}, flagSecretRef=REFERENCE)
    await planned(work)
    assert await mounts.look_up(work) == ()
    assert served.cluster.count("GET", "secrets") == 0


async def test_secrets_of_a_namespace_that_is_not_served_are_not_read(served: World) -> None:
    put_flag(served)
    work = work_for(served, {"mountFlag": True}, flagSecretRef=REFERENCE)
    served.services.settings = load({"node_name": "n1", "namespaces": "other"})
    with pytest.raises(ReferenceMissing, match="does not serve its namespace"):
        await mounts.look_up(work)
    source = {"secretKeyRef": {"name": "flags", "key": "flag"}}
    env = work_for(served, {"env": [{"name": "F", "valueFrom": source}]})
    with pytest.raises(ReferenceMissing, match="does not serve its namespace"):
        await planned(env)
    assert served.cluster.count("GET", "secrets") == 0


async def test_a_flag_that_no_variable_can_hold_is_told_without_it(served: World) -> None:
    put_flag(served, "flag\0{x}")
    work = work_for(served, {"flagEnv": "FLAG"}, flagSecretRef=REFERENCE)
    with pytest.raises(ReferenceMissing, match="has a NUL") as caught:
        await planned(work)
    assert "{x}" not in str(caught.value)
    file = work_for(served, {"mountFlag": True}, flagSecretRef=REFERENCE)
    assert len(await mounts.look_up(file)) == 1


def test_what_can_never_be_is_told(served: World) -> None:
    asking = mounts.impossible(work_for(served, {"mountFlag": True}))
    assert "containers[c0].mountFlag" in asking
    assert "spec.flagSecretRef is not set" in asking
    assert "containers[c0].flagEnv" in mounts.impossible(work_for(served, {"flagEnv": "FLAG"}))
    for paths in (["a", "a"], ["a", "a/b"], ["b/a/c", "b/a"]):
        items = [{"key": "motd", "path": path} for path in paths]
        volume = {"name": "v", "configMap": {"name": "texts", "items": items}}
        said = mounts.impossible(work_for(served, {}, volumes=[volume]))
        assert said.startswith("volumes[v].configMap.items: expected each path once")
    items = [{"key": "motd", "path": path} for path in ("a/b", "a/c", "ab")]
    volume = {"name": "v", "configMap": {"name": "texts", "items": items}}
    assert mounts.impossible(work_for(served, {}, volumes=[volume])) == ""


async def test_a_new_attempt_is_clean_and_one_that_goes_on_keeps_what_there_is(
    served: World,
) -> None:
    work = work_for(served, at("/data"), volumes=[{"name": "data", "emptyDir": {}}])
    work.folders = await mounts.look_up(work)
    file = served.services.folders.path(UID) / "volumes" / "data" / "file"
    await mounts.prepare(work)
    file.touch()
    served.engine.states = {"c0": "running"}
    await mounts.prepare(work)
    assert file.exists(), "a container that runs has it mounted"
    served.engine.states = {}
    name, answered = labels.container_name(UID, "c0"), threading.Event()
    engine = served.services.engine
    with pytest.raises(OutcomeUnknown):
        await engine.call(lambda _: answered.wait(), effect=True, name=name, timeout=1.0)
    await mounts.prepare(work)
    assert file.exists(), "one that is being started may have it mounted"
    answered.set()
    await engine.settled(name)
    await mounts.prepare(work)
    assert not file.exists()


async def test_a_folder_that_cannot_be_written_fails_the_launch_and_gives_the_ports_back(
    served: World,
) -> None:
    served.services.folders = Folders(Path("/proc/not-here"))
    work = work_for(served, at("/data"), volumes=[{"name": "data", "emptyDir": {}}])
    await reserve.reserve(work)
    failed = await launch.launch(work)
    assert isinstance(failed, Failed)
    assert failed.reason == "LaunchFailed"
    assert f"The folder /proc/not-here/{UID} cannot be written: " in failed.message
    assert served.services.ledger.get(UID) is None
    assert served.services.gate.held == 0


async def test_an_instance_that_mounts_nothing_leaves_no_trace_on_disk(served: World) -> None:
    work = work_for(served, {}, volumes=[{"name": "data", "emptyDir": {}}])
    await mounts.prepare(work)
    assert not served.services.folders.root.exists()
    before = len(served.engine.calls)
    await mounts.remove(served.services, UID)
    assert len(served.engine.calls) == before


async def test_volumes_and_folder_go_before_the_ports(served: World) -> None:
    volume = {"name": "data", "emptyDir": {"medium": "Memory"}}
    work = work_for(served, at("/data"), volumes=[volume])
    await reserve.reserve(work)
    await mounts.prepare(work)
    name = labels.volume_name(UID, "data")
    served.engine.kept = {name: {labels.INSTANCE_UID: UID}}
    await teardown.free(served.services, UID)
    assert served.engine.calls == [f"DELETE volumes/{name}"]
    assert os.listdir(served.services.folders.root) == []
    assert served.services.ledger.get(UID) is None


async def test_what_is_left_of_nobody_known_is_found(served: World) -> None:
    folders = served.services.folders
    for uid in ("known", "lost"):
        folders.create(FolderOwner(uid, "team", f"name-{uid}"), ())
    marks = {labels.INSTANCE_NAMESPACE: "team", labels.INSTANCE_NAME: "stray"}
    served.engine.kept = {
        "v1": {labels.INSTANCE_UID: "lost"},
        "v2": {labels.INSTANCE_UID: "bare"} | marks,
        "v3": {labels.INSTANCE_UID: "running"},
    }
    found = await mounts.left(served.services, {"known", "running"})
    assert found == {
        "lost": Left(Key("lost", "team", "name-lost"), folder=True, volumes=1),
        "bare": Left(Key("bare", "team", "stray"), folder=False, volumes=1),
    }
    served.engine.kept = {"v2": {labels.INSTANCE_UID: "bare"}}
    await mounts.remove(served.services, "bare")
    assert served.engine.kept == {}
    assert served.services.strays == {"running"}
