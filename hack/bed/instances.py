"""Instances as a player sees them: their addresses, and whose answer comes from each port."""

import json
import socket
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hack.bed.errors import BedError, NotAnswering
from hack.bed.kubeconfig import Kubectl

ANSWER_TIMEOUT = 10.0


@dataclass(frozen=True)
class Endpoint:
    """One published port of an instance."""

    instance: str
    uid: str
    name: str
    host: str
    port: int
    is_http: bool

    @property
    def text(self) -> str:
        """How a player would reach it."""
        if self.is_http:
            return f"http://{self.host}:{self.port}/"
        return f"nc {self.host} {self.port}"


def endpoints(kubectl: Kubectl, namespace: str = "default") -> list[Endpoint]:
    """All published ports of all instances in a namespace, as their status tells them."""
    listed = json.loads(kubectl("get", "chinst", "-n", namespace, "-o", "json").stdout)["items"]
    return [endpoint for found in listed for endpoint in endpoints_of(found)]


def ask(endpoint: Endpoint) -> dict[str, Any]:
    """Ask a port whose it is. Raises NotAnswering, or BedError when it answers for another one."""
    try:
        text = _http(endpoint) if endpoint.is_http else _tcp(endpoint)
        answer: dict[str, Any] = json.loads(text)
    except (OSError, ValueError) as error:
        raise NotAnswering(
            f"{endpoint.instance}: {endpoint.text} does not answer: {error}"
        ) from error
    if answer["uid"] != endpoint.uid:
        raise BedError(
            f"{endpoint.text} should be {endpoint.instance} ({endpoint.uid}) and says that it is "
            f"{answer['name']} ({answer['uid']})"
        )
    if "upstream" in answer and answer["upstream"]["uid"] != endpoint.uid:
        raise BedError(f"{endpoint.instance}: its front talks to a back that is not its own")
    if "error" in answer:
        raise BedError(f"{endpoint.instance}: its front cannot reach its back: {answer['error']}")
    return answer


def silent(asked: Iterable[Endpoint]) -> list[str]:
    """Ask each port whose it is; a line for each that does not answer.

    Raises BedError when one answers for another instance.
    """
    found = []
    for endpoint in asked:
        try:
            ask(endpoint)
        except NotAnswering as error:
            found.append(str(error))
    return found


def endpoints_of(found: dict[str, Any]) -> Iterator[Endpoint]:
    """The published ports of one instance, as its status tells them."""
    status = found.get("status") or {}
    template = status.get("template") or {"containers": []}
    declared = {
        (container["name"], port["containerPort"]): port.get("appProtocol")
        for container in template["containers"]
        for port in container.get("ports", [])
    }
    for port in status.get("ports") or []:
        host, _, number = port["endpoint"].rpartition(":")
        yield Endpoint(
            instance=found["metadata"]["name"],
            uid=found["metadata"]["uid"],
            name=port["name"],
            host=host,
            port=int(number),
            is_http=declared.get((port["containerName"], port["containerPort"])) == "http",
        )


def _http(endpoint: Endpoint) -> str:
    # A proxy that the environment names has no way to a bed.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{endpoint.text}identity", timeout=ANSWER_TIMEOUT) as response:
        return str(response.read().decode())


def _tcp(endpoint: Endpoint) -> str:
    with socket.create_connection((endpoint.host, endpoint.port), ANSWER_TIMEOUT) as connection:
        connection.settimeout(ANSWER_TIMEOUT)
        with connection.makefile("r") as lines:
            return lines.readline()
