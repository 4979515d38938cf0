"""Images pulled ahead: those of every Challenge that asks for it, and failures that are told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.agent import ownnode
from controller.agent.prepull import PrePull
from controller.cluster.client import CHALLENGES, NODES, Object
from controller.ledger import Ledger
from controller.reconcile.queue import Backoff
from controller.runtime.engine import Engine
from controller.settings import load
from tests.unit.reconcile.world import NoJitter, World, template, world
from tests.unit.runtime.fake_engine import FakeEngine, Request, listening


class Events:
    """Stands where Events go, and tells when one has come."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.came = asyncio.Event()

    def event(self, about: Object, kind: str, reason: str, message: str) -> None:
        """Take an Event."""
        self.seen.append((reason, message))
        self.came.set()

    async def wait(self) -> tuple[str, str]:
        """The next one."""
        async with asyncio.timeout(30):
            await self.came.wait()
        self.came.clear()
        return self.seen[-1]


class Shelf:
    """An engine with images, and a registry that has all but those named `…missing…`."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.pulls: list[str] = []
        self.found: Counter[str] = Counter()

    def answer(self, request: Request) -> tuple[int, Any]:
        """Inspect and pull."""
        path, _, query = request.path.partition("?")
        if request.method == "GET":
            name = path.removeprefix("/images/").removesuffix("/json")
            if name not in self.there:
                return 404, {"message": "No such image"}
            self.found[name] += 1
            return 200, {"Id": f"id of {name}"}
        asked = dict(part.split("=") for part in query.split("&"))
        name = f"{asked['fromImage'].replace('%2F', '/')}:{asked['tag']}"
        self.pulls.append(name)
        if "missing" in name:
            return 404, {"message": f"manifest for {name} not found"}
        self.there.add(name)
        return 200, b'{"status":"done"}\r\n'


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", "10000-10019", seed=1) as opened:
        yield opened


@pytest.fixture
async def fake() -> AsyncIterator[FakeEngine]:
    async with listening() as made:
        yield made


@pytest.fixture
async def node(ledger: Ledger, fake: FakeEngine) -> AsyncIterator[World]:
    engine = Engine(fake.url, timeout=30.0)
    made = world(ledger, fake, engine)
    made.services.recorder = Events()  # type: ignore[assignment]  # all of it that is used
    yield made
    await made.services.images.close()
    await engine.close()


@pytest.fixture
def shelf(node: World, fake: FakeEngine) -> Shelf:
    made = Shelf()
    fake.answer = made.answer
    return made


@pytest.fixture
async def ahead(node: World, shelf: Shelf) -> AsyncIterator[PrePull]:
    made = PrePull(node.services, Backoff(1.0, 300.0, NoJitter()))
    yield made
    await made.stop(5.0)


def events(node: World) -> Events:
    found = node.services.recorder
    assert isinstance(found, Events)
    return found


def challenge(node: World, *images: str, generation: int = 1, **fields: Any) -> Object:
    """A Challenge with prePull, as the API server has it."""
    names = [f"c{number}" for number in range(len(images))]
    made = template(*names, **fields)
    for container, image in zip(made["containers"], images, strict=True):
        container["image"] = image
    body = {
        "metadata": {"name": "web", "namespace": "team", "uid": "c-1", "generation": generation},
        "spec": {"template": made, "prePull": True},
    }
    return node.cluster.put(CHALLENGES, body)


async def until(look: Callable[[], bool]) -> None:
    """Let the others work until it is so."""
    async with asyncio.timeout(30):
        while not look():  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.005)


async def test_the_images_of_a_challenge_are_pulled_and_listed(
    node: World, shelf: Shelf, ahead: PrePull
) -> None:
    ahead.observe(challenge(node, "web:1", "db"), deleted=False)
    await until(lambda: ahead.images() == ["db", "web:1"])
    assert shelf.pulls == ["docker.io/library/web:1", "docker.io/library/db:latest"]


async def test_a_challenge_that_does_not_ask_for_it_is_left_alone(
    node: World, shelf: Shelf, ahead: PrePull
) -> None:
    body = challenge(node, "web:1")
    body["spec"]["prePull"] = False
    ahead.observe(body, deleted=False)
    ahead.observe(challenge(node, "db:1"), deleted=False)
    await until(lambda: ahead.images() == ["db:1"])
    assert shelf.pulls == ["docker.io/library/db:1"]


async def test_a_changed_image_is_pulled_and_the_old_one_not_listed(
    node: World, shelf: Shelf, ahead: PrePull
) -> None:
    ahead.observe(challenge(node, "web:1", "db:1"), deleted=False)
    await until(lambda: len(ahead.images()) == 2)
    ahead.observe(challenge(node, "web:2", "db:1", generation=2), deleted=False)
    assert ahead.images() == ["db:1"], "what both want stays listed meanwhile"
    await until(lambda: ahead.images() == ["db:1", "web:2"])
    ahead.observe(challenge(node, "web:1", "db:1", generation=1), deleted=False)
    assert ahead.images() == ["db:1", "web:2"], "an older one is an echo"
    ahead.observe(challenge(node, "web:2", "db:1", generation=2), deleted=True)
    assert ahead.images() == []


async def test_a_new_image_does_not_wait_for_the_old_ones_pull(
    node: World, shelf: Shelf, ahead: PrePull, fake: FakeEngine
) -> None:
    node.services.images._gate = asyncio.Semaphore(2)
    fake.holds = lambda request: request.method == "POST" and "slow" in request.path
    fake.held.clear()
    ahead.observe(challenge(node, "slow:1"), deleted=False)
    await until(lambda: fake.inside["POST"] == 1)
    ahead.observe(challenge(node, "web:1", generation=2), deleted=False)
    await until(lambda: ahead.images() == ["web:1"])
    fake.held.set()
    await node.services.images.pull("docker.io/library/slow:1")  # to its end


async def test_a_change_of_the_status_alone_pulls_nothing(
    node: World, shelf: Shelf, ahead: PrePull
) -> None:
    body = challenge(node, "web:1", imagePullSecrets=[])
    body["spec"]["template"]["containers"][0]["imagePullPolicy"] = "Always"
    ahead.observe(body, deleted=False)
    await until(lambda: ahead.images() == ["web:1"])
    ahead.observe(body | {"status": {"instances": 3}}, deleted=False)
    before = shelf.found["docker.io/library/web:1"]
    ahead.look_again()
    await until(lambda: shelf.found["docker.io/library/web:1"] > before)
    assert shelf.pulls == ["docker.io/library/web:1"]


async def test_a_failure_is_told_in_the_registrys_words_once_and_the_others_are_pulled(
    node: World, shelf: Shelf, ahead: PrePull
) -> None:
    ahead.observe(challenge(node, "missing:1", "web:1"), deleted=False)
    reason, message = await events(node).wait()
    assert reason == "ImagePullFailed"
    assert message == (
        "Pulling ahead on node n1: missing:1: manifest for docker.io/library/missing:1 not found"
    )
    await until(lambda: ahead.images() == ["web:1"])
    before = shelf.found["docker.io/library/web:1"]
    ahead.look_again()
    await until(lambda: shelf.found["docker.io/library/web:1"] > before)
    assert len(events(node).seen) == 1
    node.clock.seconds += 1801
    ahead.look_again()
    await events(node).wait()
    assert shelf.pulls.count("docker.io/library/missing:1") == 1, "Images holds the next try back"


async def test_what_an_operator_does_not_allow_is_not_pulled(
    node: World, shelf: Shelf, ahead: PrePull
) -> None:
    flags = {"node_name": "n1", "state_dir": "/nonexistent", "allowed_images": "ubuntu"}
    node.services.settings = load(flags)
    ahead.observe(challenge(node, "web:1"), deleted=False)
    reason, message = await events(node).wait()
    assert reason == "ImageNotAllowed"
    assert "allowed: ubuntu" in message
    assert shelf.pulls == []


async def test_a_missing_secret_is_told(node: World, shelf: Shelf, ahead: PrePull) -> None:
    secrets = [{"name": "registry"}]
    ahead.observe(challenge(node, "web:1", imagePullSecrets=secrets), deleted=False)
    reason, message = await events(node).wait()
    assert (reason, shelf.pulls) == ("SecretNotFound", [])
    assert "'registry' does not exist" in message


async def test_the_comparison_makes_good_what_the_watch_has_lost(
    node: World, shelf: Shelf, ahead: PrePull
) -> None:
    body = challenge(node, "web:1")
    await ahead.compare()
    await until(lambda: ahead.images() == ["web:1"])
    shelf.there.clear()  # somebody has removed it
    await ahead.compare()
    await until(lambda: len(shelf.pulls) == 2)
    await node.cluster.delete(CHALLENGES, "web", "team")
    node.cluster.put(CHALLENGES, body | {"metadata": {"name": "o", "namespace": "t"}, "spec": {}})
    await ahead.compare()
    assert ahead.images() == []


async def test_the_node_tells_what_it_has(node: World, shelf: Shelf, ahead: PrePull) -> None:
    ahead.observe(challenge(node, "web:1"), deleted=False)
    await until(lambda: ahead.images() == ["web:1"])
    keeper = ownnode.keeper(
        node.services,
        info=lambda: None,
        images=ahead.images,
        moved=lambda: None,
        healed=lambda: None,
    )
    await keeper.register()
    await keeper._write()
    assert node.cluster.read(NODES, "n1")["status"]["images"] == ["web:1"]
