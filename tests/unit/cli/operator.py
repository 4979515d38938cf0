"""An operator at a machine: the plugin called with a kubeconfig for a fake API server."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from click.testing import CliRunner, Result

from controller.api.meta import rfc3339
from controller.cli.main import plugin
from tests.unit.cli.fake_api import NODES, FakeApi, Object, instances

POOL = {
    "apiVersion": "challenge-controller.io/v1alpha1",
    "kind": "ChallengePool",
    "name": "echo",
    "uid": "uid-echo",
    "controller": True,
}


def ago(**span: float) -> str:
    """A time before now."""
    return rfc3339(datetime.now(UTC) - timedelta(**span))


def ahead(**span: float) -> str:
    """A time after now, with half a minute for the test itself."""
    return rfc3339(datetime.now(UTC) + timedelta(seconds=30, **span))


def condition(
    kind: str, value: str, reason: str, message: str = "", since: str = ""
) -> dict[str, str]:
    """A condition of any object's."""
    return {
        "type": kind,
        "status": value,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since or ago(minutes=15, seconds=5),
    }


@dataclass
class Operator:
    """Calls the plugin, and lays out nodes and instances for it to find."""

    api: FakeApi
    environment: dict[str, str]

    def __call__(self, *words: str, answer: str = "") -> Result:
        """Call `kubectl challenge WORDS`."""
        result = CliRunner().invoke(plugin, words, env=self.environment, input=answer)
        assert "Traceback" not in result.output
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def node(self, name: str, *more: dict[str, str], ready: str = "True", **rest: Any) -> Object:
        """A node; `more` are conditions beside Ready, `rest` are fields of the spec."""
        reason = rest.pop("reason", "Ready")
        message = rest.pop("message", "")
        body: Object = {
            "metadata": {"name": name, "creationTimestamp": ago(days=4, minutes=1)},
            "spec": rest,
            "status": {
                "address": "203.0.113.7",
                "engine": {"id": "engine", "version": "20.10.24"},
                "portRange": "10000-29999",
                "allocatable": {"instances": 100, "ports": 20000, "memory": 4 << 30},
                "allocated": {"instances": 3, "ports": 7, "memory": 1288490188},
                "launch": {"launching": 2, "waiting": 5},
                "conditions": [condition("Ready", ready, reason, message), *more],
            },
        }
        return self.api.put(NODES, body)

    def instance(
        self,
        name: str,
        *more: dict[str, str],
        node: str = "node-1",
        namespace: str = "team",
        ready: str = "True",
        reason: str = "Ready",
        message: str = "",
        pool: bool = False,
        status: Object | None = None,
        meta: Object | None = None,
        **spec: Any,
    ) -> Object:
        """An instance; a player's unless it is a pool's. `more` are conditions beside Ready."""
        owner: Object = {"ownerReferences": [POOL]} if pool else {}
        said = [condition("Ready", ready, reason, message)] if ready else []
        wanted: Object = {"challengeRef": {"name": "echo"}} | spec
        where: Object = {"nodeName": node} if node else {}
        where |= {"poolUID": POOL["uid"]} if pool else {}
        return self.api.put(
            instances(namespace),
            {
                "metadata": {
                    "name": name,
                    "namespace": namespace,
                    "uid": f"uid-{namespace}-{name}",
                    "creationTimestamp": ago(minutes=20, seconds=1),
                }
                | owner
                | (meta or {}),
                "spec": wanted,
                "status": where | {"conditions": [*said, *more]} | (status or {}),
            },
        )

    def remove(self, name: str, namespace: str = "team") -> None:
        """Have an instance gone."""
        del self.api.objects[f"{instances(namespace)}/{name}"]


@dataclass
class FakeTime:
    """A clock that only sleeping moves; what is to happen meanwhile is told by the second."""

    seconds: float = 0.0
    events: dict[float, Callable[[], Any]] = field(default_factory=dict)

    def monotonic(self) -> float:
        """Seconds since the test's beginning."""
        return self.seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass, with all that happens in it."""
        self.seconds += seconds
        for moment in sorted(self._due()):
            self.events.pop(moment)()

    def _due(self) -> Iterator[float]:
        return (moment for moment in tuple(self.events) if moment <= self.seconds)
