"""What each container may do and use: the template's word, then the operator's."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.api import reasons
from controller.reconcile import launch, plan, reserve
from controller.reconcile.admit import admit
from controller.reconcile.result import DONE, Failed, Waiting
from controller.reconcile.services import Services
from controller.runtime.containers import ContainerPlan
from controller.runtime.engine import EngineInfo
from controller.settings import load
from tests.unit.reconcile.world import World

ENGINE = EngineInfo(
    id="e",
    name="n",
    version="20.10.24",
    api_version="1.41",
    operating_system="",
    kernel="",
    architecture="",
    cpus=2,
    memory=2**30,
    storage_driver="overlay2",
    cgroup_version="2",
    cgroup_driver="cgroupfs",
    security_options=(),
    live_restore=False,
)


def configure(services: Services, **settings: Any) -> None:
    """Give the node other settings."""
    services.settings = load({"node_name": "n1", "state_dir": "/nonexistent"} | settings)


async def plans(node: World, *containers: dict[str, Any], **spec: Any) -> list[ContainerPlan]:
    """The plans for one instance of these containers, called a, b, …"""
    named = [
        {"name": chr(ord("a") + index), "image": "img:1"} | body
        for index, body in enumerate(containers)
    ]
    mounted = {mount["name"] for body in named for mount in body.get("volumeMounts", ())}
    volumes = [{"name": name, "emptyDir": {}} for name in sorted(mounted)]
    work = node.work({"template": {"containers": named, "volumes": volumes}} | spec)
    await reserve.reserve(work)
    return await plan.plans(work)


def profile(kind: str, name: str = "") -> dict[str, Any]:
    """A container with that seccomp profile."""
    wanted = {"type": kind} | ({"localhostProfile": name} if name else {})
    return {"securityContext": {"seccompProfile": wanted}}


async def test_each_container_has_the_seccomp_profile_that_it_names(
    node: World, tmp_path: Path
) -> None:
    (tmp_path / "mine.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}')
    configure(node.services, seccomp_dir=str(tmp_path))
    silent, runtime, ours, mine = await plans(
        node,
        {},
        profile("RuntimeDefault"),
        profile("ChallengeDefault"),
        profile("Localhost", "mine.json"),
    )
    assert silent.seccomp == ours.seccomp
    assert ours.seccomp is not None
    assert "io_uring_setup" not in ours.seccomp
    assert runtime.seccomp is None
    assert mine.seccomp == '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[]}'


@pytest.mark.parametrize(
    ("default", "text"),
    [("RuntimeDefault", None), ("Localhost/all.json", '{"defaultAction":"A","syscalls":[]}')],
)
async def test_the_operator_chooses_the_profile_of_those_that_name_none(
    node: World, tmp_path: Path, default: str, text: str | None
) -> None:
    (tmp_path / "all.json").write_text('{"defaultAction":"A","syscalls":[]}')
    configure(node.services, seccomp_dir=str(tmp_path), default_seccomp=default)
    silent, ours = await plans(node, {}, profile("ChallengeDefault"))
    assert silent.seccomp == text
    assert ours.seccomp != text


async def test_a_profile_that_is_not_there_is_waited_for_by_name(
    node: World, tmp_path: Path
) -> None:
    configure(node.services, seccomp_dir=str(tmp_path))
    container = {"name": "a", "image": "img:1"} | profile("Localhost", "absent.json")
    work = node.work({"template": {"containers": [container]}})
    await reserve.reserve(work)
    result = await launch.launch(work)
    assert isinstance(result, Waiting)
    assert result.reason == reasons.SECCOMP_PROFILE_INVALID
    assert f"{tmp_path}/absent.json cannot be read: No such file" in result.message
    assert result.after is not None
    assert node.engine.calls == []


@pytest.mark.parametrize(
    ("driver", "parent", "name", "expected"),
    [
        ("cgroupfs", "challenges", None, "/challenges"),
        ("cgroupfs", "challenges", "web-1", "/challenges/web-1"),
        ("cgroupfs", "/ctf/challenges", "web", "/ctf/challenges/web"),
        ("systemd", "challenges", None, "challenges.slice"),
        ("systemd", "challenges", "web", "challenges-web.slice"),
        ("systemd", "challenges.slice", "web--1", "challenges-web__1.slice"),
        ("systemd", "/ctf/challenges", "web", "ctf-challenges-web.slice"),
        ("none", "challenges", "web", None),
    ],
)
async def test_all_containers_are_below_one_cgroup(
    node: World, driver: str, parent: str, name: str | None, expected: str | None
) -> None:
    configure(node.services, cgroup_parent=parent)
    node.services.engine_info = replace(ENGINE, cgroup_driver=driver)
    (made,) = await plans(node, {"cgroupParent": name} if name else {})
    assert made.cgroup_parent == expected


async def test_rights_are_the_engines_less_those_that_the_operator_drops(node: World) -> None:
    configure(
        node.services,
        dropped_capabilities="NET_RAW,MKNOD",
        allowed_capabilities="NET_RAW,SYS_PTRACE",
        default_privilege_escalation=True,
    )
    silent, asks, few = await plans(
        node,
        {},
        {"securityContext": {"capabilities": {"add": ["NET_RAW"]}}},
        {
            "securityContext": {
                "capabilities": {"add": ["CHOWN"], "drop": ["ALL"]},
                "allowPrivilegeEscalation": False,
            }
        },
    )
    assert (silent.cap_add, silent.cap_drop) == ((), ("MKNOD", "NET_RAW"))
    assert (asks.cap_add, asks.cap_drop) == (("NET_RAW",), ("MKNOD",))
    assert (few.cap_add, set(few.cap_drop)) == (("CHOWN",), {"ALL", "MKNOD", "NET_RAW"})
    assert [made.no_new_privileges for made in (silent, asks, few)] == [False, False, True]


@pytest.mark.parametrize(
    ("capability", "admitted"),
    [("LINUX_IMMUTABLE", True), ("CHOWN", True), ("NET_RAW", False), ("SYS_ADMIN", False)],
)
async def test_a_template_takes_back_what_it_would_have_had_anyway(
    node: World, capability: str, admitted: bool
) -> None:
    security = {"capabilities": {"drop": ["ALL"], "add": [capability]}}
    container = {"name": "a", "image": "img:1", "securityContext": security}
    result = await admit(node.work({"template": {"containers": [container]}}))
    if admitted:
        assert result is DONE
    else:
        assert isinstance(result, Failed)
        assert f"{capability} is not allowed here; allowed: AUDIT_WRITE, CHOWN" in result.message


async def test_a_read_only_root_has_small_places_to_write(node: World) -> None:
    configure(node.services, tmpfs_size="1Mi")
    writable, plain, mounted = await plans(
        node,
        {},
        {"securityContext": {"readOnlyRootFilesystem": True}},
        {
            "securityContext": {"readOnlyRootFilesystem": True},
            "volumeMounts": [{"name": "v", "mountPath": "/tmp"}],
        },
    )
    assert writable.tmpfs == {}
    assert set(plain.tmpfs) == {"/tmp", "/var/tmp", "/run"}
    assert set(plain.tmpfs.values()) == {"rw,nosuid,nodev,exec,mode=1777,size=1048576"}
    assert set(mounted.tmpfs) == {"/var/tmp", "/run"}, "a volume goes before"


async def test_core_dumps_and_logs_are_as_large_as_the_operator_says(node: World) -> None:
    own = {"ulimits": [{"name": "core", "soft": 1, "hard": 2}]}
    (silent,) = await plans(node, {})
    assert [(u.name, u.soft, u.hard) for u in silent.ulimits] == [("core", 0, 0)]
    assert silent.log_options == {"max-size": str(2 * 2**20), "max-file": "2"}
    configure(node.services, default_core="1Mi", log_max_size="1Mi", log_max_files="3")
    silent, asks = await plans(node, {}, own)
    assert [(u.name, u.soft, u.hard) for u in silent.ulimits] == [("core", 2**20, 2**20)]
    assert [(u.name, u.soft, u.hard) for u in asks.ulimits] == [("core", 1, 2)]
    assert silent.log_options == {"max-size": str(2**20), "max-file": "3"}


async def test_storage_has_a_quota_where_the_driver_can_have_one(node: World) -> None:
    node.services.engine_info = ENGINE
    limits = {"resources": {"limits": {"ephemeral-storage": "8Mi"}}}
    asks, silent = await plans(node, limits, {})
    assert (asks.storage_limit, asks.storage_quota) == (8 * 2**20, True)
    assert silent.storage_limit is None
    configure(node.services, default_ephemeral_storage="1Gi")
    node.services.engine_info = replace(ENGINE, storage_driver="overlayfs")
    asks, silent = await plans(node, limits, {})
    assert (asks.storage_limit, asks.storage_quota) == (8 * 2**20, False)
    assert silent.storage_limit == 2**30


async def test_challenges_for_cmgr_find_their_variables(node: World) -> None:
    env = [{"name": "LEVEL", "value": "hard"}]
    (plain,) = await plans(node, {}, user="alice", env=env)
    assert not any(name.startswith("CMGR_") for name in plain.env)
    configure(node.services, cmgr_env=True)
    (both,) = await plans(node, {}, user="alice", env=env)
    assert both.env == {**plain.env, "CMGR_USER_ID": "alice", "CMGR_LEVEL": "hard"}
    (nobody,) = await plans(node, {}, env=env)
    assert "CMGR_USER_ID" not in nobody.env


def test_our_own_profile_is_sent_small_and_read_once(node: World) -> None:
    text = node.services.profiles.challenge_default()
    assert node.services.profiles.challenge_default() is text
    assert "comment" not in text
    assert json.loads(text)["defaultAction"] == "SCMP_ACT_ERRNO"
