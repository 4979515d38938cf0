"""An instance from Git whose time is over: retained it is at rest, deleted it is made anew."""

from collections.abc import Callable
from pathlib import Path

from controller.api.meta import GROUP
from hack import argocd
from hack.bed.gitops import Verdict, argo_health
from hack.bed.report import Report
from tests.integration.gitops.pipeline import Pipeline, Repository
from tests.integration.gitops.states import Object
from tests.integration.world import World, container, instance, until

SYNCS = 5


def manifest(image: str, ttl: str = "1s", **spec: object) -> Object:
    return instance("event", container(image), ttl=ttl, **spec)


def test_retained_it_is_at_rest_whatever_is_applied_and_more_time_brings_it_back(
    world: World, echo_image: str, tmp_path: Path, judge: Callable[[Object], Verdict]
) -> None:
    git = Repository(tmp_path / "site")
    pipeline = Pipeline(git, world.kubectl, world.namespace)
    git.commit("An event", {"event": manifest(echo_image, onExpiry="Retain")})
    pipeline.sync()
    world.wait("Expired", "event")
    rests = world.get("event")
    for _ in range(SYNCS):
        pipeline.sync()
        assert pipeline.drift() == ""
    assert world.get("event") == rests, "the same object, of which nothing was written"
    assert judge(rests).status == "Current"
    script = (argocd.FOLDER / "health.lua").read_text()
    (shown,) = argo_health([(script, rests)], Report())
    assert (shown.status, shown.message.split(":")[0]) == ("Healthy", "Expired")
    assert "ports" not in rests["status"] or rests["status"]["ports"] == []
    assert (world.containers(), world.ports_held()) == ([], 0)

    git.commit("It goes on", {"event": manifest(echo_image, "1h", onExpiry="Retain")})
    pipeline.round()
    assert world.answers("event").keys() == {"http", "nc"}
    assert world.get("event")["metadata"]["uid"] == rests["metadata"]["uid"]


def test_deleted_it_is_made_anew_by_the_next_round(
    world: World, echo_image: str, tmp_path: Path
) -> None:
    """Why Retain is what to use from Git: a tool takes what is not there for something to make."""
    git = Repository(tmp_path / "site")
    pipeline = Pipeline(git, world.kubectl, world.namespace)
    git.commit("An event", {"event": manifest(echo_image, "1h", onExpiry="Delete")})
    pipeline.sync()
    world.wait("Ready", "event")
    first = world.get("event")["metadata"]["uid"]
    # Long enough for the next one to be seen while it is there.
    git.commit("A short one", {"event": manifest(echo_image, "10s", onExpiry="Delete")})
    pipeline.sync()
    until(world.versions, lambda found: "event" not in found)
    assert f"+apiVersion: {GROUP}" in pipeline.drift()
    pipeline.sync()
    assert world.get("event")["metadata"]["uid"] != first
