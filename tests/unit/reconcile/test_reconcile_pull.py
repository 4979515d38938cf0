"""Images before a launch: allowed, with the passwords of the template, told by their digest."""

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from controller.api import conditions, reasons
from controller.cluster.client import SECRETS
from controller.cluster.pull_secrets import KEY, TYPE
from controller.cluster.references import USE_LABEL
from controller.reconcile import show
from controller.reconcile.admit import admit
from controller.reconcile.pull import pull
from controller.reconcile.result import DONE, Done, Failed, Waiting
from controller.reconcile.work import Work
from controller.runtime.errors import PullFailed
from controller.runtime.images import Images, RegistryAuth
from controller.settings import load
from tests.unit.reconcile.world import World, template
from tests.unit.runtime.fake_engine import FakeEngine

IMG = "docker.io/library/img:1"
DIGEST = "img@sha256:" + "0" * 64


def work_with(node: World, image: str = "img:1", **fields: Any) -> Work:
    made = template(**fields)
    made["containers"][0]["image"] = image
    return node.work({"template": made})


def allow(node: World, *patterns: str) -> None:
    flags = {"node_name": "n1", "state_dir": "/nonexistent", "allowed_images": ",".join(patterns)}
    node.services.settings = load(flags)


def put_secret(node: World) -> None:
    auths = {"auths": {"docker.io": {"username": "alice", "password": "s3cret"}}}
    data = {KEY: base64.b64encode(json.dumps(auths).encode()).decode()}
    meta = {"name": "registry", "namespace": "team", "labels": {USE_LABEL: "true"}}
    node.cluster.put(SECRETS, {"metadata": meta, "type": TYPE, "data": data})


async def _end(node: World, fake: FakeEngine, *images: str) -> None:
    """Let the pulls that were held come to their end: there is no registry."""
    pulls = [node.services.images.pull(f"docker.io/library/{image}") for image in images]
    fake.held.set()
    ended = await asyncio.gather(*pulls, return_exceptions=True)
    assert {type(end) for end in ended} == {PullFailed}


async def test_an_image_that_is_not_allowed_is_refused_with_what_is(node: World) -> None:
    allow(node, "r.example/ctf/*", "ubuntu")
    result = await admit(work_with(node, "evil.org/r.example/ctf/web"))
    assert isinstance(result, Failed)
    assert result.reason == reasons.IMAGE_NOT_ALLOWED
    assert result.message == (
        "containers[web].image: evil.org/r.example/ctf/web "
        "(evil.org/r.example/ctf/web:latest) is not allowed here; allowed: r.example/ctf/*, ubuntu"
    )
    assert await admit(work_with(node, "r.example/ctf/web")) is DONE


async def test_what_runs_already_outlives_a_narrower_list(node: World) -> None:
    allow(node, "ubuntu")
    work = work_with(node)
    node.engine.states = {"web": "running"}
    node.found(work)
    assert await admit(work) is DONE


@pytest.mark.parametrize("image", ["0123456789abcdef" * 4, "UPPER/case", "a:b:c"])
async def test_what_is_no_name_is_refused_before_anything_is_reserved(
    node: World, image: str
) -> None:
    result = await admit(work_with(node, image))
    assert isinstance(result, Failed)
    assert (result.reason, "expected" in result.message) == (reasons.INVALID_TEMPLATE, True)


async def test_an_image_is_asked_for_by_its_full_name_never_by_the_start_of_an_id(
    node: World, fake: FakeEngine
) -> None:
    node.engine.images_present = {"docker.io/library/abc:latest": ("sha256:1", [])}
    assert await pull(work_with(node, "abc")) is DONE
    assert fake.requests[-1].path == "/images/docker.io/library/abc:latest/json"


async def test_a_missing_secret_is_waited_for_though_the_image_is_there(node: World) -> None:
    node.engine.images_present = {IMG: ("sha256:1", [])}
    secrets = [{"name": "registry"}]
    result = await pull(work_with(node, imagePullSecrets=secrets))
    assert isinstance(result, Waiting)
    assert (result.reason, result.message) == (
        reasons.SECRET_NOT_FOUND,
        "Secret 'registry' does not exist",
    )
    assert result.after
    put_secret(node)
    assert await pull(work_with(node, imagePullSecrets=secrets)) is DONE


