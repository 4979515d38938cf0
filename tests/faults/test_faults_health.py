"""What probes are told while the engine, the API server or the process itself stands still."""

import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hack.bed.bed import Bed
from hack.bed.engine import Engine
from tests.faults.worlds import Worlds
from tests.integration.world import World, container, instance, until

PORT = 19466
GOOD = (200, "ok\n")


@pytest.fixture
def engine(bed: Bed) -> Iterator[Engine]:
    """The node's engine; thawed at the end, whatever a test did to it."""
    yield bed.engine()
    bed.engine().thaw()


def told(world: World, path: str) -> tuple[int, str]:
    """What a probe is told; 0 and nothing while nobody listens yet."""
    url = f"http://{world.bed.node(1).address}:{PORT}{path}"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
    except urllib.error.URLError:
        return 0, ""


def until_unready(world: World, why: str) -> str:
    """Wait until the process is unready and begins to tell why with these words; all that it tells.

    It may be unready for something else before: a manager that has had to wait for its turn loses
    its Lease.
    """
    _, text = until(
        lambda: told(world, "/readyz"), lambda said: said[0] == 503 and said[1].startswith(why)
    )
    return text


@pytest.fixture
def world(begin: Worlds, bed: Bed) -> World:
    """A controller of both roles that is ready."""
    address = bed.node(1).address
    made = begin(METRICS_PORT=str(PORT), METRICS_ADDRESS=address, DOCKER_TIMEOUT="5")
    until(lambda: told(made, "/readyz"), lambda said: said == GOOD)
    assert told(made, "/healthz") == GOOD
    return made


def test_what_is_measured_tells_of_launches_and_calls_and_of_nobody(
    world: World, echo_image: str
) -> None:
    def series() -> dict[tuple[str, ...], float]:
        """The value of each series, by its name and the values of its labels."""
        families = text_string_to_metric_families(told(world, "/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return {(s.name, *(v for _, v in sorted(s.labels.items()))): s.value for s in samples}

    world.apply(instance("seen", container(echo_image)))
    world.wait("Ready")
    found = until(series, lambda found: found["challenge_instances", "ready"] == 1)
    assert found["challenge_launches_total", "", "succeeded"] == 1
    assert found["challenge_instance_ready_seconds_count",] == 1
    for stage in ("network", "containers"):
        assert found["challenge_launch_stage_duration_seconds_count", stage] == 1
    for call in ("container_create", "container_start", "network_create", "ping"):
        assert found["challenge_engine_calls_total", call, "ok"] >= 1
        assert found["challenge_engine_call_duration_seconds_count", call] >= 1
    asked = {
        ("challenge_api_requests_total", resource, "ok", verb)
        for resource, verb in (
            ("challengeinstances", "watch"),
            ("challengeinstances", "list"),
            ("challengeinstances/status", "update"),
            ("leases", "update"),
            ("events", "create"),
        )
    }
    # Events are written behind, and a Lease is renewed in its time.
    found = until(series, lambda found: asked <= {name for name, value in found.items() if value})
    words = {word for names in found for word in names[1:]}
    uid = world.get("seen")["metadata"]["uid"]
    assert not [word for word in words if "seen" in word or uid in word or "node-1" in word]


@pytest.mark.slow
def test_a_frozen_engine_makes_an_agent_unready_and_no_restart_would_help(
    world: World, engine: Engine
) -> None:
    engine.freeze()
    until_unready(world, f"agent: Docker engine at {engine.url}")
    assert told(world, "/healthz") == GOOD
    engine.thaw()
    until(lambda: told(world, "/readyz"), lambda said: said == GOOD)


@pytest.mark.slow
def test_an_outage_of_the_api_server_ends_no_process_and_the_manager_alone_is_unready(
    world: World,
) -> None:
    world.bed.control_plane.stop_apiserver()
    try:
        text = until_unready(world, "manager: the API server has not answered for")
        assert "agent" not in text
        for _ in range(10):
            assert told(world, "/healthz") == GOOD
            assert not world.controller.wait(1)
    finally:
        world.bed.control_plane.start_apiserver()
    until(lambda: told(world, "/readyz"), lambda said: said == GOOD)
    assert world.controller.alive()
