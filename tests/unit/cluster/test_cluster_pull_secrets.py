"""Registries' passwords as docker login and kubectl write them, and never in an error."""

import base64
import json
from typing import Any

import pytest

from controller.cluster.client import SECRETS
from controller.cluster.pull_secrets import KEY, TYPE, Login, logins
from controller.cluster.references import USE_LABEL, ReferenceMissing
from tests.unit.cluster.fake_cluster import FakeCluster

HOST = "registry.example.org"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def holding(content: Any, *, kind: str = TYPE, label: str = "true", key: str = KEY) -> FakeCluster:
    text = content if isinstance(content, str) else json.dumps(content)
    cluster = FakeCluster()
    meta = {"name": "registry", "namespace": "team", "labels": {USE_LABEL: label}}
    cluster.put(SECRETS, {"metadata": meta, "type": kind, "data": {key: encoded(text)}})
    return cluster


@pytest.mark.parametrize(
    ("entry", "login"),
    [
        ({"auth": encoded("alice:s3cret")}, Login(HOST, "alice", "s3cret")),
        ({"auth": encoded("alice:s3c:ret").rstrip("=")}, Login(HOST, "alice", "s3c:ret")),
        ({"auth": encoded("alice:s3cret\0\0")}, Login(HOST, "alice", "s3cret")),
        ({"username": "alice", "password": "s3cret"}, Login(HOST, "alice", "s3cret")),
        (
            {"username": "old", "password": "old", "auth": encoded("alice:s3cret"), "email": "a@b"},
            Login(HOST, "alice", "s3cret"),
        ),
        ({"identitytoken": "t0ken"}, Login(HOST, "", "", "t0ken")),
    ],
)
async def test_credentials_are_read_in_every_form_that_docker_writes(
    entry: dict[str, str], login: Login
) -> None:
    cluster = holding({"auths": {HOST: entry, "other.example": {"identitytoken": "x"}}})
    found = await logins(cluster, "team", "registry")
    assert found == [login, Login("other.example", "", "", "x")]
    assert "s3c" not in repr(found)
    assert "t0ken" not in repr(found)


@pytest.mark.parametrize(
    ("cluster", "words"),
    [
        (FakeCluster(), "does not exist"),
        (holding({"auths": {}}, label="false"), USE_LABEL),
        (holding({"auths": {}}, kind="Opaque"), f"expected the type {TYPE}"),
        (holding({"auths": {}}, key="config"), f"a key {KEY}"),
        (holding("s3cret: not JSON"), "expected JSON"),
        (holding(["s3cret"]), "expected JSON"),
        (holding({"auths": {HOST: "s3cret"}}), "expected JSON"),
        (holding({"auths": "s3cret"}), "expected JSON"),
        (holding({"auths": {HOST: {}}}), f"identitytoken for {HOST}"),
        (holding({"auths": {HOST: {"username": "s3cret"}}}), f"password, or .* for {HOST}"),
        (holding({"auths": {HOST: {"auth": "s3cret"}}}), f"base64 of user:password .* {HOST}"),
        (holding({"auths": {HOST: {"auth": encoded("s3cret")}}}), "base64 of user:password"),
    ],
)
async def test_what_cannot_be_used_is_told_without_its_content(
    cluster: FakeCluster, words: str
) -> None:
    with pytest.raises(ReferenceMissing, match=words) as caught:
        await logins(cluster, "team", "registry")
    assert caught.value.kind is SECRETS
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
