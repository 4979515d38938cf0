"""A plan reaches the engine whole, and says nothing that it does not say."""

import json

import pytest

from controller.runtime.labels import STORAGE_LIMIT, Owner
from controller.runtime.plan import (
    ContainerPlan,
    Mount,
    PortBinding,
    Ulimit,
    configuration,
    host_config,
)

VERSION = "1.41"
OWNER = Owner("main", "n1", "uid-1", "team-a", "web", "hash-1")


def test_a_plain_plan_names_no_limit_and_takes_the_image_as_it_is() -> None:
    config = configuration(VERSION, OWNER, ContainerPlan("web", "web:1"), "net-1", ("web",))
    assert config["Image"] == "web:1"
    assert config["Cmd"] == []
    assert config["Entrypoint"] is None
    assert config["Hostname"] == "web"
    assert config["Labels"] == OWNER.labels("web")
    assert config["Healthcheck"]["Test"] == ["NONE"]
    assert config["NetworkingConfig"] == {"EndpointsConfig": {"net-1": {"Aliases": ["web"]}}}
    assert config["StopTimeout"] == 10
    assert config["Env"] == []
    host = config["HostConfig"]
    assert host == {
        "NetworkMode": "net-1",
        "PortBindings": {},
        "Dns": ["127.0.0.1"],
        "DnsOptions": ["timeout:1", "attempts:1"],
        "RestartPolicy": {"Name": "no"},
        "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
        "SecurityOpt": ["no-new-privileges:true"],
        "ReadonlyRootfs": False,
        "Mounts": [],
        "Init": False,
        "LogConfig": {"Type": "json-file", "Config": {"max-size": "2m", "max-file": "2"}},
    }


def test_every_option_has_its_place() -> None:
    plan = ContainerPlan(
        name="web",
        image="web:1",
        command=("/bin/web", "-v"),
        args=("serve",),
        working_dir="/srv",
        env={"A": "b=c", "EMPTY": ""},
        bindings=(
            PortBinding(80, "tcp", 10000, "0.0.0.0"),
            PortBinding(80, "tcp", 10001, "127.0.0.1"),
            PortBinding(53, "udp", 10000, "0.0.0.0"),
        ),
        exposed=((99, "tcp"), (80, "tcp")),
        hostname="front",
        cpu_nano=500_000_000,
        memory=1 << 20,
        pids=64,
        ulimits=(Ulimit("nofile", 10, 20),),
        user="1000:1000",
        read_only=True,
        tmpfs={"/tmp": "rw,size=1m"},
        mounts=(
            Mount("bind", "/host/flag", "/flag", True),
            Mount("volume", "v1", "/data", options={"type": "tmpfs"}, labels={"whose": "ours"}),
        ),
        cap_add=("LINUX_IMMUTABLE",),
        cap_drop=("NET_RAW",),
        no_new_privileges=False,
        seccomp="{}",
        init=True,
        cgroup_parent="/challenges",
        stop_timeout=3,
        log_driver="none",
        log_options={},
        dns=("192.0.2.1",),
    )
    config = configuration(VERSION, OWNER, plan, "net-1", ("web", "www"))
    assert config["Entrypoint"] == ["/bin/web", "-v"]
    assert config["Cmd"] == ["serve"]
    assert config["WorkingDir"] == "/srv"
    assert config["Env"] == ["A=b=c", "EMPTY="]
    assert set(config["ExposedPorts"]) == {"80/tcp", "53/udp", "99/tcp"}
    assert config["Hostname"] == "front"
    assert config["User"] == "1000:1000"
    assert config["StopTimeout"] == 3
    assert config["HostConfig"] == {
        "NetworkMode": "net-1",
        "PortBindings": {
            "80/tcp": [
                {"HostIp": "0.0.0.0", "HostPort": "10000"},
                {"HostIp": "127.0.0.1", "HostPort": "10001"},
            ],
            "53/udp": [{"HostIp": "0.0.0.0", "HostPort": "10000"}],
        },
        "Dns": ["192.0.2.1"],
        "RestartPolicy": {"Name": "no"},
        "NanoCpus": 500_000_000,
        "Memory": 1 << 20,
        "MemorySwap": 1 << 20,
        "PidsLimit": 64,
        "CgroupParent": "/challenges",
        "Ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": 10, "Hard": 20},
        ],
        "CapAdd": ["LINUX_IMMUTABLE"],
        "CapDrop": ["NET_RAW"],
        "SecurityOpt": ["seccomp={}"],
        "ReadonlyRootfs": True,
        "Tmpfs": {"/tmp": "rw,size=1m"},
        "Mounts": [
            {"Target": "/flag", "Source": "/host/flag", "Type": "bind", "ReadOnly": True},
            {
                "Target": "/data",
                "Source": "v1",
                "Type": "volume",
                "ReadOnly": False,
                "VolumeOptions": {
                    "NoCopy": True,
                    "Labels": {"whose": "ours"},
                    "DriverConfig": {"Name": "local", "Options": {"type": "tmpfs"}},
                },
            },
        ],
        "Init": True,
        "LogConfig": {"Type": "none", "Config": {}},
    }
    json.dumps(config)


def test_nothing_in_a_plan_makes_a_container_privileged() -> None:
    host = host_config(VERSION, ContainerPlan("web", "web:1"), "net-1")
    forbidden = {"Privileged", "PidMode", "IpcMode", "UTSMode", "Devices", "AutoRemove", "Binds"}
    assert not forbidden & set(host)


def test_a_core_limit_of_the_plans_own_wins() -> None:
    plan = ContainerPlan("web", "web:1", ulimits=(Ulimit("core", 5, -1),))
    assert host_config(VERSION, plan, "n")["Ulimits"] == [{"Name": "core", "Soft": 5, "Hard": -1}]


@pytest.mark.parametrize("quota", [True, False])
def test_a_storage_limit_is_the_drivers_or_noted_for_those_who_look(quota: bool) -> None:
    plan = ContainerPlan("web", "web:1", storage_limit=1 << 20, storage_quota=quota)
    config = configuration(VERSION, OWNER, plan, "net-1", ())
    noted = {STORAGE_LIMIT: "1048576"}
    assert config["Labels"] == OWNER.labels("web") | ({} if quota else noted)
    assert config["HostConfig"].get("StorageOpt") == ({"size": "1048576"} if quota else None)


@pytest.mark.parametrize("empty", [(), None])
def test_an_empty_command_is_the_images(empty: tuple[str, ...] | None) -> None:
    plan = ContainerPlan("web", "web:1", command=empty, args=empty)
    config = configuration(VERSION, OWNER, plan, "net-1", ())
    assert (config["Entrypoint"], config["Cmd"]) == (None, [])
