"""What the comparison finds in generated worlds; pure, so thousands of them cost nothing."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.ledger import Instance as Row
from controller.reconcile.comparison import Left, Plan, Seen, compare, is_booked, wrong_rows
from controller.reconcile.queue import Key
from controller.runtime.containers import ContainerState, PortBinding

NOW = 1_000_000
GRACE = 300_000
LONG_AGO, LATELY = NOW - GRACE - 1, NOW - GRACE + 1
UIDS = ("a", "b", "c", "d")


def read(uid: str, *containers: str, deleted: bool = False) -> dict[str, Any]:
    meta = {"uid": uid, "namespace": "team", "name": f"name-{uid}", "resourceVersion": "1"}
    if deleted:
        meta["deletionTimestamp"] = "2026-01-31T12:00:00Z"
    template = {"containers": [{"name": name} for name in containers or ("web",)]}
    return {"metadata": meta, "status": {"nodeName": "n1", "template": template}}


def state(
    uid: str, *ports: int, name: str = "web", what: str = "running", network: str = ""
) -> ContainerState:
    return ContainerState(
        id=f"id-{uid}-{name}",
        name=f"chal-{uid}-{name}",
        container=name,
        uid=uid,
        template_hash="hash",
        state=what,
        image_id="sha256:1",
        network=network,
        bindings=tuple(PortBinding(80 + n, "tcp", port, "0.0.0.0") for n, port in enumerate(ports)),
    )


def row(uid: str, *ports: int, begun: int | None = None, is_finalized: bool = False) -> Row:
    held = {f"p{n}": port for n, port in enumerate(ports)}
    return Row(
        uid=uid,
        namespace="team",
        name=f"name-{uid}",
        ports=held,
        attempt_started=begun,
        is_finalized=is_finalized,
    )


def planned(seen: Seen, *, busy: frozenset[str] = frozenset()) -> Plan:
    return compare(seen, begun_before=NOW - GRACE, busy=busy.__contains__)


def test_an_instance_that_all_three_know_is_adopted_and_left_alone() -> None:
    seen = Seen(
        objects={"a": read("a")},
        containers={"a": [state("a", 10001)]},
        rows={"a": row("a", 10001, begun=LONG_AGO, is_finalized=True)},
    )
    assert planned(seen) == Plan(adopted=1)


def test_what_has_no_object_here_is_an_orphan_with_all_that_is_left_of_it() -> None:
    key = Key("c", "team", "name-c")
    seen = Seen(
        objects={},
        containers={"a": [state("a"), state("a", name="db")]},
        rows={"a": row("a", 10001, 10002), "b": row("b", 10003)},
        left={"a": Left(Key("a", "team", "name-a"), True, 2), "c": Left(key, False, 1)},
    )
    found = planned(seen).orphans
    assert {uid: dict(orphan.kinds) for uid, orphan in found.items()} == {
        "a": {"container": 2, "row": 1, "port": 2, "folder": 1, "volume": 2},
        "b": {"row": 1, "port": 1},
        "c": {"volume": 1},
    }
    assert found["c"].key == key
    assert str(found["a"]) == "2 containers, 1 row, 2 ports, 1 folder, 2 volumes"


def test_an_orphan_of_which_only_containers_are_left_is_named_by_their_labels() -> None:
    marks = {
        "challenge-controller.io/instance-namespace": "team",
        "challenge-controller.io/instance-name": "web",
    }
    bare = ContainerState("id", "chal-a-web", "web", "a", "", "running", "", labels=marks)
    found = planned(Seen(objects={}, containers={"a": [bare]}, rows={})).orphans
    assert found["a"].key == Key("a", "team", "web")


def test_containers_on_ports_that_the_ledger_does_not_have_are_unbooked() -> None:
    seen = Seen(
        objects={uid: read(uid) for uid in UIDS},
        containers={
            "a": [state("a", 10001)],  # no row
            "b": [state("b", 10002)],  # a row with another port
            "c": [state("c", 10004)],
            "d": [state("d", what="exited")],  # whose ports a list does not tell
        },
        rows={"b": row("b", 10003), "c": row("c", 10004), "d": row("d", 10005)},
    )
    assert set(planned(seen).unbooked) == {"a", "b"}


def test_ports_that_have_changed_places_are_unbooked_as_soon_as_the_status_tells_their_names() -> (
    None
):
    exchanged = Seen(
        objects={"a": read("a")},
        containers={"a": [state("a", 10001, 10002)]},
        rows={"a": row("a", 10002, 10001)},
    )
    assert set(planned(exchanged).unbooked) == set()
    exchanged.objects["a"]["status"]["ports"] = [
        {"name": f"p{n}", "containerName": "web", "containerPort": 80 + n, "protocol": "TCP"}
        for n in range(2)
    ]
    assert set(planned(exchanged).unbooked) == {"a"}


def crashed(
    *containers: ContainerState,
    begun: int | None = LONG_AGO,
    wanted: tuple[str, ...] = ("web", "db"),
    is_finalized: bool = False,
    deleted: bool = False,
    busy: bool = False,
) -> bool:
    """Whether an instance of these containers counts as a crashed launch."""
    seen = Seen(
        objects={"a": read("a", *wanted, deleted=deleted)},
        containers={"a": containers} if containers else {},
        rows={"a": row("a", 10001, begun=begun, is_finalized=is_finalized)},
    )
    return "a" in planned(seen, busy=frozenset("a") if busy else frozenset()).crashed


def test_a_launch_that_began_long_ago_and_has_not_ended_has_crashed() -> None:
    assert crashed()
    assert crashed(state("a", what="created"))
    assert crashed(state("a", what="exited"))
    assert crashed(state("a", what="dead"), state("a", name="db", what="exited"))


def test_no_other_launch_has() -> None:
    assert not crashed(begun=LATELY)
    assert not crashed(begun=None), "it is in the queue, or its image is being pulled"
    assert not crashed(is_finalized=True)
    assert not crashed(deleted=True)
    assert not crashed(busy=True), "somebody in this process is at work on it"
    assert not crashed(state("a"))
    assert not crashed(state("a", what="paused"))


def test_containers_that_were_all_started_and_have_ended_are_no_crashed_launch() -> None:
    ended = [state("a", what="exited"), state("a", name="db", what="exited")]
    assert not crashed(*ended), "restartPolicy says what becomes of it"


def test_a_port_that_another_row_has_is_given_to_who_is_bound_to_it() -> None:
    rows = {
        "a": row("a", 10009),
        "b": row("b", 10001),  # nothing of it runs: an old copy of the ledger
        "c": row("c", 10002),
        "d": row("d", 10003),
    }
    found = {"a": row("a", 10001), "e": row("e", 10003)}
    assert wrong_rows(rows, found, running={"a", "c", "d", "e"}) == {"a", "b"}


uids = st.sampled_from(UIDS)
ports = st.lists(st.integers(10000, 10005), max_size=2, unique=True)
states = st.builds(
    lambda uid, held, what: state(uid, *held, what=what),
    uids,
    ports,
    st.sampled_from(["created", "running", "paused", "exited"]),
)
rows_of = st.builds(
    lambda uid, held, begun, done: row(uid, *held, begun=begun, is_finalized=done),
    uids,
    ports,
    st.sampled_from([None, LONG_AGO, LATELY]),
    st.booleans(),
)


@given(
    objects=st.sets(uids),
    found=st.lists(states, max_size=6),
    rows=st.lists(rows_of, max_size=4, unique_by=lambda each: each.uid),
    busy=st.frozensets(uids),
)
@settings(max_examples=60, deadline=None)
def test_in_every_world_each_instance_is_adopted_put_right_or_taken_away(
    objects: set[str], found: list[ContainerState], rows: list[Row], busy: frozenset[str]
) -> None:
    containers: dict[str, list[ContainerState]] = {}
    for each in found:
        containers.setdefault(each.uid, []).append(each)
    booked = {each.uid: each for each in rows}
    seen = Seen(objects={uid: read(uid) for uid in objects}, containers=containers, rows=booked)
    plan = planned(seen, busy=busy)
    assert set(plan.orphans) == (set(containers) | set(booked)) - objects
    here = objects & set(containers)
    assert plan.adopted == len(here - set(plan.unbooked) - set(plan.crashed))
    assert set(plan.unbooked) <= objects
    assert not set(plan.crashed) & busy
    for uid in plan.crashed:
        assert uid in objects
        assert all(each.state in ("created", "exited") for each in containers.get(uid, []))


@given(
    booked=st.dictionaries(st.integers(10000, 10005), uids),
    bound=st.dictionaries(st.integers(10000, 10005), uids),
)
@settings(max_examples=60, deadline=None)
def test_in_every_world_what_runs_finds_room_in_the_ledger(
    booked: dict[int, str], bound: dict[int, str]
) -> None:
    """A port is in one row, and bound by one container: whatever the two say of each other."""
    rows = {uid: row(uid, port) for port, uid in booked.items()}
    running = {uid: state(uid, port) for port, uid in bound.items()}
    found = {
        uid: row(uid, *(each.host_port for each in container.bindings))
        for uid, container in running.items()
        if not is_booked(rows.get(uid), [container], {})
    }
    wrong = wrong_rows(rows, found, running)
    kept = {uid: each for uid, each in rows.items() if uid not in wrong} | found
    held = [port for each in kept.values() for port in each.ports.values()]
    assert len(held) == len(set(held))
    assert all(is_booked(kept.get(uid), [container], {}) for uid, container in running.items())
