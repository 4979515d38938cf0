"""What `kubectl challenge nodes` makes of a node's status: trouble is told, and nothing else."""

from controller.api import conditions
from controller.cli.state import troubles
from tests.unit.agent.kept import Kept


async def test_a_node_that_is_well_has_no_trouble_to_tell(kept: Kept) -> None:
    services = kept.world.services
    services.findings.is_over, services.findings.told = True, "0 adopted"
    await kept.keeper.register()
    await kept.status()
    assert troubles(kept.shown(), services.clock.now()) == []


async def test_one_that_is_still_comparing_has(kept: Kept) -> None:
    await kept.keeper.register()
    await kept.status()
    (line,) = troubles(kept.shown(), kept.world.services.clock.now())
    assert f"{conditions.RECONCILED} is False" in line
