"""The end of an installation: what is its own goes, what is not stays, or is named."""

import asyncio

from controller.api.annotations import UNINSTALL
from controller.api.labels import INSTALLATION
from controller.cluster.client import INSTANCES, LEASES, NODES, POOLS, Object
from controller.cluster.errors import ApiUnavailable
from controller.manager.uninstall import NotUninstalled, Uninstall
from controller.settings import load
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.manager.objects import condition, instance_body, lease_body, node_body, pool_body
from tests.unit.reconcile.virtual_time import now, virtual


class Installation:
    """Nodes, pools and instances in a cluster, and agents that do as they are asked."""

    def __init__(self, *nodes: str, installation: str = "default", **settings: str) -> None:
        self.cluster = FakeCluster()
        self.said: list[str] = []
        self.settings = load({"installation": installation} | settings)
        self.silent: set[str] = set()
        for name in nodes:
            self.node(name, installation)
        self.agents = asyncio.create_task(self._answer())

    def node(self, name: str, whose: str, serves: tuple[str, ...] | None = None) -> None:
        """A node with a Lease; of which namespaces its agent has said that it serves them."""
        body = node_body(name, labels={INSTALLATION: whose})
        if serves is not None:
            body["status"] |= {"namespaces": list(serves), "controllerNamespace": "exam-system"}
        self.cluster.put(NODES, body)
        self.cluster.put(LEASES, lease_body(name))

    def instance(self, name: str, node: str | None, namespace: str = "team") -> None:
        status: Object = {"nodeName": node} if node else {}
        self.cluster.put(INSTANCES, instance_body(name, status=status, namespace=namespace))

    def names(self, plural: str) -> list[str]:
        """What is left of a kind."""
        return sorted(p.rpartition("/")[2] for p in self.cluster.objects if f"/{plural}/" in p)

    async def run(self, timeout: float = 60.0) -> str:
        """Uninstall; what is left, in words."""
        try:
            await Uninstall(
                self.cluster, self.settings, self.said.append, timeout=timeout, monotonic=now
            ).run()
        except NotUninstalled as left:
            return str(left)
        finally:
            self.agents.cancel()
        return ""

    async def _answer(self) -> None:
        """Each agent says that nothing is left, some time after it was asked."""
        while True:
            await asyncio.sleep(3)
            for body in list(self.cluster.objects.values()):
                asked = body["metadata"].get("annotations", {}).get(UNINSTALL)
                if asked and body["metadata"]["name"] not in self.silent:
                    message = f"Nothing is left on the node; asked at {asked}"
                    told = condition("Uninstalled", "True") | {"message": message}
                    self.cluster.put(NODES, body | {"status": {"conditions": [told]}})


@virtual
async def test_all_of_it_goes_and_nothing_of_another_installation() -> None:
    world = Installation("a", "b")
    world.node("other", "exam", ("exam",))
    world.cluster.put(POOLS, pool_body("web"))
    world.cluster.put(POOLS, pool_body("theirs", namespace="exam"))
    for name, node, namespace in (
        ("on-a", "a", "team"),
        ("on-gone", "gone", "team"),
        ("waits", None, "team"),
        ("theirs", "other", "exam"),
        ("theirs-waits", None, "exam"),
        ("strayed", "other", "team"),
    ):
        world.instance(name, node, namespace)
    assert await world.run() == ""
    assert world.names(POOLS.plural) == ["theirs"]
    assert world.names(INSTANCES.plural) == ["strayed", "theirs", "theirs-waits"]
    assert world.names(NODES.plural) == ["other"]
    assert world.names(LEASES.plural) == ["node-other"]
    assert "ChallengeNode a uninstalled" in world.said


@virtual
async def test_beside_one_that_serves_all_namespaces_nothing_is_deleted() -> None:
    world = Installation("a")
    world.node("other", "exam", ())
    world.instance("on-a", "a")
    said = await world.run()
    assert "The installation exam serves all namespaces" in said
    assert world.cluster.count("DELETE") == 0


@virtual
async def test_an_agent_that_does_not_answer_is_named_and_the_next_run_goes_on() -> None:
    world = Installation("a", "b")
    world.silent.add("b")
    said = await world.run(30)
    assert said.startswith("Node b has not said within 30 s that nothing is left on it. ")
    assert "kubectl challenge forget-node b" in said
    assert "Node a" not in said
    assert world.names(NODES.plural) == ["b"]
    assert world.names(LEASES.plural) == ["node-b"]
    world.silent.clear()
    world.agents = asyncio.create_task(world._answer())
    await asyncio.sleep(1)  # another time than that of the first run
    assert await world.run(30) == ""
    assert world.names(NODES.plural) == world.names(LEASES.plural) == []


@virtual
async def test_what_an_agent_has_said_when_it_was_asked_before_does_not_count() -> None:
    """It may have been started again since, and serve."""
    world = Installation("a")
    world.silent.add("a")
    told = condition("Uninstalled", "True") | {"message": "Nothing is left; asked at 2020"}
    body = world.cluster.read(NODES, "a")
    body["metadata"]["annotations"] = {UNINSTALL: "2020"}
    world.cluster.put(NODES, body | {"status": {"conditions": [told]}})
    assert "Node a has not said" in await world.run(10)
    assert world.names(NODES.plural) == ["a"]


@virtual
async def test_instances_that_stay_are_named_by_node_with_what_the_node_says() -> None:
    world = Installation("a", "b")
    node = node_body("b", ready="Unknown", reason="NodeLost", labels={INSTALLATION: "default"})
    world.cluster.put(NODES, node)
    for number in range(12):
        world.instance(f"i{number:02}", "b")
    world.instance("free", "a")

    for body in [world.cluster.read(INSTANCES, f"i{number:02}", "team") for number in range(12)]:
        body["metadata"]["deletionTimestamp"] = "2026-01-31T12:00:00Z"  # held by a finalizer
        world.cluster.put(INSTANCES, body)
    said = await world.run(10)
    assert said.startswith("12 instances on b are still there after 10 s: team/i00, team/i01, ")
    assert "team/i09 and 2 more. It says Ready=Unknown (NodeLost). See that its engine" in said
    assert world.names(INSTANCES.plural) == [f"i{number:02}" for number in range(12)]
    assert world.names(NODES.plural) == ["a", "b"], "no agent is asked while there are instances"
    assert world.cluster.count("PATCH") == 0


@virtual
async def test_an_api_server_that_is_away_is_waited_for_and_told_once() -> None:
    world = Installation("a")
    world.instance("on-a", "a")
    until = now() + 20

    async def away(method: str, path: str) -> None:
        if now() < until:
            raise ApiUnavailable("The API server does not answer: refused")

    world.cluster.before = away
    assert await world.run(60) == ""
    assert world.said.count("The API server does not answer: refused") == 1
    assert world.names(INSTANCES.plural) == world.names(NODES.plural) == []
