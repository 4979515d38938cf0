"""What GitOps tools make of every state that an object of ours can be in.

kstatus and Lua are the real ones (`hack/gitops`). The rules: sigs.k8s.io/cli-utils,
pkg/kstatus/status/generic.go (deletionTimestamp, observedGeneration, Reconciling, Stalled) and
status.go (Ready). Nothing of this needs an API server or an engine.
"""

from typing import Final

import pytest
import yaml

from controller.api import conditions
from controller.api.crd import KINDS
from hack import argocd
from hack.bed.gitops import argo_health, kstatus
from hack.bed.report import Report
from tests.integration.gitops import instance_states, other_states
from tests.integration.gitops.states import State
from tests.integration.gitops.uses import Use, uses

NO_STATES: Final[set[Use]] = {
    ("agent/prepull", "-", "IMAGE_PULL_FAILED"),
    ("agent/prepull", "-", "SECRET_NOT_FOUND"),
    ("manager/assignments", "-", "PROGRESS"),
    ("manager/neighbours", "-", "NAMESPACES_SHARED"),
    ("manager/placer", "-", "PROGRESS"),
    ("manager/pool_members", "-", "EXPIRED"),
    ("manager/pool_members", "-", "SUSPENDED"),
    ("manager/pool_members", "-", "WAITING_FOR_NODE"),
    ("manager/scheduler", "-", "WAITING_FOR_NODE"),
    ("reconcile/census", "-", "ORPHANS_HELD"),
    ("reconcile/census", "-", "ORPHANS_REMOVED"),
    ("reconcile/collect", "-", "COLLECTED"),
    ("reconcile/instance", "-", "TTL_CUT"),
    ("reconcile/regain", "-", "RESERVED_AGAIN"),
    ("reconcile/reserve", "-", "RESERVED"),
    ("reconcile/show", "-", "LAUNCHED"),
    ("reconcile/work", "-", "CONTAINER_EXITED"),
    ("reconcile/work", "-", "PROGRESS"),
    ("reconcile/work", "-", "READY"),
}
"""Where a reason is of an Event, of a condition beside the summary, or only compared with."""


@pytest.fixture(scope="module")
def states() -> list[State]:
    return instance_states.states() + other_states.states()


def test_every_reason_that_the_code_gives_has_its_state_in_the_table() -> None:
    listed = instance_states.covered() | other_states.covered() | NO_STATES
    used = uses("reconcile", "manager", "agent")
    assert used - listed == set(), "a state was added: give it a row, with what tools make of it"
    assert listed - used == set(), "a row of the table is of no state any more"


def test_every_condition_occurs_in_the_table(states: list[State]) -> None:
    said = {
        condition["type"]
        for state in states
        for condition in state.object["status"].get("conditions", [])
    }
    known = {
        value for name, value in vars(conditions).items() if name.isupper() and value is not None
    }
    known = {value for value in known if isinstance(value, str)}
    aside = {conditions.PORTS_RESERVED, conditions.LAUNCHED}  # beside the summary, never instead
    assert known - said == aside


def test_kstatus_says_of_each_state_what_the_table_says(states: list[State]) -> None:
    said = kstatus((state.object for state in states), Report())
    assert len(said) == len(states) > 600
    found = {s.name: v.status for s, v in zip(states, said, strict=True)}
    assert found == {s.name: s.kstatus for s in states}


def test_argo_cd_shows_of_each_state_what_the_table_says(states: list[State]) -> None:
    scripts = yaml.safe_load(argocd.config_map())["data"]
    questions = [(scripts[argocd.key(s.object["kind"])], s.object) for s in states]
    said = argo_health(questions, Report())
    found = {s.name: v.status for s, v in zip(states, said, strict=True)}
    assert found == {s.name: s.argo for s in states}
    assert all(verdict.message for verdict in said), "every verdict has a text for people"


def test_both_agree_about_what_is_done(states: list[State]) -> None:
    """Nothing is done in Argo CD that Flux still waits for, or the other way round."""
    for state in states:
        assert (state.kstatus == "Current") == (state.argo in ("Healthy", "Suspended")), state.name
        if state.kstatus == "Failed":
            assert state.argo == "Degraded", state.name


def test_argo_cds_fragment_has_a_key_for_every_kind() -> None:
    written = yaml.safe_load((argocd.FOLDER / "argocd-cm.yaml").read_text())
    assert set(written["data"]) == {argocd.key(kind.model.KIND) for kind in KINDS}
