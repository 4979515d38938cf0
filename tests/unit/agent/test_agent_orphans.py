"""What a node says of instances that have vanished, and how its operator has them torn down."""

from controller.api import conditions
from controller.api.annotations import ORPHANS_CONFIRMED
from controller.api.meta import rfc3339
from controller.cluster.client import NODES
from controller.reconcile.queue import Key
from tests.unit.agent.kept import Kept


def hold(kept: Kept, number: int) -> None:
    keys = [Key(f"u{n}", "team", f"i{n}") for n in range(number)]
    kept.world.services.hold.judge(keys, {key.uid for key in keys})


async def test_it_says_who_until_when_and_what_to_do(kept: Kept) -> None:
    await kept.keeper.register()
    assert (await kept.condition(conditions.ORPHANS_HELD)).status == "False"
    assert kept.shown().status.orphans is None
    hold(kept, 7)
    said = await kept.condition(conditions.ORPHANS_HELD)
    assert (said.status, said.reason) == ("True", "OrphansHeld")
    for words in (
        "7 instances that run here have vanished",
        "team/i0, team/i1, team/i2 and 4 more",
        "torn down at 2026-01-31T12:10:00Z",
        "kubectl challenge confirm-orphans n1",
    ):
        assert words in said.message
    orphans = kept.shown().status.orphans
    assert orphans is not None
    assert (orphans.instances, rfc3339(orphans.since)) == (7, "2026-01-31T12:00:00Z")


async def test_the_operators_word_is_followed_once_it_is_on_the_object(kept: Kept) -> None:
    await kept.keeper.register()
    hold(kept, 7)
    await kept.status()
    orphans = kept.shown().status.orphans
    assert orphans is not None
    body = kept.cluster.read(NODES, "n1")
    body["metadata"]["annotations"] = {ORPHANS_CONFIRMED: rfc3339(orphans.until)}
    kept.keeper.observe(kept.cluster.put(NODES, body))
    assert sorted(kept.world.woken) == [f"u{n}" for n in range(7)]
    assert (await kept.condition(conditions.ORPHANS_HELD)).status == "False"
    assert kept.shown().status.orphans is None


async def test_the_node_says_so_at_once(kept: Kept) -> None:
    await kept.keeper.register()
    await kept.status()
    kept.keeper._due.clear()
    hold(kept, 7)
    assert kept.keeper._due.is_set()


async def test_it_says_what_they_take_and_counts_it_as_taken(kept: Kept) -> None:
    services = kept.world.services
    for number in range(8):
        uid = f"u{number}"
        services.ledger.reserve(uid, ["a", "b"], namespace="team", name=uid, now=0)
        services.memory[uid] = 1000
    await kept.keeper.register()
    hold(kept, 7)
    await kept.status()
    status = kept.shown().status
    assert status.orphans is not None
    assert status.allocated is not None
    assert (status.orphans.ports, status.orphans.memory) == (14, 7000)
    assert (status.allocated.instances, status.allocated.ports) == (8, 16)
    assert status.allocated.memory == 8000
