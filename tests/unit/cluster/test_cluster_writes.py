"""Status, finalizer and Events: written only over what was read, and never in anybody's way."""

import asyncio
import logging
from typing import Any

import pytest

from controller.api.meta import FINALIZER
from controller.cluster import finalizer, status
from controller.cluster.client import EVENTS, INSTANCES, Object
from controller.cluster.errors import ApiUnavailable, Conflict
from controller.cluster.events import MESSAGE_LIMIT, QUEUE_LIMIT, Recorder
from tests.unit.cluster.fake_cluster import FakeCluster
from tests.unit.reconcile.virtual_time import now, virtual


def put(cluster: FakeCluster, name: str = "a", **meta: Any) -> Object:
    body = {"metadata": {"name": name, "namespace": "team"} | meta, "spec": {"user": "ann"}}
    return cluster.put(INSTANCES, body)


async def test_a_status_is_replaced_as_a_whole_and_nothing_else() -> None:
    cluster = FakeCluster()
    read = put(cluster)
    first = await status.write(cluster, INSTANCES, read, {"nodeName": "n1", "address": "x"})
    await status.write(cluster, INSTANCES, first, {"nodeName": "n2"})
    now = cluster.read(INSTANCES, "a", "team")
    assert (now["status"], now["spec"]) == ({"nodeName": "n2"}, {"user": "ann"})


async def test_a_status_that_says_the_same_is_not_written() -> None:
    cluster = FakeCluster()
    read = await status.write(cluster, INSTANCES, put(cluster), {"nodeName": "n1"})
    assert await status.write(cluster, INSTANCES, read, {"nodeName": "n1"}) is read
    assert cluster.count("PUT") == 1


async def test_a_status_is_not_written_over_what_was_not_read() -> None:
    cluster = FakeCluster()
    read = put(cluster)
    put(cluster)
    with pytest.raises(Conflict):
        await status.write(cluster, INSTANCES, read, {"nodeName": "n1"})


async def test_a_status_is_not_written_to_another_one_of_the_same_name() -> None:
    cluster = FakeCluster()
    read = put(cluster)
    put(cluster, uid="another")
    with pytest.raises(Conflict):
        await status.write(cluster, INSTANCES, read, {"nodeName": "n1"})
    assert "status" not in cluster.read(INSTANCES, "a", "team")


async def test_the_finalizer_is_added_over_what_was_read_and_leaves_the_others() -> None:
    cluster = FakeCluster()
    read = put(cluster, finalizers=["a/b"])
    added = await finalizer.add(cluster, read)
    assert finalizer.held(added)
    (sent,) = [body for body in cluster.bodies if body]
    assert sent["metadata"]["resourceVersion"] == read["metadata"]["resourceVersion"]
    assert sent["metadata"]["finalizers"] == ["a/b", FINALIZER]


@pytest.mark.parametrize("meanwhile", ["gone", "changed", "another"])
async def test_an_object_that_is_not_as_it_was_read_is_to_be_read_again(meanwhile: str) -> None:
    """What is made for an object must be for that very one."""
    cluster = FakeCluster()
    read = put(cluster)
    cluster.objects.clear()
    if meanwhile != "gone":
        put(cluster, **({"uid": "another"} if meanwhile == "another" else {}))
    with pytest.raises(Conflict):
        await finalizer.add(cluster, read)
    assert not any(finalizer.held(left) for left in cluster.objects.values())


async def test_taking_ours_off_leaves_the_others() -> None:
    cluster = FakeCluster()
    read = put(cluster, finalizers=["a/b", FINALIZER, "c/d"])
    await finalizer.remove(cluster, read)
    assert cluster.read(INSTANCES, "a", "team")["metadata"]["finalizers"] == ["a/b", "c/d"]


async def test_a_finalizer_added_by_somebody_else_meanwhile_is_not_lost() -> None:
    cluster = FakeCluster()
    read = put(cluster, finalizers=[FINALIZER])
    put(cluster, finalizers=[FINALIZER, "late/one"])
    with pytest.raises(Conflict):
        await finalizer.remove(cluster, read)
    assert "late/one" in cluster.read(INSTANCES, "a", "team")["metadata"]["finalizers"]


def test_an_object_without_finalizers_does_not_hold_ours() -> None:
    assert not finalizer.held({"metadata": {}})
    assert not finalizer.held({"metadata": {"finalizers": None}})
    assert not finalizer.held({"metadata": {"finalizers": ["other"]}})


def sent(cluster: FakeCluster) -> list[Object]:
    """The Events that arrived, in order."""
    return [body for path, body in cluster.objects.items() if f"/{EVENTS.plural}/" in path]


