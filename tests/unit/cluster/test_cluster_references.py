"""Values from Secrets and ConfigMaps: only what its owner has released, and never in an error."""

import base64
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from controller.cluster.client import CONFIG_MAPS, SECRETS, Kind
from controller.cluster.errors import ApiUnavailable, Forbidden, Unauthorized
from controller.cluster.references import (
    USE_LABEL,
    ReferenceMissing,
    config_map_files,
    config_map_value,
    secret_value,
)
from tests.unit.cluster.fake_cluster import FakeCluster

SECRET = "the-secrets-value"


def encoded(value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return base64.b64encode(raw).decode()


def cluster(
    data: dict[str, str] | None, labels: dict[str, str] | None, kind: Kind = SECRETS
) -> FakeCluster:
    made = FakeCluster()
    meta: dict[str, Any] = {"name": "flags", "namespace": "team"}
    if labels is not None:
        meta["labels"] = labels
    made.put(kind, {"metadata": meta} | ({} if data is None else {"data": data}))
    return made


async def test_a_released_secrets_key_is_read() -> None:
    served = cluster({"flag": encoded("flag{ü}")}, {USE_LABEL: "true"})
    assert await secret_value(served, "team", "flags", "flag") == "flag{ü}"


@pytest.mark.parametrize("labels", [None, {}, {USE_LABEL: "false"}, {USE_LABEL: "True"}])
async def test_a_secret_that_its_owner_has_not_released_is_refused(
    labels: dict[str, str] | None,
) -> None:
    """Who may create instances could print any Secret of the namespace otherwise."""
    served = cluster({"flag": encoded(SECRET)}, labels)
    with pytest.raises(ReferenceMissing, match=USE_LABEL) as caught:
        await secret_value(served, "team", "flags", "flag")
    assert caught.value.kind is SECRETS


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("absent", "flag", "Secret 'absent' does not exist"),
        ("flags", "other", "Secret 'flags' has no key 'other'"),
    ],
)
async def test_what_is_missing_is_named(name: str, key: str, message: str) -> None:
    served = cluster({"flag": encoded(SECRET)}, {USE_LABEL: "true"})
    with pytest.raises(ReferenceMissing, match=message) as caught:
        await secret_value(served, "team", name, key)
    assert SECRET not in repr(caught.value)


async def test_a_secret_without_data_has_no_key() -> None:
    with pytest.raises(ReferenceMissing, match="no key 'flag'"):
        await secret_value(cluster(None, {USE_LABEL: "true"}), "team", "flags", "flag")


@pytest.mark.parametrize("data", [encoded(b"\xff\xfe-secret"), "not base64"])
async def test_a_value_that_is_no_text_is_refused_without_showing_it(data: str) -> None:
    served = cluster({"flag": data}, {USE_LABEL: "true"})
    with pytest.raises(ReferenceMissing, match="is not text in UTF-8") as caught:
        await secret_value(served, "team", "flags", "flag")
    assert data not in str(caught.value)
    assert "secret" not in str(caught.value).replace("Secret", "")


async def test_another_namespaces_secret_is_not_found() -> None:
    served = cluster({"flag": encoded(SECRET)}, {USE_LABEL: "true"})
    with pytest.raises(ReferenceMissing, match="does not exist"):
        await secret_value(served, "other", "flags", "flag")


async def test_an_api_server_that_is_away_is_no_missing_secret() -> None:
    served = cluster({"flag": encoded(SECRET)}, {USE_LABEL: "true"})

    async def away(_method: str, _path: str) -> None:
        raise ApiUnavailable("away")

    served.before = away
    with pytest.raises(ApiUnavailable):
        await secret_value(served, "team", "flags", "flag")
    with pytest.raises(ApiUnavailable):
        await config_map_value(served, "team", "flags", "flag")


async def test_a_config_map_needs_no_release() -> None:
    served = cluster({"motd": "hello"}, None, CONFIG_MAPS)
    assert await config_map_value(served, "team", "flags", "motd") == "hello"


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("absent", "motd", "ConfigMap 'absent' does not exist"),
        ("flags", "other", "ConfigMap 'flags' has no key 'other'"),
    ],
)
async def test_what_a_config_map_lacks_is_named(name: str, key: str, message: str) -> None:
    with pytest.raises(ReferenceMissing, match=message) as caught:
        await config_map_value(cluster({}, None, CONFIG_MAPS), "team", name, key)
    assert caught.value.kind is CONFIG_MAPS


async def test_all_of_a_config_map_text_and_not_is_read() -> None:
    served = cluster({"motd": "hü", "empty": ""}, None, CONFIG_MAPS)
    body = served.read(CONFIG_MAPS, "flags", "team") | {"binaryData": {"logo": encoded(b"\xff")}}
    served.put(CONFIG_MAPS, body)
    assert await config_map_files(served, "team", "flags") == {
        "motd": "hü".encode(),
        "empty": b"",
        "logo": b"\xff",
    }
    with pytest.raises(ReferenceMissing, match="ConfigMap 'absent' does not exist") as caught:
        await config_map_files(served, "team", "absent")
    assert caught.value.kind is CONFIG_MAPS


Read = Callable[[FakeCluster], Coroutine[Any, Any, Any]]
READS: dict[str, Read] = {
    "Secret": lambda served: secret_value(served, "team", "flags", "flag"),
    "ConfigMap": lambda served: config_map_value(served, "team", "flags", "flag"),
    "all of the ConfigMap": lambda served: config_map_files(served, "team", "flags"),
}


@pytest.mark.parametrize("what", READS)
@pytest.mark.parametrize(
    ("refusal", "told"), [(Unauthorized, Unauthorized), (Forbidden, ReferenceMissing)]
)
async def test_a_token_that_has_ended_says_nothing_about_an_object_and_a_missing_right_does(
    refusal: type[Forbidden], told: type[Exception], what: str
) -> None:
    served = cluster({"flag": encoded(SECRET)}, {USE_LABEL: "true"})

    async def refuse(_method: str, _path: str) -> None:
        raise refusal(401, "", "", {})

    served.before = refuse
    with pytest.raises(told) as caught:
        await READS[what](served)
    if told is ReferenceMissing:
        assert f"{what.split()[-1]} 'flags' may not be read" in str(caught.value)
