"""An instance that has no room for its status: it is told why, and holds up nobody."""

from typing import Any

from controller.api import reasons
from controller.cluster.errors import TooLarge
from controller.manager.size import LIMIT
from tests.unit.manager.objects import template
from tests.unit.manager.placing import Placing
from tests.unit.reconcile.virtual_time import virtual


def long(kib: int) -> dict[str, Any]:
    """A template with so many KiB of text, two bytes a letter."""
    made = template()
    made["containers"][0]["args"] = ["ü" * 4096] * (kib // 8)
    return made


@virtual
async def test_one_that_is_too_large_is_told_and_the_others_are_placed() -> None:
    placing = Placing("n1")
    placing.challenge("long", template=long(LIMIT))
    placing.put("inline", spec={"template": long(LIMIT // 2)})
    placing.put("referring", spec={"challengeRef": {"name": "long"}})
    placing.put("within", spec={"template": long(LIMIT // 2 - 8)})
    for _ in range(3):
        await placing.round()
    assert placing.placed("inline", "referring", "within") == ["within"]
    for name in ("inline", "referring"):
        assert placing.reason(name) == reasons.INVALID_TEMPLATE
        assert f"expected {LIMIT} KiB at most" in placing.said(name)["message"]
    assert placing.cluster.count("PUT") == 3, "each is told once"
    placing.task.cancel()


@virtual
async def test_one_that_the_store_refuses_holds_up_nobody() -> None:
    placing = Placing("n1")
    placing.put("fat", user="mallory")

    async def refuse(method: str, path: str) -> None:
        if method == "PUT" and "fat" in path:
            raise TooLarge(500, "TooLarge", "etcdserver: request is too large", {})

    placing.cluster.before = refuse
    await placing.round()
    placing.put("next", user="mallory")
    await placing.round()
    assert placing.placed("fat", "next") == ["next"]
    assert placing.count("n1") == 1, "nothing is counted for one that was not placed"
    assert placing.cluster.count("PUT", "fat") == 1, "it is not tried on and on"
    placing.task.cancel()
