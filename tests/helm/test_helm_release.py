"""A release from its installation to its upgrades and back: no instance notices any of it."""

import json

import pytest

from hack.bed.errors import ProgramFailed
from hack.bed.kubeconfig import Kubectl
from hack.image.image import default_tag
from tests.helm.charts import CHART, NEW_FIELD, PREVIOUS_VERSION
from tests.helm.conftest import POD_IMAGE
from tests.helm.players import Players
from tests.helm.release import Release
from tests.integration.world import Object, container, instance, until

DEFINITION = "crd/challengeinstances.challenge-controller.io"


def knows_the_new_field(kubectl: Kubectl) -> bool:
    """Whether the API server's definition of instances has the field that is today's."""
    (version,) = json.loads(kubectl("get", DEFINITION, "-o", "json").stdout)["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return NEW_FIELD in spec["properties"]


def image_of(pod: Object) -> str:
    """The image that a pod was told to run."""
    image: str = pod["spec"]["containers"][0]["image"]
    return image


def test_manager_and_agent_run_as_pods_and_the_node_is_ready(
    release: Release, kubectl: Kubectl
) -> None:
    (agent,), (manager,) = release.pods(component="agent"), release.pods(component="manager")
    node = release.bed.node()
    assert agent["status"]["podIP"] == node.address, "the agent is on the node's own network"
    assert manager["status"]["podIP"] != node.address
    assert {image_of(pod) for pod in (agent, manager)} == {
        f"challenge-controller:{PREVIOUS_VERSION}"
    }
    kubectl("wait", "chnode", node.name, "--for=condition=Ready", "--timeout=90s")
    assert not knows_the_new_field(kubectl)


def test_instances_are_reached_from_outside(players: Players) -> None:
    assert set(players.answers("ada")) == {"http", "nc"}
    address = players.bed.node().address
    assert {endpoint.host for endpoint in players.endpoints()} == {address}


def test_charts_own_test_passes(release: Release, players: Players) -> None:
    with players.untouched():
        said = release.test()
    assert "Phase:          Succeeded" in said
    # What it has launched is gone.
    assert set(players.names()) == {"ada", "bob"}


def test_upgrade_from_the_previous_chart_touches_no_instance(
    release: Release, players: Players, kubectl: Kubectl
) -> None:
    agent = release.agent_uid()
    with players.untouched():
        release.upgrade(CHART, "--set", "crds.keep=false")
        release.wait_for_agent(after=agent)
    # Helm waits for the new manager, not for the end of the old one, which follows.
    until(lambda: {image_of(pod) for pod in release.pods()}, lambda seen: seen == {default_tag()})
    assert knows_the_new_field(kubectl)
    shown = players.get("ada")["spec"]
    assert shown[NEW_FIELD] == "Delete", "the field's default shows on what was there"


def test_upgrade_with_other_values_touches_no_instance(release: Release, players: Players) -> None:
    agent = release.agent_uid()
    changed = ("--set", "crds.keep=false", "--set", "settings.pruneAge=30m")
    with players.untouched():
        release.upgrade(CHART, *changed, "--set", "agent.settings.concurrentLaunches=3")
        release.wait_for_agent(after=agent)
    assert release.agent_environment()["CHALLENGE_CONCURRENT_LAUNCHES"] == "3"


def test_rollback_touches_no_instance(release: Release, players: Players) -> None:
    agent = release.agent_uid()
    with players.untouched():
        release.rollback(release.revision() - 1)
        release.wait_for_agent(after=agent)
    assert "CHALLENGE_CONCURRENT_LAUNCHES" not in release.agent_environment()


def test_wrong_value_is_refused_by_its_name_and_changes_nothing(
    release: Release, players: Players
) -> None:
    agent = release.agent_uid()
    with pytest.raises(ProgramFailed, match="concurrentLaunch"):
        release.upgrade(CHART, "--set", "agent.settings.concurrentLaunch=3")
    assert release.agent_uid() == agent


def test_deleted_agent_comes_back_and_touches_no_instance(
    release: Release, players: Players
) -> None:
    agent = release.agent_uid()
    with players.untouched():
        release.delete_agent()
        release.wait_for_agent(after=agent)


def test_killed_agent_comes_back_and_touches_no_instance(
    release: Release, players: Players
) -> None:
    restarts = release.restarts()
    with players.untouched():
        release.kill_agent()
        until(lambda: release.restarts() == restarts + 1)
        release.wait_for_agent()
        # It serves: one more is launched, and goes again.
        players.apply(instance("carol", container(POD_IMAGE)))
        players.wait("Ready", "carol")
        players.delete("carol")
