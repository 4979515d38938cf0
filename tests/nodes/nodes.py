"""What the tests on several nodes share: where instances are, and what is left on each node."""

import json
import uuid
from collections import Counter
from dataclasses import dataclass, field

from hack.bed.fleet import Fleet
from tests.integration.world import Instances, Object, World, until

TIMERS = {
    "CHALLENGE_MANAGER_LEASE_DURATION": "6",
    "CHALLENGE_NODE_LEASE_DURATION": "12",
    "CHALLENGE_NODE_LOSS_TIMEOUT": "15",
    "CHALLENGE_RESYNC_INTERVAL": "5",
    "CHALLENGE_BACKOFF_MAXIMUM": "5",
}
"""Short ones, in seconds: a node that falls silent counts as lost after 12, its instances move
after 15. Shorter ones are taken for silence on a machine where a process may wait for its turn."""


@dataclass
class Nodes(Instances):
    """The instances of one namespace, and the nodes of a fleet that they run on."""

    fleet: Fleet
    logged: dict[str, int] = field(init=False)
    api_was_restarted: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """What has been logged before is none of this test's."""
        self.logged = {name: len(c.logs()) for name, c in self.fleet.controllers.items()}

    @classmethod
    def with_namespace(cls, fleet: Fleet) -> "Nodes":
        """Make a namespace for a test; it goes with the control plane."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        fleet.bed.kubectl("create", "namespace", name)
        return cls(fleet.bed, fleet.bed.kubectl, name, fleet)

    def node(self, number: int) -> World:
        """One node: its containers, networks, volumes, folders and its ledger."""
        return World(self.bed, self.kubectl, self.namespace, self.fleet.agent(number))

    def placed(self) -> dict[str, str]:
        """The node of each instance of the namespace that has one."""
        out = self.kubectl("get", "chinst", "-n", self.namespace, "-o", "json").stdout
        return {
            item["metadata"]["name"]: item["status"]["nodeName"]
            for item in json.loads(out)["items"]
            if item["status"].get("nodeName")
        }

    def apply_at_once(self, *objects: Object) -> None:
        """Apply instances, all of which have their nodes before any agent sees one of them.

        Which node is the least busy does not depend then on how fast each of them launches.
        """
        agents = [self.fleet.agent(number) for number in self.fleet.numbers]
        for agent in agents:
            agent.freeze()
        try:
            self.apply(*objects)
            names = {each["metadata"]["name"] for each in objects}
            until(self.placed, lambda placed: names <= placed.keys())
        finally:
            for agent in agents:
                agent.thaw()

    def spread(self) -> list[int]:
        """How many instances of the namespace each node has, by the nodes' numbers."""
        count = Counter(self.placed().values())
        return [count[self.bed.node(number).name] for number in self.fleet.numbers]

    def assert_told_once(self, reason: str, *names: str) -> None:
        """An Event of that reason is there of each of these instances, and no second one.

        Events are sent in the background: they may come after what they tell of.
        """

        def told() -> dict[str, int]:
            return {name: self.events(name).count(reason) for name in names}

        found = until(told, lambda counts: all(counts.values()))
        assert found == dict.fromkeys(names, 1)

    def assert_all_answer(self, *names: str) -> None:
        """Each port of these instances (or all) answers for its own, on its own node's address."""
        placed = self.placed()
        address = {node.name: node.address for node in self.bed.state.nodes}
        for name in names or placed:
            assert self.answers(name), f"{name} has no port"
        for endpoint in self.endpoints():
            assert endpoint.host == address[placed[endpoint.instance]]

    def assert_nothing_left(self) -> None:
        """No instance is held back by a finalizer, and no node has anything left of any."""
        held = self.kubectl("get", "chinst", "-n", self.namespace, "-o", "name").stdout.split()
        assert held == []
        for number in self.fleet.numbers:
            self.node(number).assert_nothing_left()

    def restart_apiserver(self) -> None:
        """Have all connections to the API server end."""
        self.api_was_restarted = True
        self.bed.control_plane.stop_apiserver()
        self.bed.control_plane.start_apiserver()

    def new_logs(self) -> dict[str, str]:
        """What each manager and agent has logged since the test began."""
        controllers = self.fleet.controllers.items()
        return {name: c.logs()[self.logged.get(name, 0) :] for name, c in controllers}

    def assert_quiet_logs(self) -> None:
        """Nobody has crashed, or tried what his rights do not allow."""
        for name, text in self.new_logs().items():
            assert "Traceback" not in text, name
            # One that has just started answers before it has read its roles.
            if not self.api_was_restarted:
                assert [line for line in text.splitlines() if "forbidden" in line] == [], name

    def tell(self) -> None:
        """Print what there is: pytest shows it with a test that failed."""
        print(self.kubectl("get", "chinst,chnode", "-n", self.namespace, "-o", "yaml").stdout)
        for name, text in self.new_logs().items():
            print(f"== {name}\n{text[-10_000:]}")
