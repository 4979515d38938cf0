"""Pools whose template changes, and nodes that are drained of them: no seed is ever short."""

from controller.cluster.client import INSTANCES, NODES
from tests.unit.manager.objects import node_body
from tests.unit.manager.serving import up
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_a_changed_template_rolls_and_no_seed_is_ever_short() -> None:
    served = await up()
    before = set(served.names())
    served.change(instanceTemplate={"metadata": {"labels": {"event": "finals"}}})
    await served.pass_time()
    assert not before & set(served.names())
    assert served.seeds() == {"1": 2, "2": 2}
    assert (served.fewest, served.most) == ({"1": 2, "2": 2}, 5)
    assert served.ready() == ("True", "Ready", [])


@virtual
async def test_a_changed_challenge_rolls_the_pool() -> None:
    served = await up()
    served.challenge("img:2")
    await served.pass_time()
    assert served.images() == {"img:2"}
    assert (served.fewest, served.most) == ({"1": 2, "2": 2}, 5)


@virtual
async def test_a_challenge_that_changes_in_what_is_not_its_template_rolls_nothing() -> None:
    served = await up()
    before = served.names()
    served.challenge(ttl={"maximum": "2h"})
    await served.pass_time()
    assert served.names() == before


@virtual
async def test_a_template_that_does_not_run_stops_the_roll_and_is_told() -> None:
    served = await up()
    served.challenge("bad")
    await served.pass_time(120)
    assert served.fewest == {"1": 2, "2": 2}
    assert served.ready() == ("False", "Updating", ["Stalled"])
    made = served.cluster.count("POST", INSTANCES.plural)
    await served.pass_time(600)
    assert served.cluster.count("POST", INSTANCES.plural) == made, "no loop of new ones"
    served.challenge("img:1")
    await served.pass_time()
    assert (served.images(), served.ready()) == ({"img:1"}, ("True", "Ready", []))


@virtual
async def test_a_drained_node_is_left_by_each_once_its_successor_is_ready() -> None:
    served = await up(surge=0, unavailable=1)
    served.cluster.put(NODES, node_body("n0"))
    served.cluster.put(NODES, node_body("n1"))
    await served.pass_time(1)
    served.cluster.put(NODES, node_body("n0", unschedulable=True))
    await served.pass_time()
    assert {b["status"]["nodeName"] for b in served.instances()} == {"n0"}, "cordoned is no drain"
    served.cluster.put(NODES, node_body("n0", unschedulable=True, drain="Managed"))
    await served.pass_time()
    assert {b["status"]["nodeName"] for b in served.instances()} == {"n1"}
    assert (served.fewest, served.most) == ({"1": 2, "2": 2}, 5)
    assert served.ready() == ("True", "Ready", [])


@virtual
async def test_without_room_elsewhere_a_drained_node_keeps_what_it_has() -> None:
    served = await up()
    served.agents = False
    served.cluster.put(NODES, node_body("n0", unschedulable=True, drain="All"))
    await served.pass_time()
    assert (len(served.names()), served.fewest) == (5, {"1": 2, "2": 2})
    assert served.ready() == ("True", "Ready", ["Reconciling"])
    assert [c.reason for c in served.status().conditions] == ["Ready", "Draining"]
    served.cluster.put(NODES, node_body("n0"))
    await served.pass_time()
    assert len(served.names()) == 4
    assert {b["status"]["nodeName"] for b in served.instances()} == {"n0"}
