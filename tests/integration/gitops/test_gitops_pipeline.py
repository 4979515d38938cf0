"""A namespace whose state is in Git, as a tool keeps it: made, changed, removed, never flapping."""

from pathlib import Path
from typing import Final

import pytest

from controller.runtime import labels
from tests.integration.gitops.pipeline import Pipeline, Repository
from tests.integration.gitops.states import Object
from tests.integration.world import World, container, instance, until

ROUNDS: Final = 50


@pytest.fixture
def pipeline(world: World, tmp_path: Path) -> Pipeline:
    """A pipeline for the test's namespace, with an empty repository."""
    return Pipeline(Repository(tmp_path / "site"), world.kubectl, world.namespace)


def warm_up(image: str, words: Object | None = None, **spec: object) -> Object:
    """A Challenge of one small container; `words` are its container's, besides."""
    return {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "Challenge",
        "metadata": {"name": "warm-up"},
        "spec": {"template": {"containers": [container(image, **(words or {}))]}, **spec},
    }


def copy(name: str, **spec: object) -> Object:
    """An instance of it, as they are kept in Git: it stays when its time is over."""
    return instance(name, challengeRef={"name": "warm-up"}, user=name, onExpiry="Retain", **spec)


def ids(world: World) -> dict[str, str]:
    """The ID of each instance's container."""
    return {c["Labels"][labels.INSTANCE_NAME]: c["Id"] for c in world.containers()}


def test_commits_become_instances_and_go_again(
    pipeline: Pipeline, world: World, echo_image: str
) -> None:
    git = pipeline.repository
    git.commit(
        "Two players",
        {"warm-up": warm_up(echo_image), "alice": copy("alice"), "bob": copy("bob")},
    )
    pipeline.sync()
    pipeline.wait()
    assert pipeline.drift() == ""
    assert {world.answers(name)["http"]["user"] for name in ("alice", "bob")} == {"alice", "bob"}
    first = ids(world)

    git.commit("More time for alice", {"alice": copy("alice", ttl="2h")})
    before = world.get("alice")["status"]["expirationTime"]
    assert "+  ttl: 2h" in pipeline.round()
    assert world.get("alice")["status"]["expirationTime"] > before
    assert ids(world) == first, "changed in place: the same containers"
    assert pipeline.drift() == ""

    git.commit("bob is done", {"bob": None})
    pipeline.round()
    assert ids(world) == {"alice": first["alice"]}
    assert set(world.rows()) == {"alice"}, "nothing of bob is in the node's ledger"
    assert world.ports_held() == 2

    git.commit("All are done", {"alice": None})
    pipeline.round()
    world.assert_nothing_left()
    assert world.rows() == {}


def test_what_somebody_changes_by_hand_is_told_and_put_back(
    pipeline: Pipeline, world: World, echo_image: str
) -> None:
    pipeline.repository.commit(
        "One player", {"warm-up": warm_up(echo_image), "alice": copy("alice", ttl="1h")}
    )
    pipeline.sync()
    pipeline.wait()
    first = ids(world)
    patch = '{"spec":{"ttl":"9h"}}'
    world.kubectl("patch", "chinst", "alice", "-n", world.namespace, "--type=merge", "-p", patch)
    assert "+  ttl: 1h" in pipeline.round()
    assert pipeline.drift() == ""
    assert ids(world) == first


def test_a_challenge_that_changes_leaves_running_instances_alone(
    pipeline: Pipeline, world: World, echo_image: str
) -> None:
    """The template is resolved when an instance is placed: what runs goes on as it is."""
    pipeline.repository.commit(
        "One player", {"warm-up": warm_up(echo_image), "alice": copy("alice")}
    )
    pipeline.sync()
    pipeline.wait()
    first = ids(world)
    harder = {"env": [{"name": "LEVEL", "value": "hard"}]}
    changed = warm_up(echo_image, harder, ttl={"default": "3h"})
    pipeline.repository.commit("Longer and harder", {"warm-up": changed})
    assert "+    default: 3h" in pipeline.round()
    assert pipeline.drift() == ""
    assert ids(world) == first
    # A change of its own, which its agent serves, brings nothing of the new one along.
    pipeline.repository.commit("Two", {"alice": copy("alice", ttl="5h"), "bob": copy("bob")})
    pipeline.round()
    assert ids(world)["alice"] == first["alice"]
    templates = {name: world.get(name)["status"]["template"] for name in ("alice", "bob")}
    assert "LEVEL" not in str(templates["alice"])
    assert "LEVEL" in str(templates["bob"]), "who comes later gets the new one"


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(4, id="4-rounds"), pytest.param(ROUNDS, marks=pytest.mark.slow, id="50-rounds")],
)
def test_round_after_round_nothing_drifts(
    pipeline: Pipeline, world: World, echo_image: str, rounds: int
) -> None:
    """Each round is a commit: one player comes, the time of another changes, a third one goes."""
    git = pipeline.repository
    git.commit("Start", {"warm-up": warm_up(echo_image), "p0": copy("p0"), "p1": copy("p1")})
    pipeline.sync()
    pipeline.wait()
    drifts = []
    for number in range(2, rounds + 2):
        kept = f"p{number - 1}"
        before = ids(world)[kept]
        git.commit(
            f"Round {number}",
            {
                f"p{number}": copy(f"p{number}"),
                kept: copy(kept, ttl=f"{number}h"),
                f"p{number - 2}": None,
            },
        )
        assert f"+  ttl: {number}h" in pipeline.round()
        drifts.append(pipeline.drift())
        now = ids(world)
        assert set(now) == {kept, f"p{number}"}
        assert now[kept] == before, "changed in place"
    assert drifts == [""] * rounds
    assert set(world.rows()) == {f"p{rounds}", f"p{rounds + 1}"}
    until(world.problems, lambda found: not found)