@pytest.mark.parametrize(("waited", "again"), [(0, 1), (2, 1), (8, 4), (29, 14.5), (3600, 15)])
async def test_a_missing_secret_is_looked_for_often_at_first(
    node: World, waited: float, again: float
) -> None:
    work = work_with(node, imagePullSecrets=[{"name": "registry"}])
    work.status.start_time = work.now - timedelta(seconds=waited)
    result = await pull(work)
    assert isinstance(result, Waiting)
    assert result.after == again


async def test_the_passwords_go_with_the_pull_and_nowhere_else(
    node: World, fake: FakeEngine
) -> None:
    put_secret(node)
    work = work_with(node, imagePullSecrets=[{"name": "registry"}])
    assert isinstance(await pull(work), Waiting)
    with pytest.raises(PullFailed):  # joins it
        await node.services.images.pull(IMG, auths=(RegistryAuth("alice", "s3cret"),))
    (asked,) = [request for request in fake.requests if request.method == "POST"]
    assert json.loads(base64.urlsafe_b64decode(asked.headers["x-registry-auth"])) == {
        "username": "alice",
        "password": "s3cret",
    }
    failed = await pull(work)
    assert isinstance(failed, Failed)
    assert "s3cret" not in str(work.status) + failed.message


async def test_progress_is_shown_seldom_and_the_instance_looks_again_then(
    node: World, fake: FakeEngine
) -> None:
    node.services.images = Images(
        node.services.engine, concurrent_pulls=1, clock=node.clock.monotonic
    )
    fake.holds = lambda request: request.method == "POST"
    fake.held.clear()
    told = []
    for second in range(100):
        work = work_with(node)
        result = await pull(work)
        assert isinstance(result, Waiting)
        assert result.after is not None
        told.append(result.message)
        node.clock.seconds += 1
        if second == 0:
            assert result.after == 10
    assert told[0] == "Pulling img:1"
    assert len({*told}) == 2, "nothing but that it waits is to be told here"
    launched = conditions.get(work.status.conditions, conditions.LAUNCHED)
    assert launched is not None
    assert launched.reason == reasons.PULLING_IMAGE
    await _end(node, fake, "img:1")


async def test_the_status_tells_the_digest_that_runs_and_asks_the_engine_once(
    node: World, fake: FakeEngine
) -> None:
    node.engine.images_present = {IMG: ("sha256:1", [DIGEST])}
    node.engine.states = {"web": "running"}
    work = work_with(node)
    states = node.found(work)
    for _ in range(3):
        await show.learn_images(work, states)
        show.show(work, states)
    assert work.status.containers[0].image_id == DIGEST
    assert len([r for r in fake.requests if r.path.startswith("/images/")]) == 1


async def test_an_image_that_was_seen_by_the_pull_costs_no_further_question(
    node: World, fake: FakeEngine
) -> None:
    node.engine.images_present = {IMG: ("sha256:1", [DIGEST])}
    work = work_with(node)
    assert isinstance(await pull(work), Done)
    node.engine.states = {"web": "running"}
    states = node.found(work)
    await show.learn_images(work, states)
    show.show(work, states)
    assert work.status.containers[0].image_id == DIGEST
    assert len([r for r in fake.requests if r.path.startswith("/images/")]) == 1


async def test_a_container_whose_image_was_removed_is_shown_by_its_id(
    node: World, fake: FakeEngine
) -> None:
    node.engine.states = {"web": "running"}
    work = work_with(node)
    states = node.found(work)
    for _ in range(3):
        await show.learn_images(work, states)
        show.show(work, states)
    assert work.status.containers[0].image_id == "sha256:1"
    assert len([r for r in fake.requests if r.path.startswith("/images/")]) == 1


async def test_all_images_of_an_instance_are_asked_for_at_once(
    node: World, fake: FakeEngine
) -> None:
    node.services.images = Images(node.services.engine, concurrent_pulls=3)
    fake.holds = lambda request: request.method == "POST"
    fake.held.clear()
    made = template("front", "back")
    made["containers"][1]["image"] = "other:1"
    result = await pull(node.work({"template": made}))
    assert isinstance(result, Waiting)
    assert result.message == "Pulling img:1, other:1"
    await _end(node, fake, "img:1", "other:1")
