"""Secrets and ConfigMaps that arrive later than what refers to them.

As SOPS, External Secrets and several Kustomizations have it: the instance waits, says for what, and
comes up by itself. kstatus takes it for one in progress, so a tool that waits goes on waiting.
"""

import base64
import json
import time
from collections.abc import Callable

from hack.bed.gitops import Verdict
from tests.integration.gitops.states import Object
from tests.integration.world import World, container, instance, until

USE = {"challenge-controller.io/use": "true"}
FLAG = {"flag": "flag{late}"}
SOON = 60.0
"""Seconds within which an instance has noticed and is up, on a machine that is busy with more: it
looks every 15 s, and more often at first."""


def secret(name: str, data: dict[str, str], labels: dict[str, str] = USE) -> Object:
    coded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": labels},
        "data": coded,
    }


def registry_secret(name: str) -> Object:
    login = {"auths": {"registry.example": {"username": "alice", "password": "s3cret"}}}
    made = secret(name, {".dockerconfigjson": json.dumps(login)})
    return made | {"type": "kubernetes.io/dockerconfigjson"}


def config_map(name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"motd": "hello"},
    }


def wants(name: str, image: str) -> Object:
    """An instance that refers to an object of its own name, in the way that the name says."""
    mounts = [{"name": "conf", "mountPath": "/conf"}]
    by_name: dict[str, Object] = {
        "flag": {"mountFlag": True},
        "variable": {
            "env": [
                {"name": "F", "valueFrom": {"secretKeyRef": {"name": "variable", "key": "flag"}}}
            ]
        },
        "setting": {
            "env": [
                {"name": "F", "valueFrom": {"configMapKeyRef": {"name": "setting", "key": "motd"}}}
            ]
        },
        "volume": {"volumeMounts": mounts},
    }
    template: Object = {"containers": [container(image, **by_name.get(name, {}))]}
    if name == "volume":
        template["volumes"] = [{"name": "conf", "configMap": {"name": "volume"}}]
    if name == "registry":
        template["imagePullSecrets"] = [{"name": "registry"}]
    spec: Object = {"flagSecretRef": {"name": "flag"}} if name == "flag" else {}
    return instance(name, template=template, **spec)


LATE = {
    "flag": (secret("flag", FLAG), "SecretNotFound"),
    "variable": (secret("variable", FLAG), "SecretNotFound"),
    "registry": (registry_secret("registry"), "SecretNotFound"),
    "setting": (config_map("setting"), "ConfigMapNotFound"),
    "volume": (config_map("volume"), "ConfigMapNotFound"),
}


def test_what_arrives_late_is_waited_for(
    world: World, echo_image: str, judge: Callable[[Object], Verdict]
) -> None:
    world.apply(*(wants(name, echo_image) for name in LATE))
    for name, (late, reason) in LATE.items():
        condition = world.wait_reason(name, reason)
        assert condition["message"] == f"{late['kind']} {name!r} does not exist"
        waiting = judge(world.get(name))
        assert (waiting.status, waiting.message) == ("InProgress", condition["message"])
    world.apply(*(late for late, _ in LATE.values()))
    began = time.monotonic()
    world.wait("Ready", timeout=SOON)
    print(f"all are up {time.monotonic() - began:.1f} s after what they waited for")
    assert {judge(world.get(name)).status for name in LATE} == {"Current"}
    assert "flag{late}" not in json.dumps([world.get(name) for name in LATE])


def test_one_that_arrives_at_once_is_not_waited_for_long(world: World, echo_image: str) -> None:
    """Applied in one go, the instance first: the common case, and it should not cost 15 s."""
    began = time.time()
    world.apply(wants("flag", echo_image))
    world.wait_reason("flag", "SecretNotFound")
    world.apply(secret("flag", FLAG))
    there = time.time()
    world.wait("Ready", "flag")
    noticed = world.rows()["flag"].attempt_started
    assert noticed is not None
    # After half of the time that it took to get there; a launch itself may take long.
    assert noticed / 1000 - there < 8.0 + (there - began) / 2


def test_a_secret_without_the_label_says_so_and_counts_once_it_has_it(
    world: World, echo_image: str
) -> None:
    world.apply(wants("flag", echo_image), secret("flag", FLAG, labels={}))
    world.wait_reason("flag", "SecretNotFound")
    message = until(
        lambda: world.condition("flag")["message"], lambda found: "lacks" in found, timeout=SOON
    )
    assert message == (
        "Secret 'flag' lacks the label challenge-controller.io/use: \"true\", so it is not read"
    )
    world.apply(secret("flag", FLAG))
    world.wait("Ready", "flag", timeout=SOON)


def test_one_that_is_deleted_while_it_waits_goes(world: World, echo_image: str) -> None:
    world.apply(wants("flag", echo_image))
    world.wait_reason("flag", "SecretNotFound")
    world.delete("flag")
