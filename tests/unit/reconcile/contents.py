"""What the stand-in for the engine has: one instance's containers, networks, images and volumes.

In dictionaries. It knows just the calls of a removal, a restart and a listing, and those of a
launch if a test wants it to; a test changes `states` and looks at `calls`.
"""

from dataclasses import dataclass, field
from typing import Any

from controller.runtime import labels
from tests.unit.runtime.fake_engine import Answer, Request

UID = "0b6f3c1e-8a5b-4c59-9a57-3d1f0e7f3a11"


@dataclass
class Containers:
    """The engine's containers (by name in the template), and its networks."""

    states: dict[str, str] = field(default_factory=dict)
    networks: dict[str, dict[str, str]] = field(default_factory=dict)
    subnets: dict[str, str] = field(default_factory=dict)
    """Those of the networks, by name."""
    busy_networks: set[str] = field(default_factory=set)
    network_refusal: str = ""
    """What it says to whoever wants a network removed; empty: it does it."""
    kept: dict[str, dict[str, str]] = field(default_factory=dict)
    """The engine's volumes and their labels."""
    exit_code: int = 1
    oom_killed: bool = False
    started: str = "2026-01-31T11:59:00Z"
    finished: str = "2026-01-31T11:59:59Z"
    ends_at_once: bool = True
    template_hash: str = ""
    restarted: str = ""
    network: str = ""
    """The one that the containers were made on."""
    bound: dict[str, int] = field(default_factory=dict)
    """The host port of each container's port 80."""
    start_refused: str = ""
    stop_timeout: int | None = None
    images_present: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    """Ids and digests by name in full."""
    creates: bool = False
    """Whether it knows how to make containers and networks."""
    image_missing: str = ""
    """What it says of a container's image that it does not have."""
    unlisted: set[str] = field(default_factory=set)
    """Containers that it has and does not list."""
    looks_fail: bool = False
    """Whether it refuses to be asked about a container."""
    lists_fail: bool = False
    """Whether it refuses to list containers."""
    calls: list[str] = field(default_factory=list)

    def answer(self, request: Request) -> Any:
        """Status and body for a request."""
        path = request.path.partition("?")[0].strip("/").split("/")
        if request.method != "GET":
            self.calls.append(f"{request.method} {'/'.join(path)}")
        if path == ["containers", "create"] and self.image_missing:
            return 404, {"message": self.image_missing}
        if path == ["containers", "create"] and self.creates:
            name = request.path.rpartition("name=")[2].removeprefix(f"chal-{UID}-")
            self.states[name] = "created"
            return 201, {"Id": f"id-{name}"}
        return getattr(self, path[0])(request.method, path[1:])

    def containers(self, method: str, path: list[str]) -> Any:
        """List, inspect, kill, start and remove."""
        if path == ["json"] and self.lists_fail:
            return 500, {"message": "database is locked"}
        if path == ["json"]:
            return 200, [self._listed(name) for name in self.states if name not in self.unlisted]
        name = path[0].removeprefix(f"chal-{UID}-")
        if name not in self.states:
            return 404, {"message": f"No such container: {path[0]}"}
        if method == "DELETE":
            del self.states[name]
        elif path[1] == "json" and self.looks_fail:
            return 500, {"message": "database is locked"}
        elif path[1] == "json":
            return 200, self._inspected(name)
        elif path[1] == "start" and self.start_refused:
            return 500, {"message": self.start_refused}
        elif path[1] == "start":
            self.states[name] = "running"
        elif path[1] == "kill" and self.ends_at_once:
            self.states[name] = "exited"
        return 204, b""

    def images(self, method: str, path: list[str]) -> Any:
        """Inspect, by name or id; there is no registry to pull from."""
        if method == "POST":
            return 500, {"message": "no registry here"}
        name = "/".join(path[:-1])
        for known, (image_id, digests) in self.images_present.items():
            if name in (known, image_id):
                return 200, {"Id": image_id, "RepoDigests": digests}
        return 404, {"message": f"No such image: {name}"}

    def networks_answer(self, method: str, path: list[str]) -> Any:
        """List and remove."""
        if method == "GET":
            found = [self._network(name) for name in self.networks]
            return 200, next((each for each in found if [each["Name"]] == path), found)
        if path == ["create"] and self.creates:
            return 201, {"Id": "network"}
        if path[0] not in self.networks:
            return 404, {"message": f"network {path[0]} not found"}
        if self.network_refusal:
            return 500, {"message": self.network_refusal}
        if path[0] in self.busy_networks:
            return 403, {"message": f"network {path[0]} has active endpoints"}
        del self.networks[path[0]]
        return 204, b""

    def _network(self, name: str) -> dict[str, Any]:
        config = [{"Subnet": self.subnets[name]}] if name in self.subnets else []
        found = {"Id": name, "Name": name, "Labels": self.networks[name], "Containers": {}}
        return found | {"IPAM": {"Config": config}}

    def volumes(self, method: str, path: list[str]) -> Any:
        """List all, remove one."""
        if method == "GET":
            return 200, {"Volumes": [{"Name": n, "Labels": m} for n, m in self.kept.items()]}
        if path[0] not in self.kept:
            return 404, {"message": f"get {path[0]}: no such volume"}
        del self.kept[path[0]]
        return 204, b""

    def _labels(self, name: str) -> dict[str, str]:
        return {
            labels.CONTAINER: name,
            labels.INSTANCE_UID: UID,
            labels.TEMPLATE_HASH: self.template_hash,
            labels.RESTARTED: self.restarted,
        }

    def _listed(self, name: str) -> Any:
        return {
            "Id": f"id-{name}",
            "Names": [f"/chal-{UID}-{name}"],
            "Labels": self._labels(name),
            "State": self.states[name],
            "ImageID": "sha256:1",
            "HostConfig": {"NetworkMode": self.network},
            "Ports": [
                {"PrivatePort": 80, "Type": "tcp", "PublicPort": int(at["HostPort"])}
                for at in self._created_with(name)
                if self.states[name] in ("running", "paused")
            ],
        }

    def _created_with(self, name: str) -> list[dict[str, str]]:
        return [{"HostPort": str(self.bound[name])}] if name in self.bound else []

    def _inspected(self, name: str) -> Any:
        running = self.states[name] == "running"
        return {
            "Id": f"id-{name}",
            "Name": f"/chal-{UID}-{name}",
            "Image": "sha256:1",
            "Config": {"Labels": self._labels(name), "StopTimeout": self.stop_timeout},
            "HostConfig": {"PortBindings": {"80/tcp": self._created_with(name)}},
            "State": {
                "Status": self.states[name],
                "ExitCode": 0 if running else self.exit_code,
                "OOMKilled": self.oom_killed,
                "StartedAt": self.started,
                "FinishedAt": self.finished,
            },
        }


def route(engine: Containers) -> Answer:
    def answer(request: Request) -> Any:
        if request.path.startswith("/networks"):
            path = request.path.partition("?")[0].strip("/").split("/")
            if request.method != "GET":
                engine.calls.append(f"{request.method} {'/'.join(path)}")
            return engine.networks_answer(request.method, path[1:])
        return engine.answer(request)

    return answer
