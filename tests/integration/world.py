"""What the tests of the whole product share: instances, their state, and what is left of them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any, TypeVar

import docker
import yaml

from controller.ledger import Instance, LedgerReader
from controller.runtime import labels
from hack.bed.bed import Bed
from hack.bed.engine import docker_client
from hack.bed.instances import Endpoint, ask, endpoints, silent
from hack.bed.kubeconfig import Kubectl
from hack.bed.running import RunningController

T = TypeVar("T")
Object = dict[str, Any]

IDENTITY = [
    {"name": "INSTANCE_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    {"name": "INSTANCE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
]
PORTS = [
    {"name": "http", "containerPort": 8080, "appProtocol": "http"},
    {"name": "nc", "containerPort": 9000},
]
TIMEOUT = 180.0
"""Seconds to wait for what comes: many, since a machine that is busy with more fails no test."""


READY_REASON = '{.status.conditions[?(@.type=="Ready")].reason}'
"""The JSONPath of why an instance is Ready, or is not."""


def container(image: str, name: str = "echo", **fields: Any) -> Object:
    """A container of the test image with two ports, which tells whose it is."""
    return {"name": name, "image": image, "env": IDENTITY, "ports": PORTS} | fields


def instance(name: str, *containers: Object, **spec: Any) -> Object:
    """A ChallengeInstance with an inline template, unless ``spec`` has a challengeRef."""
    template = {} if "challengeRef" in spec else {"template": {"containers": list(containers)}}
    if "template" in spec and containers:
        template["template"].update(spec.pop("template"))
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengeInstance",
        "metadata": {"name": name},
        "spec": template | spec,
    }


@dataclass
class Instances:
    """The instances of one namespace, as users of the API server see and handle them."""

    bed: Bed
    kubectl: Kubectl
    namespace: str

    def apply(self, *objects: Object) -> None:
        """Apply objects in the namespace, in one call."""
        text = yaml.safe_dump_all(objects)
        self.kubectl("apply", "-n", self.namespace, "-f", "-", input=text)

    def create(self, *objects: Object) -> None:
        """The same for what is too large to be applied, which keeps the whole as an annotation."""
        text = yaml.safe_dump_all(objects)
        self.kubectl("create", "-n", self.namespace, "-f", "-", input=text)

    def get(self, name: str) -> Object:
        """An instance as the API server has it."""
        out = self.kubectl("get", "chinst", name, "-n", self.namespace, "-o", "json").stdout
        found: Object = json.loads(out)
        return found

    def condition(self, name: str, kind: str = "Ready") -> Object:
        """A condition of an instance; empty when it has none of that type."""
        return condition_of(self.get(name), kind)

    def wait(self, what: str, *names: str, timeout: float = TIMEOUT) -> None:
        """``kubectl wait`` for a condition (or ``jsonpath=…``) of instances, or of all of them."""
        wanted = what if what.startswith(("jsonpath", "delete")) else f"condition={what}"
        self._wait(wanted, *(names or ["--all"]), timeout=timeout)

    def caught(self, name: str, path: str, value: str, timeout: float = TIMEOUT) -> Object:
        """Wait until a JSONPath has a value in an instance; returns it as it was at that moment.

        Read again, it may have gone on already.
        """
        out = self._wait(f"jsonpath={path}={value}", name, "-o", "json", timeout=timeout)
        found: Object = json.loads(out)
        return found

    def caught_reason(self, name: str, reason: str, timeout: float = TIMEOUT) -> Object:
        """Wait until the instance is not Ready for that reason; returns it as it was then."""
        return self.caught(name, READY_REASON, reason, timeout)

    def wait_reason(self, name: str, reason: str, timeout: float = TIMEOUT) -> Object:
        """The same; returns the condition alone."""
        return condition_of(self.caught_reason(name, reason, timeout))

    def _wait(self, wanted: str, *words: str, timeout: float) -> str:
        where = ("-n", self.namespace, f"--timeout={timeout:.0f}s")
        done = self.kubectl(
            "wait", "chinst", *words, f"--for={wanted}", *where, timeout=timeout + 30
        )
        return done.stdout

    def delete(self, *names: str) -> None:
        """Delete instances, or all of the namespace, and wait until they are gone."""
        where = ("-n", self.namespace, f"--timeout={TIMEOUT:.0f}s")
        self.kubectl("delete", "chinst", *(names or ["--all"]), *where, timeout=TIMEOUT + 30)

    def endpoints(self) -> list[Endpoint]:
        """Every published port of the namespace."""
        return endpoints(self.kubectl, self.namespace)

    def answers(self, name: str) -> dict[str, Object]:
        """What each port of an instance answers, by the port's name; checks whose it is."""
        return {e.name: ask(e) for e in self.endpoints() if e.instance == name}

    def answers_again(self, *names: str) -> None:
        """Wait until each port of these instances, or of all, answers as what it is.

        After a container was started anew: Ready may be of the one before.
        """

        def look() -> list[str]:
            asked = [e for e in self.endpoints() if not names or e.instance in names]
            return silent(asked) if asked else ["none has a port"]

        until(look, lambda found: found == [])

    def versions(self) -> dict[str, str]:
        """The resourceVersion of every instance: what was written since shows in it."""
        out = self.kubectl("get", "chinst", "-n", self.namespace, "-o", "json").stdout
        found = [item["metadata"] for item in json.loads(out)["items"]]
        return {meta["name"]: meta["resourceVersion"] for meta in found}

    def requests(self, verb: str, subresource: str = "") -> int:
        """How many requests about instances the API server has granted, by its own count."""
        wanted = (
            'resource="challengeinstances"',
            f'subresource="{subresource}"',
            f'verb="{verb}"',
            'code="200"',
        )
        lines = [
            line
            for line in self.kubectl("get", "--raw", "/metrics").stdout.splitlines()
            if line.startswith("apiserver_request_total{") and all(w in line for w in wanted)
        ]
        return sum(int(float(line.rpartition(" ")[2])) for line in lines)

    def events(self, name: str) -> list[str]:
        """The reasons of the Events about an instance, in order of time to the second."""
        selector = f"involvedObject.name={name}"
        out = self.kubectl(
            "get", "events", "-n", self.namespace, "--field-selector", selector, "-o", "json"
        ).stdout
        found = json.loads(out)["items"]
        return [e["reason"] for e in sorted(found, key=lambda e: str(e["firstTimestamp"]))]


