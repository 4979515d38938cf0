"""The ledger against a model of dicts, under random calls: every answer and every row must agree.

LEDGER_SEED repeats a run, LEDGER_EXAMPLES (default 5) makes it longer; 100 steps an example.
`hack/test faults` takes many more.
"""

import os
import random
import shutil
import tempfile
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from controller.ledger import (
    Instance,
    InstanceNotFound,
    Ledger,
    LedgerConflict,
    PortsExhausted,
    SubnetsExhausted,
    Usage,
)

SEED = int(os.environ.get("LEDGER_SEED", random.randrange(2**32)))
EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "5"))

RANGES = [range(10000, 10012), range(10006, 10018), range(10004, 10008), range(20000, 20012)]
POOL = IPv4Network("10.64.0.0/27")
UIDS = st.sampled_from([f"u{i}" for i in range(7)])
SLOTS = st.sampled_from(["s1", "s2", "s3"])
NAMES = st.lists(st.sampled_from(["http", "nc", "ssh", "vnc"]), unique=True, max_size=4)
NAME = st.sampled_from(["http", "nc", "ssh", "vnc"])
CHALLENGES = st.sampled_from(["web", "pwn", None])
PORTS = st.sampled_from(sorted({port for ports in RANGES for port in ports}))


class LedgerAndModel(RuleBasedStateMachine):
    """Calls the ledger and a model of it side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ledger-model-"))
        self.now = 1000
        self.rows: dict[str, Instance] = {}
        self.slots: dict[str, dict[str, int]] = {}
        self.claimed: dict[str, str] = {}
        self.confirmed: set[int] = set()
        self.aside: dict[int, int | None] = {}
        self.subnets: dict[str, IPv4Network] = {}
        self.range = set(RANGES[0])
        self.ledger = self.open()

    def open(self) -> Ledger:
        return Ledger.open(self.folder / "ledger.db", sorted(self.range), seed=SEED)

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    # The model

    def held(self) -> set[int]:
        by_instances = {port for row in self.rows.values() for port in row.ports.values()}
        return by_instances | {port for ports in self.slots.values() for port in ports.values()}

    def free(self, *, lapse: bool) -> set[int]:
        aside = {
            port
            for port, until in self.aside.items()
            if not lapse or until is None or until > self.now
        }
        return self.range - self.held() - aside

    def lapse(self) -> None:
        for port, until in list(self.aside.items()):
            if until is not None and until <= self.now:
                del self.aside[port]

    def change(self, uid: str, **changes: object) -> None:
        row = self.rows[uid]
        fields = {name: getattr(row, name) for name in row.__dataclass_fields__}
        self.rows[uid] = Instance(**{**fields, **changes})

    def took(self, ports: dict[str, int], names: list[str], free: set[int]) -> None:
        assert list(ports) == names
        assert len(set(ports.values())) == len(names)
        assert set(ports.values()) <= free
        if names:
            self.lapse()

    def was_refused(self, error: PortsExhausted | None, names: list[str], free: set[int]) -> None:
        if error is not None:
            assert (error.wanted, error.free) == (len(names), len(free))
            assert len(free) < len(names)

    # The calls

    @rule(step=st.integers(0, 40))
    def time_passes(self, step: int) -> None:
        self.now += step

    @rule(uid=UIDS, names=NAMES, challenge=CHALLENGES)
    def reserve(self, uid: str, names: list[str], challenge: str | None) -> None:
        free = self.free(lapse=True)
        refused: PortsExhausted | None = None
        try:
            ports = self.ledger.reserve(
                uid, names, namespace="ns", name=f"n-{uid}", challenge=challenge, now=self.now
            )
        except LedgerConflict:
            assert set(self.rows[uid].ports) != set(names)
        except PortsExhausted as error:
            assert uid not in self.rows
            refused = error
        else:
            if uid in self.rows:
                assert ports == self.rows[uid].ports
                return
            self.took(ports, names, free)
            self.rows[uid] = Instance(
                uid=uid,
                namespace="ns",
                name=f"n-{uid}",
                challenge=challenge,
                ports=ports,
                created=self.now,
            )
            return
        self.was_refused(refused, names, free)

    @rule(uid=UIDS)
    def release(self, uid: str) -> None:
        self.ledger.release(uid, now=self.now)
        row = self.rows.pop(uid, None)
        self.confirmed -= set(row.ports.values()) if row else set()
        self.subnets.pop(uid, None)
        self.claimed = {slot: owner for slot, owner in self.claimed.items() if owner != uid}

    @rule(uid=UIDS)
    def confirm(self, uid: str) -> None:
        if uid not in self.rows:
            with pytest.raises(InstanceNotFound):
                self.ledger.confirm(uid, now=self.now)
            return
        self.ledger.confirm(uid, now=self.now)
        self.confirmed |= set(self.rows[uid].ports.values())

    @rule(port=PORTS, until=st.none() | st.integers(0, 60))
    def quarantine(self, port: int, until: int | None) -> None:
        known = self.range | self.held() | set(self.aside)
        end = None if until is None else self.now + until
        if port not in known:
            with pytest.raises(LedgerConflict):
                self.ledger.quarantine(port, until=end, reason="test")
            return
        self.ledger.quarantine(port, until=end, reason="test")
        self.aside[port] = end

    @rule(ports=st.lists(PORTS, max_size=6))
    def quarantine_free(self, ports: list[int]) -> None:
        free = set(ports) & self.free(lapse=False)
        assert self.ledger.quarantine_free(ports, until=None, reason="test") == free
        self.aside |= dict.fromkeys(free)

    @rule(ports=st.lists(PORTS, max_size=10))
    def lift(self, ports: list[int]) -> None:
        lifted = set(ports) & set(self.aside)
        assert self.ledger.lift(ports) == lifted
        for port in lifted:
            del self.aside[port]

    @rule(uid=UIDS, name=NAME, put_aside=st.booleans())
    def swap(self, uid: str, name: str, put_aside: bool) -> None:
        row = self.rows.get(uid)
        old = None if row is None else row.ports.get(name)
        reason = "in use" if put_aside else None
        free = self.free(lapse=True)
        until = self.now + 30
        try:
            port = self.ledger.swap(uid, name, now=self.now, until=until, reason=reason)
        except InstanceNotFound:
            assert row is None
        except LedgerConflict:
            assert row is not None
            assert old is None
        except PortsExhausted:
            assert not free
        else:
            assert row is not None
            assert old is not None
            self.took({name: port}, [name], free)
            self.change(uid, ports={**row.ports, name: port})
            self.confirmed.discard(old)
            if put_aside:
                self.aside[old] = until

    @rule(uids=st.lists(UIDS, max_size=5))
    def finalize(self, uids: list[str]) -> None:
        marked = {uid for uid in uids if uid in self.rows and not self.rows[uid].is_finalized}
        assert self.ledger.finalize(uids, now=self.now) == marked
        for uid in marked:
            self.change(uid, is_finalized=True)

    @rule(uid=UIDS)
    def begin_attempt(self, uid: str) -> None:
        if uid not in self.rows:
            with pytest.raises(InstanceNotFound):
                self.ledger.begin_attempt(uid, now=self.now)
            return
        self.ledger.begin_attempt(uid, now=self.now)
        self.change(uid, attempt_started=self.now, is_finalized=False)

    @rule(uid=UIDS, after=st.none() | st.integers(0, 50))
    def set_expiry(self, uid: str, after: int | None) -> None:
        expires = None if after is None else self.now + after
        if uid not in self.rows:
            with pytest.raises(InstanceNotFound):
                self.ledger.set_expiry(uid, expires=expires, now=self.now)
            return
        self.ledger.set_expiry(uid, expires=expires, now=self.now)
        self.change(uid, expires=expires)

    @rule(slot=SLOTS, names=NAMES)
    def add_slot(self, slot: str, names: list[str]) -> None:
        free = self.free(lapse=True)
        known = slot in self.slots or slot in self.claimed
        refused: PortsExhausted | None = None
        try:
            ports = self.ledger.add_slot(
                slot, names, namespace="ns", challenge="web", template="t", now=self.now
            )
        except LedgerConflict:
            assert known
        except PortsExhausted as error:
            assert not known
            refused = error
        else:
            if slot in self.slots:
                assert ports == self.slots[slot]
                return
            assert not known
            self.took(ports, names, free)
            self.slots[slot] = ports
            return
        self.was_refused(refused, names, free)

    @rule(slot=SLOTS, uid=UIDS)
    def claim_slot(self, slot: str, uid: str) -> None:
        try:
            ports = self.ledger.claim_slot(slot, uid, namespace="ns", name="n", now=self.now)
        except LedgerConflict:
            assert slot not in self.slots or uid in self.rows
            assert self.claimed.get(slot) != uid
            return
        if self.claimed.get(slot) == uid:
            assert ports == self.rows[uid].ports
            return
        assert ports == self.slots.pop(slot)
        self.claimed[slot] = uid
        self.confirmed |= set(ports.values())
        self.rows[uid] = Instance(uid=uid, namespace="ns", name="n", ports=ports, created=self.now)

    @rule(slot=SLOTS)
    def drop_slot(self, slot: str) -> None:
        self.ledger.drop_slot(slot, now=self.now)
        self.slots.pop(slot, None)
        self.claimed.pop(slot, None)

    @rule(uid=UIDS, prefix=st.integers(28, 30))
    def allocate_subnet(self, uid: str, prefix: int) -> None:
        others = [subnet for owner, subnet in self.subnets.items() if owner != uid]
        free = {
            candidate
            for candidate in POOL.subnets(new_prefix=prefix)
            if not any(candidate.overlaps(other) for other in others)
        }
        try:
            subnet = self.ledger.allocate_subnet(uid, pool=POOL, prefix=prefix, now=self.now)
        except LedgerConflict:
            assert self.subnets[uid].prefixlen != prefix
        except SubnetsExhausted:
            assert uid not in self.subnets
            assert not free
        else:
            assert self.subnets.setdefault(uid, subnet) == subnet
            assert subnet in free

    @rule(uid=UIDS)
    def free_subnet(self, uid: str) -> None:
        self.ledger.free_subnet(uid, now=self.now)
        self.subnets.pop(uid, None)

    @rule(uid=UIDS, ports=st.dictionaries(NAME, PORTS, max_size=3))
    def restore(self, uid: str, ports: dict[str, int]) -> None:
        found = Instance(uid=uid, namespace="ns", name="n", ports=ports, is_finalized=True)
        problems = self.ledger.restore([found], now=self.now)
        taken = set(ports.values()) & self.held()
        if uid in self.rows:
            assert bool(problems) == (self.rows[uid].ports != ports)
        elif problems:
            assert taken or len(set(ports.values())) < len(ports)
        else:
            assert not taken
            self.change_to_restored(uid, found)

    def change_to_restored(self, uid: str, found: Instance) -> None:
        self.rows[uid] = found
        self.change(uid, created=self.now)
        self.confirmed |= set(found.ports.values())
        for port in found.ports.values():
            self.aside.pop(port, None)

    @rule(ports=st.sampled_from(RANGES))
    def open_with_another_range(self, ports: range) -> None:
        self.ledger.close()
        self.range = set(ports)
        self.ledger = self.open()
        assert not self.ledger.is_new

    # What must be true after each of them

    @invariant()
    def the_rows_agree(self) -> None:
        assert self.ledger.check() == []
        assert {row.uid: row for row in self.ledger.instances()} == self.rows
        warm = {slot.slot: dict(slot.ports) for slot in self.ledger.slots() if not slot.instance}
        assert warm == self.slots
        assert {s.slot: s.instance for s in self.ledger.slots() if s.instance} == self.claimed
        assert {held.owner: held.subnet for held in self.ledger.subnets()} == self.subnets

    @invariant()
    def the_counts_agree(self) -> None:
        assert {a.port: a.until for a in self.ledger.quarantined()} == self.aside
        held = self.held() - set(self.aside)
        assert self.ledger.usage() == Usage(
            free=len(self.free(lapse=False)),
            reserved=len(held - self.confirmed),
            confirmed=len(held & self.confirmed),
            quarantined=len(self.aside),
        )

    @invariant()
    def the_lists_agree(self) -> None:
        rows = self.rows.values()
        unfinalized = {
            row.uid
            for row in rows
            if not row.is_finalized and (row.attempt_started or self.now) < self.now
        }
        found = self.ledger.unfinalized(attempt_before=self.now)
        assert {row.uid for row in found} == unfinalized
        expired = {row.uid for row in rows if row.expires is not None and row.expires <= self.now}
        assert {row.uid for row in self.ledger.expired(self.now)} == expired
        assert {row.uid for row in self.ledger.instances(["web"])} == {
            row.uid for row in rows if row.challenge == "web"
        }


def test_the_ledger_does_what_the_model_does() -> None:
    compare(EXAMPLES)


def compare(examples: int) -> None:
    """Run so many examples."""
    print(f"LEDGER_SEED={SEED}")
    run_state_machine_as_test(
        seed(SEED)(LedgerAndModel),
        settings=settings(
            max_examples=examples,
            stateful_step_count=100,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