async def test_an_event_says_about_what_by_whom_and_when() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "challenge-agent", "n1")
    read = put(cluster)
    recorder.event(read, "Warning", "CrashLoop", "ended too often")
    await recorder.flush()
    (event,) = sent(cluster)
    assert (event["type"], event["reason"], event["message"]) == (
        "Warning",
        "CrashLoop",
        "ended too often",
    )
    assert event["source"] == {"component": "challenge-agent", "host": "n1"}
    assert event["involvedObject"] == {
        "apiVersion": "challenge-controller.io/v1alpha1",
        "kind": "ChallengeInstance",
        "name": "a",
        "namespace": "team",
        "uid": read["metadata"]["uid"],
        "resourceVersion": read["metadata"]["resourceVersion"],
    }
    assert event["metadata"]["namespace"] == "team"
    assert event["firstTimestamp"].endswith("Z")


async def test_events_arrive_in_order_under_names_of_their_own() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")
    read = put(cluster)
    for number in range(5):
        recorder.event(read, "Normal", "Ready", f"{number}")
    await recorder.flush()
    assert [event["message"] for event in sent(cluster)] == ["0", "1", "2", "3", "4"]


async def test_an_event_about_an_object_without_a_namespace_is_in_default() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")
    recorder.event({"metadata": {"name": "n1", "uid": "u"}}, "Normal", "Ready", "up")
    await recorder.flush()
    (event,) = sent(cluster)
    assert event["metadata"]["namespace"] == "default"
    assert event["involvedObject"] == {"name": "n1", "uid": "u"}


@pytest.mark.parametrize("name", ["x" * 253, "x" * 199 + "." + "y" * 53, "x" * 199 + "-" + "y"])
async def test_an_events_name_is_one_that_the_server_takes_however_long_the_objects_is(
    name: str,
) -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")
    recorder.event(put(cluster, name), "Normal", "Ready", "up")
    await recorder.flush()
    (event,) = sent(cluster)
    made = event["metadata"]["name"]
    assert len(made) <= 253
    assert all(part and part[0].isalnum() and part[-1].isalnum() for part in made.split("."))


async def test_a_message_is_cut_to_what_the_server_takes_and_stays_text() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")
    recorder.event(put(cluster), "Normal", "Ready", "x" + "ü" * MESSAGE_LIMIT)
    await recorder.flush()
    (event,) = sent(cluster)
    assert MESSAGE_LIMIT - 4 < len(event["message"].encode()) <= MESSAGE_LIMIT
    assert set(event["message"]) == {"x", "ü"}


async def test_an_event_that_cannot_be_sent_is_dropped_and_the_next_one_goes_out() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")
    read = put(cluster)

    async def away(_method: str, _path: str) -> None:
        cluster.before = None
        raise ApiUnavailable("away")

    cluster.before = away
    recorder.event(read, "Normal", "Ready", "first")
    recorder.event(read, "Normal", "Ready", "second")
    arrived = asyncio.Event()

    async def note(_method: str, _path: str) -> None:
        arrived.set()

    cluster.after = note
    task = asyncio.create_task(recorder.run())
    async with asyncio.timeout(30):
        await arrived.wait()
    task.cancel()
    assert [event["message"] for event in sent(cluster)] == ["second"]


@virtual
async def test_an_event_goes_out_when_the_api_server_has_time_for_it() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")

    async def busy(_method: str, _path: str) -> None:
        cluster.before = None
        raise ApiUnavailable("too many", status=429, retry_after=7.0)

    cluster.before = busy
    recorder.event(put(cluster), "Normal", "Ready", "up")
    begun = now()
    await recorder.flush(deadline=10.0)
    assert [event["message"] for event in sent(cluster)] == ["up"]
    assert now() - begun == 7.0


@virtual
async def test_an_event_that_may_have_been_made_is_not_made_again() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")

    async def cut(_method: str, _path: str) -> None:
        raise ApiUnavailable("cut")

    cluster.after = cut
    recorder.event(put(cluster), "Normal", "Ready", "up")
    await recorder.flush()
    assert len(sent(cluster)) == 1


async def test_a_full_queue_drops_instead_of_growing(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")
    read = {"metadata": {"name": "a", "namespace": "team", "uid": "u"}}
    for _ in range(QUEUE_LIMIT):
        recorder.event(read, "Normal", "Ready", "up")
    with caplog.at_level(logging.WARNING):
        recorder.event(read, "Normal", "Ready", "one too many")
    assert "Dropped an Event about a: Ready" in caplog.text


async def test_at_the_end_nobody_waits_for_events_for_long() -> None:
    cluster = FakeCluster()
    recorder = Recorder(cluster, "test")
    recorder.event(put(cluster), "Normal", "Ready", "up")

    async def hang(_method: str, _path: str) -> None:
        await asyncio.Event().wait()

    cluster.before = hang
    await recorder.flush(deadline=0.01)
    assert sent(cluster) == []
