"""From a template to what the engine is given: limits, values, and rights that nobody asked for."""

import base64
from typing import Any

import pytest

from controller.cluster.client import CONFIG_MAPS, SECRETS, Kind
from controller.cluster.references import USE_LABEL, ReferenceMissing
from controller.reconcile import plan, reserve
from controller.runtime.containers import ContainerPlan, PortBinding
from tests.unit.reconcile.world import UID, World


async def planned(
    node: World, container: dict[str, Any] | None = None, **spec: Any
) -> ContainerPlan:
    """The plan for an instance of this one container, its ports reserved."""
    body = {"name": "web", "image": "img:1"} | (container or {})
    work = node.work({"template": {"containers": [body]}} | spec)
    await reserve.reserve(work)
    (made,) = await plan.plans(work)
    return made


async def test_a_container_that_asks_for_nothing_gets_the_nodes_limits(node: World) -> None:
    made = await planned(node)
    assert (made.cpu_nano, made.memory, made.pids) == (10**9, 512 * 2**20, 256)
    assert made.no_new_privileges
    assert not made.read_only
    assert made.stop_timeout == 5
    assert (made.command, made.args) == (None, None), "as the image has them"


async def test_its_own_limits_go_before(node: World) -> None:
    made = await planned(
        node, {"resources": {"limits": {"cpu": "250m", "memory": "64Mi", "pids": 20}}}
    )
    assert (made.cpu_nano, made.memory, made.pids) == (250_000_000, 64 * 2**20, 20)


@pytest.mark.parametrize("drop", [[], ["CHOWN"], ["ALL"]])
async def test_nobody_can_spoof_its_neighbours_who_did_not_ask_to(
    node: World, drop: list[str]
) -> None:
    made = await planned(node, {"securityContext": {"capabilities": {"drop": drop}}})
    assert set(made.cap_drop) == {"NET_RAW", *drop}
    assert made.cap_add == ()


async def test_raw_packets_are_for_those_who_ask(node: World) -> None:
    container = {"securityContext": {"capabilities": {"add": ["NET_RAW"]}}}
    made = await planned(node, container)
    assert made.cap_add == ("NET_RAW",)
    assert "NET_RAW" not in made.cap_drop


async def test_ports_are_those_of_the_ledger_on_the_nodes_interface(node: World) -> None:
    ports = [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]
    made = await planned(node, {"ports": ports})
    row = node.services.ledger.get(UID)
    assert row is not None
    assert made.bindings == (
        PortBinding(80, "tcp", row.ports["http"], "0.0.0.0"),
        PortBinding(53, "udp", row.ports["web-53-udp"], "0.0.0.0"),
    )


async def test_the_instances_user_seed_and_variables_reach_the_container(node: World) -> None:
    made = await planned(node, user="alice", seed="42", env=[{"name": "LEVEL", "value": "hard"}])
    assert made.env == {
        "CHALLENGE_USER_ID": "alice",
        "CHALLENGE_SEED": "42",
        "CHALLENGE_LEVEL": "hard",
    }


async def test_a_template_cannot_make_up_whose_instance_it_is(node: World) -> None:
    env = [{"name": "CHALLENGE_USER_ID", "value": "mallory"}, {"name": "PLAIN", "value": "x"}]
    made = await planned(node, {"env": env}, user="alice")
    assert made.env["CHALLENGE_USER_ID"] == "alice"
    assert made.env["PLAIN"] == "x"
    assert (await planned(node, {"env": env})).env["CHALLENGE_USER_ID"] == ""


async def test_values_from_fields_secrets_and_config_maps_are_looked_up(node: World) -> None:
    meta = {"namespace": "team", "labels": {USE_LABEL: "true"}}
    data = {"flag": base64.b64encode(b"flag{1}").decode()}
    node.cluster.put(SECRETS, {"metadata": meta | {"name": "flags"}, "data": data})
    node.cluster.put(CONFIG_MAPS, {"metadata": meta | {"name": "texts"}, "data": {"motd": "hi"}})
    sources = {
        "FLAG": {"secretKeyRef": {"name": "flags", "key": "flag"}},
        "MOTD": {"configMapKeyRef": {"name": "texts", "key": "motd"}},
        "NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "NODE": {"fieldRef": {"fieldPath": "spec.nodeName"}},
        "NOBODY": {"fieldRef": {"fieldPath": "spec.user"}},
    }
    env = [{"name": name, "valueFrom": source} for name, source in sources.items()]
    made = await planned(node, {"env": [*env, {"name": "EMPTY"}]})
    found = {name: made.env[name] for name in [*sources, "EMPTY"]}
    assert found == {
        "FLAG": "flag{1}",
        "MOTD": "hi",
        "NAME": "web",
        "NODE": "n1",
        "NOBODY": "",
        "EMPTY": "",
    }


async def test_a_missing_reference_is_told_and_nothing_is_planned(node: World) -> None:
    source = {"secretKeyRef": {"name": "absent", "key": "flag"}}
    with pytest.raises(ReferenceMissing, match="Secret 'absent' does not exist"):
        await planned(node, {"env": [{"name": "FLAG", "valueFrom": source}]})


@pytest.mark.parametrize("kind", [CONFIG_MAPS, SECRETS])
@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("a\0b", "has a NUL, which no variable can hold"),
        ("ü" * 64 * 1024, "has 128 KiB, and a variable holds 127 KiB at most: mount it as a file"),
    ],
)
async def test_what_no_variable_can_hold_is_refused_and_not_shown(
    node: World, kind: Kind, value: str, complaint: str
) -> None:
    ref, data = "configMapKeyRef", value
    if kind is SECRETS:
        ref, data = "secretKeyRef", base64.b64encode(value.encode()).decode()
    meta = {"name": "odd", "namespace": "team", "labels": {USE_LABEL: "true"}}
    node.cluster.put(kind, {"metadata": meta, "data": {"k": data}})
    env = [{"name": "X", "valueFrom": {ref: {"name": "odd", "key": "k"}}}]
    with pytest.raises(ReferenceMissing) as refused:
        await planned(node, {"env": env})
    assert str(refused.value) == f"Key 'k' of {kind.kind} 'odd' {complaint}"


async def test_what_a_container_runs_as_is_handed_on(node: World) -> None:
    made = await planned(
        node,
        {
            "command": ["/bin/sh"],
            "args": [],
            "workingDir": "/srv",
            "init": True,
            "securityContext": {
                "runAsUser": 0,
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": True,
            },
            "ulimits": [{"name": "nofile", "soft": 64, "hard": 128}],
        },
    )
    assert (made.command, made.args, made.working_dir) == (("/bin/sh",), (), "/srv")
    assert (made.user, made.read_only, made.no_new_privileges, made.init) == (
        "0",
        True,
        False,
        True,
    )
    assert [(u.name, u.soft, u.hard) for u in made.ulimits] == [("nofile", 64, 128), ("core", 0, 0)]


async def test_names_are_asked_of_the_operators_resolvers_and_only_with_egress(node: World) -> None:
    assert (await planned(node)).dns is None
    container = {"name": "web", "image": "img:1"}
    spec = {"template": {"containers": [container], "network": {"egress": "Internet"}}}
    (made,) = await plan.plans(node.work(spec))
    assert made.dns == ("1.1.1.1", "9.9.9.9")
