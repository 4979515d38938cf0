"""Whatever is sent, the API server refuses it and says why, or the controller can read it.

What the API server takes and the controller cannot read would be nobody's: no condition would tell
what is wrong with it. `HOSTILE_SEED` repeats a run, `HOSTILE_TRIES` makes it longer.
"""

import os
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
from pydantic import ValidationError

from controller.api.challenge import Challenge, TemplateSpec
from controller.api.crd import KINDS
from controller.api.instance import ChallengeInstance
from controller.api.meta import Resource
from controller.api.template import probe_port, published_ports, template_hash
from tests.api.hostile import spoiled
from tests.api.manifests import MANIFESTS, changed
from tests.integration.api.conftest import Api

MODELS: Final = {kind.model.KIND: kind.model for kind in KINDS}
SEED: Final = int(os.environ.get("HOSTILE_SEED") or Random().randrange(2**32))
TRIES: Final = int(os.environ.get("HOSTILE_TRIES") or 60)
"""Objects of each kind."""
REFUSED: Final = (400, 422)


@pytest.mark.parametrize("base", MANIFESTS)
def test_what_is_taken_can_be_read(api: Api, base: str) -> None:
    print(f"HOSTILE_SEED={SEED} HOSTILE_TRIES={TRIES}")
    random, taken = Random(SEED), 0
    wrong: list[str] = []
    for _ in range(TRIES):
        body, done = spoiled(MANIFESTS[base], random, random.choice((1, 1, 1, 2, 3)))
        answer = api.submit(body)
        told = answer.json()
        if answer.status_code == 201:
            taken += 1
            wrong += [f"{done} is taken, and then: {fault}" for fault in _faults(told)]
        elif answer.status_code not in REFUSED or not told["message"]:
            wrong.append(f"{done}: HTTP {answer.status_code}: {told}")

    assert not wrong, "\n".join(wrong)
    assert 0 < taken < TRIES
    assert api.create(MANIFESTS[base]) == [], "good input after bad input"


def _faults(told: dict[str, Any]) -> Iterator[str]:
    """What manager and agents could not do with an object."""
    try:
        read = MODELS[told["kind"]].model_validate(told)
        again = type(read).model_validate(read.manifest())
        if template := _template(read):
            assert template_hash(template) == template_hash(_template(again) or template)
            _resolve(template)
    except (AssertionError, LookupError, OverflowError, ValidationError, ValueError) as fault:
        yield repr(fault)


def _template(read: Resource) -> TemplateSpec | None:
    return read.spec.template if isinstance(read, Challenge | ChallengeInstance) else None


def _resolve(template: TemplateSpec) -> None:
    names = [name for name, _, _ in published_ports(template)]
    assert len(names) == len(set(names))
    for container in template.containers:
        probe = container.readiness_probe
        for action in (probe.tcp_socket, probe.http_get) if probe else ():
            if action is not None:
                assert 0 < probe_port(container, action.port) < 65536


CONTAINER = "spec.template.containers[0]"
PORTS = [{"containerPort": number} for number in range(1, 18)]
REFUSALS: Final[list[tuple[str, Any, str]]] = [
    (f"{CONTAINER}.env", [{"name": f"V{n}"} for n in range(10_000)], "must have at most 100 items"),
    (f"{CONTAINER}.env[0].name", "A=B", "should match"),
    (f"{CONTAINER}.env[0].name", "A\nB", "should match"),
    (f"{CONTAINER}.env[1].name", "PLAIN", 'Duplicate value: {"name":"PLAIN"}'),
    (f"{CONTAINER}.env[0].value", "a\0b", "should match"),
    (f"{CONTAINER}.env[3].valueFrom.fieldRef.fieldPath", "spec.template", "supported values:"),
    (f"{CONTAINER}.image", "web:1$(reboot)", "should match"),
    (f"{CONTAINER}.image", "--privileged", "should match"),
    (f"{CONTAINER}.image", "x" * 513, "may not be more than 512 bytes"),
    (f"{CONTAINER}.name", "web.", "should match"),
    (f"{CONTAINER}.name", "x" * 64, "may not be more than 63 bytes"),
    (f"{CONTAINER}.ports", PORTS, "must have at most 16 items"),
    (f"{CONTAINER}.ports[0].containerPort", -1, "greater than or equal to 1"),
    (f"{CONTAINER}.ports[0].containerPort", 2**63, "less than or equal to 65535"),
    (f"{CONTAINER}.ports[0].containerPort", "NaN", "must be of type integer"),
    (f"{CONTAINER}.ports[0].containerPort", 80.5, "must be of type integer"),
    (f"{CONTAINER}.resources.limits.memory", "NaN", "should match"),
    (f"{CONTAINER}.resources.limits.memory", -1, "must be bytes from 6Mi to 16Ti"),
    (f"{CONTAINER}.resources.limits.memory", 2**62, "must be bytes from 6Mi to 16Ti"),
    (f"{CONTAINER}.resources.limits.cpu", "1e9", "should match"),
    (f"{CONTAINER}.resources.limits.pids", 0, "greater than or equal to 1"),
    (f"{CONTAINER}.readinessProbe.timeoutSeconds", 10**9, "less than or equal to 3600"),
    (f"{CONTAINER}.readinessProbe.periodSeconds", 0, "greater than or equal to 1"),
    (f"{CONTAINER}.readinessProbe.httpGet.path", "/a b", "should match"),
    (f"{CONTAINER}.readinessProbe.httpGet.httpHeaders[0].name", "A\r\nB", "should match"),
    (f"{CONTAINER}.volumeMounts[0].mountPath", "/tmp/..", "without //, . and .."),
    (f"{CONTAINER}.volumeMounts[0].mountPath", "/proc", "must not be /proc, /sys"),
    (f"{CONTAINER}.volumeMounts[0].mountPath", "/run/challenge/flag", "must not be /proc, /sys"),
    (f"{CONTAINER}.volumeMounts[0].mountPath", "/a:/etc", "should match"),
    (f"{CONTAINER}.cgroupParent", "../system", "should match"),
    (f"{CONTAINER}.securityContext.seccompProfile.localhostProfile", "../x", "should match"),
    ("spec.template.containers", [], "should have at least 1 items"),
    ("spec.template", {}, "spec.template.containers: Required value"),
    ("spec.template", None, "spec.template: Required value"),
    ("metadata.name", "x" * 254, "must be no more than 253"),
    ("metadata.name", "../x", 'Invalid value: "../x"'),
    ("metadata.name", "w\u0435b", "a lowercase RFC 1123 subdomain"),
    ("metadata.labels", {"a": "x" * 64}, "must be no more than 63"),
    ("metadata.annotations", {"a": "x" * 300_000}, "may not be more than 262144 bytes"),
]


@pytest.mark.parametrize(("path", "value", "complaint"), REFUSALS)
def test_refused_with_the_field_and_what_was_expected(
    api: Api, path: str, value: Any, complaint: str
) -> None:
    told = "\n".join(api.create(changed(MANIFESTS["challenge"], {path: value})))

    assert complaint in told, f"{told:.2000}"
    assert path.partition("[")[0] in told
    assert api.create(MANIFESTS["challenge"]) == [], "good input after bad input"
