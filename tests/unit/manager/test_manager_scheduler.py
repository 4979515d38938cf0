"""The scheduler: one write gives an instance its node, over what was read, and fairly."""

from controller.api import reasons
from controller.api.instance import ChallengeInstance
from controller.cluster.client import CHALLENGES, EVENTS
from controller.manager.placement import BACKLOG, Assigned
from tests.unit.manager.objects import template
from tests.unit.manager.placing import Placing
from tests.unit.reconcile.virtual_time import virtual


@virtual
async def test_an_instance_gets_its_node_and_its_template_in_one_write() -> None:
    placing = Placing("n1")
    placing.put("a", spec={"template": template(2)})
    await placing.round()
    assert placing.node_of("a") == "n1"
    assert len(placing.status("a")["template"]["containers"][0]["ports"]) == 2
    assert placing.cluster.count("PUT") == 1
    assert (len(placing.pending), placing.count("n1")) == (0, 1)
    assert placing.assigned.load("n1").ports == 2
    await placing.recorder.flush()
    assert placing.cluster.count("POST", EVENTS.plural) == 0, "the condition Scheduled says it"
    assert placing.reason("a") == reasons.WAITING_FOR_LAUNCH_SLOT
    placing.task.cancel()


@virtual
async def test_the_challenge_is_resolved_as_it_is_now() -> None:
    placing = Placing("n1")
    placing.challenge("web", ports=3, ttl={"maximum": "2h"}, maxLifetime="8h")
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    await placing.round()
    status = placing.status("a")
    assert len(status["template"]["containers"][0]["ports"]) == 3
    assert status["policy"]["ttl"]["maximum"] == "2h"
    assert status["policy"]["maxLifetime"] == "8h"
    placing.task.cancel()


@virtual
async def test_a_missing_challenge_is_told_once_and_found_when_it_appears() -> None:
    placing = Placing("n1")
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    for _ in range(5):
        await placing.round()
    assert placing.reason("a") == reasons.CHALLENGE_NOT_FOUND
    assert placing.cluster.count("PUT") == 1
    await placing.recorder.flush()
    assert placing.cluster.count("POST", EVENTS.plural) == 1
    placing.challenge("web")
    await placing.round()
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@virtual
async def test_instances_are_spread_over_the_nodes() -> None:
    placing = Placing("n1", "n2")
    for number in range(12):
        placing.put(f"i-{number}")
    await placing.round()
    assert (placing.count("n1"), placing.count("n2")) == (6, 6)
    placing.task.cancel()


@virtual
async def test_challenges_are_not_read_for_each_instance() -> None:
    placing = Placing("n1", "n2")
    placing.challenge("web")
    for number in range(20):
        placing.put(f"i-{number}", spec={"challengeRef": {"name": "web"}})
    await placing.round()
    assert (placing.count("n1"), placing.count("n2")) == (10, 10)
    assert placing.cluster.count("GET", "/challenges/") == 0
    placing.task.cancel()


@virtual
async def test_a_challenge_that_the_watch_has_not_brought_yet_is_asked_for() -> None:
    placing = Placing("n1")
    await placing.settled()
    meta = {"name": "web", "namespace": "team"}
    placing.cluster.put(CHALLENGES, {"metadata": meta, "spec": {"template": template()}})
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    await placing.settled()
    assert placing.node_of("a") == "n1"
    placing.task.cancel()


@virtual
async def test_many_that_name_a_challenge_that_is_not_there_ask_for_it_once() -> None:
    placing = Placing("n1")
    for number in range(30):
        placing.put(f"i-{number}", spec={"challengeRef": {"name": "web"}})
    for _ in range(5):
        await placing.round()
    assert placing.cluster.count("GET", "/challenges/web") <= 8  # as many as are tried at a time
    assert placing.cluster.count("PUT") == 30
    placing.task.cancel()


@virtual
async def test_an_edit_of_its_challenge_is_what_the_next_instance_gets() -> None:
    placing = Placing("n1")
    placing.challenge("web", ports=1)
    placing.put("a", spec={"challengeRef": {"name": "web"}})
    await placing.settled()
    placing.challenge("web", ports=2)
    placing.put("b", spec={"challengeRef": {"name": "web"}})
    await placing.settled()
    sizes = [len(placing.status(n)["template"]["containers"][0]["ports"]) for n in "ab"]
    assert sizes == [1, 2]
    placing.task.cancel()


@virtual
async def test_one_that_moves_keeps_its_template_and_policy_and_comes_first_in_its_line() -> None:
    """Its Challenge may have changed, or be gone."""
    placing = Placing("n1")
    for number in range(2 * BACKLOG):
        placing.assigned.put(f"other-{number}", Assigned("n1", 1, launched=False))
    placing.put("waits", user="ann")
    status = {"template": template(2), "policy": {"ttl": {"maximum": "2h"}}}
    spec = {"challengeRef": {"name": "gone"}}
    placing.put("moves", user="ann", spec=spec, status=status)
    await placing.settled()
    placing.assigned.put("other-0", Assigned("n1", 1, launched=True))
    await placing.round()
    assert placing.placed("waits", "moves") == ["moves"]
    assert len(placing.status("moves")["template"]["containers"][0]["ports"]) == 2
    assert placing.status("moves")["policy"]["ttl"]["maximum"] == "2h"
    placing.task.cancel()


@virtual
async def test_one_that_moves_without_a_policy_needs_no_challenge_either() -> None:
    """Its status is anybody's writing; looking for the policy once ended all placement."""
    placing = Placing("n1")
    spec = {"challengeRef": {"name": "gone"}}
    placing.put("moves", spec=spec, status={"template": template()})
    placing.put("other")
    await placing.settled()
    assert placing.placed("moves", "other") == ["moves", "other"]
    placing.task.cancel()


@virtual
async def test_the_manager_says_whose_pools_an_instance_is_when_it_is_placed() -> None:
    placing = Placing("n1")

    async def pool_of(instance: ChallengeInstance) -> str | None:
        return "uid-p" if instance.metadata.name == "pools" else None

    placing.scheduler._placer._pool_of = pool_of
    placing.put("pools")
    placing.put("forged", status={"poolUID": "uid-p"})
    await placing.round()
    assert placing.status("pools")["poolUID"] == "uid-p"
    assert "poolUID" not in placing.status("forged")
    placing.task.cancel()
