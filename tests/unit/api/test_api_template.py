"""A template is resolved from instance or Challenge; its ports have unique keys, it has a hash."""

from typing import Any

import pytest

from controller.api.challenge import Challenge, TemplateSpec
from controller.api.instance import ChallengeInstance
from controller.api.template import (
    probe_port,
    published_ports,
    resolve,
    resolve_policy,
    template_hash,
)

WEB = {
    "name": "web",
    "image": "web",
    "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}],
}
DB = {"name": "db", "image": "db", "ports": [{"containerPort": 5432}]}


def _template(*containers: dict[str, Any], **more: Any) -> TemplateSpec:
    return TemplateSpec.model_validate({"containers": containers or [WEB, DB], **more})


def _instance(**spec: Any) -> ChallengeInstance:
    return ChallengeInstance.parse({"metadata": {"name": "x", "namespace": "ns"}, "spec": spec})


CHALLENGE = Challenge.parse(
    {
        "metadata": {"name": "baby", "namespace": "ns"},
        "spec": {
            "template": {"containers": [DB]},
            "ttl": {"maximum": "2h"},
            "maxLifetime": "8h",
            "nodeLossPolicy": "Wait",
            "prePull": True,
        },
    }
)


def test_inline_template() -> None:
    instance = _instance(template={"containers": [WEB]})

    assert resolve(instance, None) == _template(WEB)
    assert resolve_policy(instance, None).manifest() == {"ttl": {}, "nodeLossPolicy": "Reschedule"}


def test_challenge() -> None:
    instance = _instance(challengeRef={"name": "baby"})

    assert resolve(instance, CHALLENGE) == _template(DB)
    assert resolve_policy(instance, CHALLENGE).manifest() == {
        "ttl": {"maximum": "2h"},
        "maxLifetime": "8h",
        "nodeLossPolicy": "Wait",
    }


def test_no_challenge() -> None:
    for function in (resolve, resolve_policy):
        with pytest.raises(LookupError, match="there is no Challenge ns/baby"):
            function(_instance(challengeRef={"name": "baby"}), None)


def test_published_ports() -> None:
    found = published_ports(_template())

    assert [(key, c.name, p.container_port) for key, c, p in found] == [
        ("http", "web", 80),
        ("web-53-udp", "web", 53),
        ("db-5432-tcp", "db", 5432),
    ]


def test_probe_port() -> None:
    container = _template().containers[0]

    assert probe_port(container, 8080) == 8080
    assert probe_port(container, "http") == 80
    with pytest.raises(ValueError, match="container web: expected the name of one of its ports"):
        probe_port(container, "https")


def test_hash_is_the_same_for_the_same_template() -> None:
    written_out = _template(
        {**WEB, "init": False, "resources": {"limits": {}}}, DB, restartPolicy="Always"
    )

    # Written down, for it is in labels of containers that a newer version must recognise.
    assert template_hash(_template()) == template_hash(written_out) == "0a8e363d0e1c8136"
    assert template_hash(TemplateSpec.model_validate(_template().manifest())) == "0a8e363d0e1c8136"


@pytest.mark.parametrize(
    "other",
    [
        _template(WEB),
        _template(DB, WEB),
        _template({**WEB, "image": "other"}, DB),
        _template(restartPolicy="Never"),
        _template({**WEB, "args": []}, DB),
        _template({**WEB, "env": [{"name": "A", "value": ""}]}, DB),
        _template({**WEB, "env": [{"name": "A"}]}, DB),
    ],
)
def test_hash_differs(other: TemplateSpec) -> None:
    assert template_hash(other) != template_hash(_template())
