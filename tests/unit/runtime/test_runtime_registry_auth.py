"""Credentials are tried in their order, go to the engine as it wants them, and show nowhere."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.runtime.engine import Engine
from controller.runtime.errors import PullFailed
from controller.runtime.images import Failed, Images, Pulling, RegistryAuth
from tests.unit.runtime.fake_engine import FakeEngine, Request

WRONG, RIGHT = RegistryAuth("eve", "guess-1"), RegistryAuth("alice", "s3cret")


class Locked:
    """An engine whose registry wants a password."""

    def __init__(self) -> None:
        self.given: list[dict[str, str]] = []
        self.there = False

    def answer(self, request: Request) -> tuple[int, Any]:
        """Pull for alice only."""
        if request.method == "GET":
            return (200, {"Id": "id"}) if self.there else (404, {"message": "No such image"})
        given = json.loads(base64.urlsafe_b64decode(request.headers["x-registry-auth"]))
        self.given.append(given)
        self.there = given.get("password") == "s3cret" or "identitytoken" in given
        if self.there:
            return 200, b'{"status":"Pull complete"}\r\n'
        return 500, {"message": f"unauthorized: {given.get('password')} is no password"}


@pytest.fixture
def registry(fake: FakeEngine) -> Locked:
    made = Locked()
    fake.answer = made.answer
    return made


@pytest.fixture
async def images(engine: Engine, registry: Locked) -> AsyncIterator[Images]:
    made = Images(engine, concurrent_pulls=2)
    yield made
    await made.close()


async def test_the_next_credentials_are_tried_when_some_are_refused(
    images: Images, registry: Locked
) -> None:
    await images.pull("web:1", auths=(WRONG, RIGHT))
    assert [given["username"] for given in registry.given] == ["eve", "alice"]


async def test_without_credentials_none_are_sent(images: Images, registry: Locked) -> None:
    with pytest.raises(PullFailed):
        await images.pull("web:1")
    assert registry.given == [{}]


async def test_a_token_goes_in_place_of_a_password(images: Images, registry: Locked) -> None:
    await images.pull("web:1", auths=(RegistryAuth("<token>", "", "t0ken"),))
    assert registry.given == [{"identitytoken": "t0ken"}]


async def test_each_refusal_is_told_without_the_password_that_the_registry_repeats(
    images: Images,
) -> None:
    with pytest.raises(PullFailed) as caught:
        await images.pull("web:1", auths=(WRONG, RegistryAuth("bob", "guess-2")))
    assert caught.value.message == "unauthorized: *** is no password"


async def test_a_registry_that_says_nothing_is_not_asked_with_every_password(
    engine: Engine, fake: FakeEngine, registry: Locked
) -> None:
    images = Images(engine, concurrent_pulls=1, stall_timeout=1.0)
    fake.held.clear()
    with pytest.raises(PullFailed, match="no progress"):
        await images.pull("web:1", auths=(WRONG, RIGHT))
    assert len([r for r in fake.requests if r.method == "POST"]) == 1


async def test_who_has_other_credentials_does_not_share_a_failure(
    images: Images, registry: Locked
) -> None:
    woken = asyncio.Event()
    await images.ensure("web:1", "IfNotPresent", woken.set, auths=(WRONG,))
    await woken.wait()
    refused = await images.ensure("web:1", "IfNotPresent", woken.set, auths=(WRONG,))
    assert isinstance(refused, Failed)
    woken.clear()
    trying = await images.ensure("web:1", "IfNotPresent", woken.set, auths=(RIGHT,))
    assert isinstance(trying, Pulling)
    await woken.wait()
    assert registry.there


@pytest.mark.parametrize("auth", [RIGHT, RegistryAuth("<token>", "", "s3cret")])
def test_credentials_do_not_show(auth: RegistryAuth) -> None:
    assert "s3cret" not in repr(auth)
    assert "s3cret" not in auth.redact("the answer to s3cret is no")
    basic = base64.b64encode(b"alice:s3cret").decode()
    assert basic not in RIGHT.redact(f"Authorization: Basic {basic}")
