"""An agent that was cut off launches nothing before what was moved meanwhile is gone."""

import asyncio

from controller.agent import fencing
from controller.cluster.errors import ApiUnavailable
from controller.cluster.lease import Lease
from controller.reconcile.fence import Fence
from controller.reconcile.gate import Gate, Work
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.virtual_time import now, virtual

DURATION = 40


class Agent:
    """A fence, a Lease that is renewed unless the link is down, and comparisons."""

    def __init__(self, *moved: str) -> None:
        self.cluster = FakeCluster()
        self.gate = Gate(1, lambda uid: True)
        self.fence = Fence(self.gate)
        self.moved = list(moved)
        self.compared: list[float] = []
        self.can_compare = True
        self.opened = 0
        self.lease = Lease(
            self.cluster, "challenge-system", "node-n1", "engine", DURATION, monotonic=now
        )

    async def begin(self) -> None:
        """Start as an agent does: fenced."""
        self.fence.close()
        await self.lease.take()
        self.keeping = asyncio.create_task(self.lease.keep(lost_after=None))
        self.fencing = asyncio.create_task(
            fencing.keep(self.fence, self.lease, self.compare, self.open)
        )
        await asyncio.sleep(0.1)

    async def compare(self) -> bool:
        """Find what was moved."""
        self.compared.append(now())
        if self.can_compare:
            self.fence.expect(self.moved)
        return self.can_compare

    def open(self) -> None:
        """Launches go on."""
        assert not self.fence.closed
        self.opened += 1

    def cut(self) -> None:
        """The API server is reached no more."""

        async def away(_method: str, _path: str) -> None:
            raise ApiUnavailable("away")

        self.cluster.before = away

    def join(self) -> None:
        """It is again."""
        self.cluster.before = None

    def end(self) -> None:
        """The agent is gone."""
        self.keeping.cancel()
        self.fencing.cancel()


@virtual
async def test_an_agent_that_begins_launches_when_what_is_not_its_own_is_gone() -> None:
    agent = Agent("a", "b")
    await agent.begin()
    assert agent.fence.closed
    assert not agent.gate.request("new", Work.LAUNCH)
    assert agent.gate.request("a", Work.REMOVAL), "removals have all slots meanwhile"
    agent.gate.release("a")
    agent.fence.settle("a")
    await asyncio.sleep(1)
    assert agent.fence.closed
    agent.fence.settle("b")
    await asyncio.sleep(1)
    assert (agent.fence.closed, agent.gate.holds("new")) == (False, True)
    assert agent.opened == 1
    agent.end()


@virtual
async def test_with_nothing_to_take_away_it_launches_at_once() -> None:
    agent = Agent()
    await agent.begin()
    assert not agent.fence.closed
    assert len(agent.compared) == 1
    agent.end()


@virtual
async def test_a_comparison_that_fails_is_made_again_soon() -> None:
    agent = Agent()
    agent.can_compare = False
    await agent.begin()
    await asyncio.sleep(10)
    assert agent.fence.closed
    agent.can_compare = True
    await asyncio.sleep(fencing.RETRY)
    assert not agent.fence.closed
    agent.end()


@virtual
async def test_after_a_long_cut_it_compares_at_once_and_launches_only_then() -> None:
    agent = Agent()
    await agent.begin()
    agent.moved = ["a"]
    agent.cut()
    await asyncio.sleep(DURATION + 1)
    assert agent.fence.closed, "it may count as lost from now on"
    await asyncio.sleep(10 * DURATION)
    assert len(agent.compared) == 1
    agent.join()
    back = now()
    await asyncio.sleep(3)
    assert agent.compared[1] - back <= 2.1
    assert agent.fence.closed
    agent.fence.settle("a")
    await asyncio.sleep(0.1)
    assert not agent.fence.closed
    agent.end()


@virtual
async def test_a_short_cut_holds_nothing_up() -> None:
    agent = Agent()
    await agent.begin()
    agent.cut()
    await asyncio.sleep(DURATION * 0.7)
    agent.join()
    await asyncio.sleep(10 * DURATION)
    assert (agent.fence.closed, len(agent.compared)) == (False, 1)
    agent.end()


@virtual
async def test_what_cannot_be_taken_away_does_not_hold_all_others_up_for_ever() -> None:
    agent = Agent("stuck")
    await agent.begin()
    await asyncio.sleep(fencing.PATIENCE - 1)
    assert agent.fence.closed
    await asyncio.sleep(2)
    assert not agent.fence.closed
    agent.end()


@virtual
async def test_cut_off_again_meanwhile_it_begins_again() -> None:
    agent = Agent("a")
    await agent.begin()
    agent.gate.request("new", Work.LAUNCH)
    agent.cut()
    await asyncio.sleep(DURATION + fencing.PATIENCE + 10)
    assert (agent.fence.closed, agent.gate.holds("new")) == (True, False)
    agent.join()
    await asyncio.sleep(3)
    assert len(agent.compared) == 2
    agent.fence.settle("a")
    await asyncio.sleep(0.1)
    assert not agent.fence.closed
    agent.end()
