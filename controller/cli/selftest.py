"""`challenge-controller selftest`: creates an instance, talks to it, and sees it gone again.

What a player and a platform do, in one command, for `helm test` and for who has just installed.
Whatever happens, the instance is deleted at the end, and its own ttl ends it if that fails.
"""

import http.client
import secrets
import socket
import time
from typing import Final, Literal

import click

from controller.api import conditions
from controller.api.instance import ChallengeInstance
from controller.api.meta import API_VERSION
from controller.cli.connection import Connection, Object
from controller.cli.errors import CommandError, NotFound, TimedOut
from controller.cli.options import connected
from controller.cli.resource import INSTANCES
from controller.cli.state import parse, readiness
from controller.cli.words import printable

PERIOD: Final = 0.5
"""Seconds between two looks."""
ANSWER: Final = 10.0
"""Seconds that a service gets for its answer."""
HOLD: Final = 1.0
"""Seconds for which a TCP service has to keep a connection, or say something on it."""

Protocol = Literal["http", "tcp"]


@click.command("selftest")
@click.option("--image", required=True, help="Image of the instance: a service on a port.")
@click.option("--port", type=click.IntRange(1, 65535), default=80, show_default=True)
@click.option("--protocol", type=click.Choice(["http", "tcp"]), default="http", show_default=True)
@click.option("-n", "--namespace", help="Instead of the context's.")
@click.option(
    "--timeout",
    type=click.IntRange(1, 86_400),
    default=180,
    show_default=True,
    help="Seconds until the instance has to be up, and as many until it has to be gone.",
)
@connected
def selftest(
    connection: Connection,
    image: str,
    port: int,
    protocol: Protocol,
    namespace: str | None,
    timeout: int,
) -> None:
    """Create an instance, wait until it is up, connect to its ports, and delete it again.

    Exit codes: 0 all of it was as it should be; 1 something was not; 4 it took too long.
    """
    test = Selftest(connection, namespace or connection.access.namespace, timeout)
    test.create(_manifest(image, port, protocol, timeout))
    try:
        test.reach(test.until_ready(), protocol)
    finally:
        test.delete()
    test.until_gone()
    click.echo("All as it should be")


class Selftest:
    """One instance from its creation to its end; each step tells how long it took."""

    def __init__(self, connection: Connection, namespace: str, timeout: float) -> None:
        """`timeout` in seconds is for each of coming up and going."""
        self._connection = connection
        self._namespace = namespace
        self._timeout = timeout
        self._began = 0.0
        self._name = ""
        self._uid = ""

    def create(self, manifest: Object) -> None:
        """Create the instance; raises CommandError."""
        self._began = time.monotonic()
        made = self._connection.create(INSTANCES, manifest, self._namespace)
        self._name, self._uid = made["metadata"]["name"], made["metadata"]["uid"]
        self._tell("created")

    def until_ready(self) -> ChallengeInstance:
        """Wait until it is Ready, telling each reason why it is not; raises CommandError."""
        end, last = self._began + self._timeout, ""
        while True:
            instance = self._read()
            found = readiness(instance)
            said = conditions.get(instance.status.conditions, conditions.READY)
            message = printable(said.message) if said and said.message else ""
            if found.status == "True":
                self._tell(f"Ready on node {instance.status.node_name}")
                return instance
            if conditions.is_true(instance.status.conditions, conditions.STALLED):
                raise CommandError(
                    f"{self._what} will not come up: {found.reason}: {message}. The image is "
                    "--image (testInstance.image of the chart); see kubectl challenge nodes"
                )
            if found.reason != last:
                last = found.reason
                self._tell(f"{found.reason}: {message}" if message else found.reason)
            if time.monotonic() > end:
                raise TimedOut(
                    f"{self._what} was not Ready within {self._timeout:g} s: {found.reason}: "
                    f"{message or 'nothing has been said about it: does a manager run?'}"
                )
            time.sleep(PERIOD)

    def reach(self, instance: ChallengeInstance, protocol: Protocol) -> None:
        """Talk to each of its ports at the address that players are told; raises CommandError."""
        host = instance.status.address or ""
        for port in instance.status.ports:
            try:
                answer = (
                    _http(host, port.host_port)
                    if protocol == "http"
                    else _tcp(host, port.host_port)
                )
            except (OSError, http.client.HTTPException) as error:
                said = str(error) or type(error).__name__
                raise CommandError(
                    f"{self._what} is Ready, and {port.endpoint} does not answer from here "
                    f"({protocol}): {said}. See that firewalls between "
                    "here and the node let its ports through, and that "
                    "CHALLENGE_PUBLIC_ADDRESS is right"
                ) from error
            self._tell(f"{port.endpoint} {answer}")

    def delete(self) -> None:
        """Delete it; done when it is gone already. Raises CommandError."""
        try:
            self._connection.delete(
                INSTANCES, self._name, self._namespace, preconditions={"uid": self._uid}
            )
        except NotFound:
            return
        self._tell("deleted")

    def until_gone(self) -> None:
        """Wait until it is gone, with all that it had on its node; raises TimedOut."""
        end = time.monotonic() + self._timeout
        while time.monotonic() < end:
            try:
                self._read()
            except NotFound:
                self._tell("gone")
                return
            time.sleep(PERIOD)
        raise TimedOut(
            f"{self._what} is not gone {self._timeout:g} s after its deletion: see its node's "
            "agent, and docs/uninstall.md if that is gone"
        )

    def _read(self) -> ChallengeInstance:
        return parse(
            ChallengeInstance, self._connection.get(INSTANCES, self._name, self._namespace)
        )

    @property
    def _what(self) -> str:
        return f"ChallengeInstance {self._namespace}/{self._name}"

    def _tell(self, text: str) -> None:
        spent = time.monotonic() - self._began
        click.echo(f"{spent:6.1f} s  {INSTANCES.printed(self._name)} {text}")


def _manifest(image: str, port: int, protocol: Protocol, timeout: int) -> Object:
    probe = {"httpGet": {"port": port}} if protocol == "http" else {"tcpSocket": {"port": port}}
    service = {"name": "service", "containerPort": port}
    container = {"name": "service", "image": image, "ports": [service], "readinessProbe": probe}
    return {
        "apiVersion": API_VERSION,
        "kind": ChallengeInstance.KIND,
        "metadata": {"name": f"selftest-{secrets.token_hex(4)}"},
        "spec": {"template": {"containers": [container]}, "ttl": f"{2 * timeout}s"},
    }


def _http(host: str, port: int) -> str:
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        return f"answers {answer.status} {printable(answer.reason)}"
    finally:
        connection.close()


def _tcp(host: str, port: int) -> str:
    """A proxy of the engine's accepts whatever listens behind it, and then closes at once."""
    with socket.create_connection((host, port), timeout=ANSWER) as connection:
        connection.settimeout(HOLD)
        try:
            said = connection.recv(1024)
        except TimeoutError:
            return "takes a connection and keeps it"
    if not said:
        raise ConnectionResetError("the connection was closed at once")
    return f"says {len(said)} bytes"
