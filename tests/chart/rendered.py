"""What the real Helm makes of the chart: objects, or the error that a user is shown."""

import itertools
import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hack.bed.programs import find_helm
from hack.bed.report import Report
from hack.chart.values import CHART

Object = dict[str, Any]
NAMESPACE = "challenge-system"
RELEASE = "challenge-controller"


@dataclass(frozen=True)
class Rendered:
    """The objects of a release, hooks and tests among them."""

    objects: tuple[Object, ...]

    def one(self, kind: str, end: str = "") -> Object:
        """The object of a kind whose name ends so; fails when there is not one of them."""
        found = self.all(kind, end)
        assert len(found) == 1, f"{kind} {end}: {[each['metadata']['name'] for each in found]}"
        return found[0]

    def all(self, kind: str, end: str = "") -> list[Object]:
        """All objects of a kind whose name ends so."""
        return [
            each
            for each in self.objects
            if each["kind"] == kind and each["metadata"]["name"].endswith(end)
        ]

    def pods(self) -> dict[str, Object]:
        """The pod specs of whatever runs pods, by kind and name."""
        return {
            f"{each['kind']} {each['metadata']['name']}": (
                each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
            )
            for each in self.objects
            if each["kind"] in ("Deployment", "DaemonSet", "Job", "Pod")
        }


@cache
def helm() -> Path:
    """The program."""
    return find_helm(Report())


def run(*words: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Helm with these values, which it reads from its standard input."""
    more = ("--values=-",) if values is not None else ()
    return subprocess.run(
        [helm(), *words, *more],
        input=None if values is None else json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
    )


def template(
    values: Mapping[str, Any] | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE
) -> str:
    """The manifests of a release as Helm prints them."""
    done = run("template", release, str(CHART), f"--namespace={namespace}", values=values or {})
    assert done.returncode == 0, done.stderr
    return done.stdout


def render(
    values: Mapping[str, Any] | None = None, *, release: str = RELEASE, namespace: str = NAMESPACE
) -> Rendered:
    """The objects of a release."""
    text = template(values, release=release, namespace=namespace)
    documents = yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return Rendered(tuple(each for each in documents if each))


def complaint(values: Mapping[str, Any]) -> str:
    """What Helm says against values."""
    done = run("template", RELEASE, str(CHART), f"--namespace={NAMESPACE}", values=values)
    assert done.returncode != 0, f"Helm takes {values}"
    return done.stderr


def nested(path: str, value: Any) -> Object:
    """Values with one that is at a path by dots."""
    for key in reversed(path.split(".")):
        value = {key: value}
    found: Object = value
    return found


def merged(one: Object, other: Object) -> Object:
    """Values of two, key by key."""
    result = dict(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def pairwise(choices: Mapping[str, Sequence[Any]]) -> list[Object]:
    """Values in which each pair of choices of two options is together at least once.

    Greedy: each round takes a pair that is not covered yet, and gives the other options the choice
    that covers most of what is left.
    """
    names = list(choices)
    left = {
        frozenset(((a, i), (b, j)))
        for a, b in itertools.combinations(names, 2)
        for i in range(len(choices[a]))
        for j in range(len(choices[b]))
    }
    rounds = []
    while left:
        chosen = dict(min(left, key=sorted))
        for name in names:
            if name not in chosen:
                chosen[name] = max(
                    range(len(choices[name])), key=lambda i: _covered(left, chosen, name, i)
                )
        left -= {frozenset(pair) for pair in itertools.combinations(chosen.items(), 2)}
        values: Object = {}
        for name in names:
            values = merged(values, nested(name, choices[name][chosen[name]]))
        rounds.append(values)
    return rounds


def _covered(
    left: set[frozenset[tuple[str, int]]], chosen: dict[str, int], name: str, i: int
) -> int:
    return sum(frozenset(((name, i), each)) in left for each in chosen.items())


FLAGS: dict[str, list[Any]] = {
    "installation": ["default", "exam-2"],
    "instances.namespaces": [[], ["*"], ["team-a", "team-b"]],
    "manager.replicas": [1, 2],
    "crds.enabled": [True, False],
    "crds.keep": [True, False],
    "rbac.create": [True, False],
    "rbac.aggregate": [True, False],
    "admissionPolicies.enabled": [True, False],
    "podMonitor.enabled": [False, True],
    "networkPolicy.enabled": [False, True],
    "uninstall.enabled": [True, False],
    "agent.exposeMetrics": [False, True],
    "agent.docker.dataRoot": ["/var/lib/docker", ""],
    "agent.seccompProfiles": [{}, {"strict.json": "{}"}],
    "agent.tolerations": [[], [{"operator": "Exists"}]],
    "image.digest": ["", "sha256:" + "0" * 64],
    "imagePullSecrets": [[], [{"name": "registry"}]],
    "commonLabels": [{}, {"team": "ctf"}],
    "settings": [{}, {"pruneAge": "2h", "concurrentLaunches": "auto", "resolvers": ["1.1.1.1"]}],
    "agent.settings": [{}, {"ports": "20000-21000"}],
    "manager.settings": [{}, {"memoryOvercommit": 2.5, "maxInstancesPerUser": 1000000}],
}
"""What changes which objects there are, or their shape."""
