"""The states of a Challenge, a ChallengePool and a ChallengeNode."""

from typing import Final, cast

from controller.api import conditions, reasons
from controller.api.challenge import Challenge, ChallengeStatus
from controller.api.node import ChallengeNode, NodeStatus
from controller.api.pool import ChallengePool
from controller.manager import pool_status
from controller.manager.pool_members import Member
from controller.manager.pool_plan import Line, Survey
from controller.manager.pool_status import Trouble
from tests.integration.gitops.instance_states import SPEC
from tests.integration.gitops.states import NOW, Object, State, everywhere, fresh, say, with_status
from tests.integration.gitops.uses import Use

NODE: Final = """
    agent/nodeconditions  True     READY               Current     Healthy
    agent/nodeconditions  True     CORDONED            Current     Healthy
    agent/nodeconditions  True     DRAINING            Current     Healthy
    agent/nodeconditions  False    DOCKER_UNAVAILABLE  InProgress  Degraded
    agent/nodeconditions  False    LEDGER_UNAVAILABLE  InProgress  Degraded
    agent/firewall        False    FIREWALL_UNAVAILABLE InProgress Degraded
    agent/firewall        False    BRIDGE_FILTER_OFF   InProgress  Degraded
    manager/health        Unknown  NODE_LOST           InProgress  Degraded
    manager/health        Unknown  ALL_NODES_LOST      InProgress  Degraded
"""
"""A node's Ready: its other conditions are for people."""

ASPECTS: Final = """
    agent/nodeconditions  DOCKER_REACHABLE    AVAILABLE DOCKER_UNAVAILABLE
    agent/nodeconditions  FIREWALL_READY      AVAILABLE FIREWALL_OFF
    agent/nodeconditions  LEDGER_HEALTHY      AVAILABLE LEDGER_UNAVAILABLE
    agent/nodeconditions  RECONCILED          RECONCILED STARTING_UP
    agent/nodeconditions  PORT_PRESSURE       LOW AVAILABLE
    agent/nodeconditions  NETWORK_PRESSURE    LOW AVAILABLE
    agent/nodeconditions  DISK_PRESSURE       LOW AVAILABLE
    agent/nodeconditions  PORT_RANGE_OVERLAP  SHARED_PORTS AVAILABLE
    agent/nodeconditions  ORPHANS_HELD        ORPHANS_HELD AVAILABLE
    agent/uninstall       UNINSTALLED         UNINSTALLED INSTANCES_LEFT
    agent/uninstall       UNINSTALLED         UNINSTALLED UNINSTALL_FAILED
"""
"""A node's other conditions, with their reasons while they are True, and while they are False."""

Said = tuple[str, conditions.Status, str]

WRITTEN: Final[set[Use]] = {
    ("manager/declared", "-", "READY"),
    ("manager/declared", "-", "PRE_PULLED"),
    ("manager/declared", "-", "PULLING_IMAGE"),
    ("manager/pools", "-", "CHALLENGE_NOT_FOUND"),
    ("manager/pools", "-", "FAILED_CREATE"),
    ("manager/pool_status", "-", "READY"),
    ("manager/pool_status", "-", "UPDATING"),
    ("manager/pool_status", "-", "SCALING"),
    ("manager/pool_status", "-", "INSTANCES_NOT_READY"),
    ("manager/pool_status", "-", "DRAINING"),
}


def covered() -> set[Use]:
    """Every use of a reason that a state here stands for."""
    rows = {(module, constant) for module, _, constant, _, _ in _rows(NODE)}
    rows |= {
        (module, constant)
        for module, _, *constants in map(str.split, ASPECTS.strip().splitlines())
        for constant in constants
    }
    # The firewall's answer is a step's as well: it stands in the table of instances.
    return WRITTEN | {(m, "-", constant) for m, constant in rows if m != "agent/firewall"}


def states() -> list[State]:
    """All of them."""
    return everywhere([*_challenges(), *_pools(), *_nodes()])