@dataclass
class World(Instances):
    """One controller on its node, and one namespace, seen from outside."""

    controller: RunningController
    state_dir: Path = field(init=False)

    def __post_init__(self) -> None:
        """The controller's ledger is in its own state folder, unless a test says otherwise."""
        self.state_dir = self.controller.state_dir

    @property
    def number(self) -> int:
        """The number of the node."""
        return self.controller.number or 1

    def rows(self) -> dict[str, Instance]:
        """The ledger's rows by instance name."""
        with self._ledger() as ledger:
            return {row.name: row for row in ledger.instances()}

    def ports_held(self) -> int:
        """Host ports that the ledger has given out."""
        with self._ledger() as ledger:
            usage = ledger.usage()
            return usage.reserved + usage.confirmed

    def problems(self) -> list[Any]:
        """The ledger's broken invariants."""
        with self._ledger() as ledger:
            return list(ledger.check())

    @contextmanager
    def docker(self) -> Iterator[docker.APIClient]:
        """A client of the node's engine."""
        with docker_client(self.bed.engine(self.number).url) as client:
            yield client

    def containers(self) -> list[Object]:
        """The containers of this installation, whatever their state."""
        with self.docker() as client:
            mark = f"{labels.INSTALLATION}={self.bed.state.name}"
            return list(client.containers(all=True, filters={"label": mark}))

    def running_containers(self, name: str) -> int:
        """How many containers of an instance run."""
        mine = [c for c in self.containers() if c["Labels"][labels.INSTANCE_NAME] == name]
        return sum(c["State"] == "running" for c in mine)

    def node_condition(self, kind: str) -> Object:
        """A condition of the node; empty when there is no node or no condition of that type."""
        out = self.kubectl(
            "get", "chnode", self.bed.node(self.number).name, "-o", "json", check=False
        ).stdout
        return condition_of(json.loads(out) if out else {}, kind)

    @contextmanager
    def listening_on_the_node(self, *ports: int) -> Iterator[None]:
        """A foreign program that holds ports of the node."""
        code = (
            "import socket, sys\n"
            "held = [socket.create_server(('0.0.0.0', int(p))) for p in sys.argv[1:]]\n"
            "print('listening', flush=True)\n"
            "sys.stdin.read()\n"
        )
        command = [sys.executable, "-c", code, *map(str, ports)]
        if namespace := self.bed.node(self.number).engine.namespace:
            command = ["nsenter", f"--net=/run/netns/{namespace}", *command]
        with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == "listening\n"
            try:
                yield
            finally:
                program.kill()

    def networks(self) -> list[str]:
        """The names of this installation's networks."""
        with self.docker() as client:
            mark = f"{labels.INSTALLATION}={self.bed.state.name}"
            return sorted(n["Name"] for n in client.networks(filters={"label": mark}))

    def volumes(self) -> list[str]:
        """The names of all volumes of the engine."""
        with self.docker() as client:
            return sorted(v["Name"] for v in client.volumes()["Volumes"] or [])

    def folders(self) -> list[str]:
        """The names of the folders that the agent keeps for instances, half made ones too."""
        return sorted(path.name for path in (self.state_dir / "instances").glob("*"))

    def assert_nothing_left(self) -> None:
        """No container, network, volume, folder, row or port of the node is left."""
        assert self.containers() == []
        assert self.networks() == []
        assert self.volumes() == []
        assert self.folders() == []
        assert self.rows() == {}
        assert self.ports_held() == 0
        assert self.problems() == []

    def tell(self) -> None:
        """Print what there is: pytest shows it with a test that failed."""
        print(self.kubectl("get", "chinst,chnode", "-n", self.namespace, "-o", "yaml").stdout)
        print(self.controller.logs()[-20_000:])

    def _ledger(self) -> LedgerReader:
        return LedgerReader.open_read_only(self.state_dir / "ledger.db")


def condition_of(found: Object, kind: str = "Ready") -> Object:
    """A condition of an object; empty when it has none of that type."""
    conditions = found.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == kind), {})


def until(look: Callable[[], T], done: Callable[[T], bool] = bool, timeout: float = TIMEOUT) -> T:
    """Look until it is as wanted: for what nobody announces, such as a row in the ledger.

    Raises TimeoutError with what was seen last.
    """
    deadline = time.monotonic() + timeout
    while True:
        seen = look()
        if done(seen):
            return seen
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {seen!r} after {timeout:.0f} s")
        time.sleep(0.1)
