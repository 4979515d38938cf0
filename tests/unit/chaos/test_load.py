"""Users insist on an answer, know their own instances again, and take nobody else's for theirs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from hack.bed.errors import BedError
from hack.chaosrun import load, watch
from hack.chaosrun.api import Api, NoAnswer, Object, Refused
from hack.chaosrun.journal import Journal
from hack.chaosrun.load import Load
from hack.chaosrun.plan import Step
from hack.chaosrun.watch import Watch

CREATE = Step(0, "create", "web", "single", number=1)
DELETE = Step(0, "delete", "web", number=1)
AGAIN = Step(0, "create", "web", "single", number=2)


class FakeApi:
    """An API server with the instances of one namespace; `fail` is asked before each request."""

    def __init__(self) -> None:
        self.there: dict[str, Object] = {}
        self.asked: list[str] = []
        self.fail: Callable[[str], None] = lambda verb: None
        self.lingers = 0
        """How often a deleted instance is seen yet."""

    def create(self, body: Object) -> Object:
        self._asked("create")
        name = body["metadata"]["name"]
        if name in self.there:
            self._linger(name)
            raise Refused(409, "already exists")
        number = body["metadata"]["labels"]["chaos-step"]
        self.there[name] = body | {"metadata": body["metadata"] | {"uid": f"u{number}"}}
        self._answered("create")
        return self.there[name]

    def instance(self, name: str) -> Object:
        self._asked("get")
        if name not in self.there:
            raise Refused(404, "not found")
        return self.there[name]

    def instances(self) -> list[Object]:
        return list(self.there.values())

    def delete(self, name: str, uid: str) -> None:
        self._asked("delete")
        self.there[name]["metadata"]["deletionTimestamp"] = "now"

    def patch(self, name: str, spec: Object) -> Object:
        self._asked("patch")
        return self.instance(name)

    def close(self) -> None:
        """Nothing to be closed."""

    def _linger(self, name: str) -> None:
        if "deletionTimestamp" in self.there[name]["metadata"]:
            self.lingers -= 1
            if self.lingers < 0:
                del self.there[name]

    def _asked(self, verb: str) -> None:
        self.asked.append(verb)
        self.fail(f"before {verb}")

    def _answered(self, verb: str) -> None:
        self.fail(f"after {verb}")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.txt")


def done(api: FakeApi, journal: Journal, *steps: Step) -> Load:
    """What has come of these steps."""
    users = Load(cast(Api, api), "n", journal)
    users.start(steps)
    assert users.join(60.0)
    return users


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "RETRY", 0.001)


def failing(times: int, where: str) -> Callable[[str], None]:
    left = [times]

    def fail(what: str) -> None:
        if what == where and left[0]:
            left[0] -= 1
            raise NoAnswer("cut")

    return fail


def test_a_request_without_an_answer_is_made_again(api: FakeApi, journal: Journal) -> None:
    api.fail = failing(3, "before create")
    users = done(api, journal, CREATE)
    assert [wish.uid for wish in users.wanted()] == ["u1"]
    assert api.asked == ["create"] * 4


def test_a_creation_whose_answer_was_lost_is_known_again(api: FakeApi, journal: Journal) -> None:
    api.fail = failing(1, "after create")
    users = done(api, journal, CREATE)
    assert [wish.uid for wish in users.wanted()] == ["u1"]
    assert api.asked == ["create", "create", "get"]


def test_the_same_name_again_waits_for_the_end_of_the_one_before(
    api: FakeApi, journal: Journal
) -> None:
    api.lingers = 2
    users = done(api, journal, CREATE, DELETE, AGAIN)
    assert [(wish.name, wish.uid) for wish in users.wanted()] == [("web", "u2")]


def test_who_is_gone_when_its_user_changes_it_is_lost(api: FakeApi, journal: Journal) -> None:
    users = Load(cast(Api, api), "n", journal)
    users.book.created(CREATE, "u1")
    users.start([Step(0, "suspend", "web", number=1)])
    assert users.join(60.0)
    assert journal.findings == ["suspend web: web (u1) is lost: it is not there"]


def test_a_change_that_another_instance_of_the_name_has_taken_is_told(
    api: FakeApi, journal: Journal
) -> None:
    users = Load(cast(Api, api), "n", journal)
    users.book.created(CREATE, "u0")
    api.create({"metadata": {"name": "web", "labels": {"chaos-step": "1"}}})
    users.start([Step(0, "renew", "web", ttl=60, number=1)])
    assert users.join(60.0)
    assert journal.findings == ["renew web ttl 60 s: web (u0) is lost: the name is another's"]


# -- who looks on ----------------------------------------------------------------------------------


def ready(uid: str, port: int, **metadata: Any) -> Object:
    told = {"name": "nc", "containerName": "echo", "containerPort": 9, "endpoint": f"h:{port}"}
    return {
        "metadata": {"namespace": "n", "name": uid, "uid": uid} | metadata,
        "spec": {},
        "status": {"ports": [told], "conditions": [{"type": "Ready", "status": "True"}]},
    }


def says(text: str) -> Callable[[object], None]:
    def answer(endpoint: object) -> None:
        raise BedError(text)

    return answer


def looked(api: FakeApi, journal: Journal, *there: Object) -> list[str]:
    api.there = {each["metadata"]["name"]: each for each in there}
    Watch(cast(Api, api), journal, 1).look()
    return journal.findings


def test_another_ones_answer_is_found_and_none_at_all_is_not(
    api: FakeApi, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ask", says("it does not answer"))
    assert looked(api, journal, ready("a", 1)) == []
    monkeypatch.setattr(watch, "ask", says("it should be a and says that it is b"))
    assert looked(api, journal, ready("a", 1)) == ["it should be a and says that it is b"]


@pytest.mark.parametrize(
    "by_now",
    [{}, {"a": ready("a", 2)}, {"a": ready("a", 1, deletionTimestamp="now")}],
    ids=["gone", "on another port", "on its way out"],
)
def test_the_answer_of_who_came_after_is_no_finding(
    api: FakeApi, journal: Journal, monkeypatch: pytest.MonkeyPatch, by_now: dict[str, Object]
) -> None:
    def answer(endpoint: object) -> None:
        api.there = by_now  # since it was listed
        raise BedError("it should be a and says that it is b")

    monkeypatch.setattr(watch, "ask", answer)
    assert looked(api, journal, ready("a", 1)) == []


def test_one_port_of_two_is_found_unless_one_is_on_its_way_out(
    api: FakeApi, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ask", lambda endpoint: None)
    ending = ready("b", 1, deletionTimestamp="now")
    assert looked(api, journal, ready("a", 1), ending) == []
    found = looked(api, journal, ready("a", 1), ready("b", 1))
    assert found == ["h:1 collides: it is told by n/a (a) and n/b (b)"]