def _challenges() -> list[State]:
    created = fresh(Challenge, SPEC)

    def seen(*said: Said) -> Object:
        status = ChallengeStatus(observed_generation=1, instances=0)
        for kind, value, reason in said:
            say(status.conditions, kind, value, reason)
        return with_status(created, status)

    ready: Said = (conditions.READY, "True", reasons.READY)
    pulled: Said = (conditions.PRE_PULLED, "True", reasons.PRE_PULLED)
    pulling: Said = (conditions.PRE_PULLED, "False", reasons.PULLING_IMAGE)
    return [
        State("challenge created", created, "InProgress", "Progressing"),
        State("challenge seen", seen(ready), "Current", "Healthy"),
        State("challenge pulled ahead", seen(ready, pulled), "Current", "Healthy"),
        State("challenge being pulled ahead", seen(ready, pulling), "Current", "Healthy"),
    ]


def _pools() -> list[State]:
    created = fresh(ChallengePool, {"challengeRef": {"name": "web"}, "seeds": ["1"], "replicas": 1})
    pool = ChallengePool.model_validate(created)

    def with_line(line: Line, trouble: Trouble | None = None, strays: int = 0) -> Object:
        seen = Survey(1, [line], [_member()] * strays, set())
        return with_status(created, pool_status.status(pool, seen, trouble, NOW))

    up, down = _member(), _member(ready=False, reason=reasons.PROBE_FAILING)
    stuck = _member(ready=False, reason=reasons.CRASH_LOOP, stalled=True)
    missing = Trouble(reasons.CHALLENGE_NOT_FOUND, "why", stalled=False)
    refused = Trouble(reasons.FAILED_CREATE, "why")
    good, old = Line("1", good=[up]), Line("1", good=[up], old=[up])
    return [
        State("pool created", created, "InProgress", "Progressing"),
        State("pool whole", with_line(good), "Current", "Healthy"),
        State(
            "pool without its Challenge", with_line(Line("1"), missing), "InProgress", "Progressing"
        ),
        State("pool refused", with_line(Line("1"), refused), "Failed", "Degraded"),
        State("pool growing", with_line(Line("1")), "InProgress", "Progressing"),
        State("pool with strays", with_line(good, strays=1), "InProgress", "Progressing"),
        State("pool shrinking", with_line(Line("1", good=[up, up])), "InProgress", "Progressing"),
        State("pool rolling", with_line(old), "InProgress", "Progressing"),
        State(
            "pool rolling, stuck",
            with_line(Line("1", good=[stuck], old=[up])),
            "Failed",
            "Degraded",
        ),
        State("pool not ready", with_line(Line("1", good=[down])), "InProgress", "Progressing"),
        State("pool stuck", with_line(Line("1", good=[stuck])), "Failed", "Degraded"),
        State("pool drained", with_line(Line("1", leaving=[up])), "InProgress", "Progressing"),
    ]


def _member(*, ready: bool = True, reason: str = "", stalled: bool = False) -> Member:
    return Member(
        uid="u", name="web-1", namespace="team", version="1", pool="team/u", pool_name="web",
        seed="1", spec="", template="", node="n1", ready=ready, deleting=False, reason=reason,
        stalled=stalled, created=NOW,
    )  # fmt: skip


def _nodes() -> list[State]:
    created = fresh(ChallengeNode, {})
    found = [State("node created", created, "InProgress", "Progressing")]
    for _, value, constant, kstatus, argo in _rows(NODE):
        reason, ready = getattr(reasons, constant), cast(conditions.Status, value)
        found.append(State(f"node {reason}", _node(created, ready, reason), kstatus, argo))
    for line in ASPECTS.strip().splitlines():
        _, kind, true, false = line.split()
        for value, constant in (("True", true), ("False", false)):
            body = _node(created, "True", reasons.READY)
            status = ChallengeNode.model_validate(body).status
            say(
                status.conditions,
                getattr(conditions, kind),
                cast(conditions.Status, value),
                getattr(reasons, constant),
            )
            name = f"node Ready, {kind} {value}, {constant}"
            found.append(State(name, with_status(body, status), "Current", "Healthy"))
    return found


def _node(created: Object, ready: conditions.Status, reason: str) -> Object:
    status = NodeStatus(observed_generation=1)
    say(status.conditions, conditions.READY, ready, reason)
    return with_status(created, status)


def _rows(table: str) -> list[tuple[str, str, str, str, str]]:
    lines = (line.split() for line in table.strip().splitlines())
    return [
        (module, value, reason, kstatus, argo) for module, value, reason, kstatus, argo in lines
    ]
