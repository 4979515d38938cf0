"""Whatever copy of a ledger an agent starts with, no port is given to two instances that run.

Random lives of instances with crashes between their steps, copies of the ledger taken and put back,
and files lost or spoiled; after each the start compares the ledger with what runs. LEDGER_SEED
repeats a run, LEDGER_EXAMPLES (default 2) makes it longer; 40 steps an example. `hack/test faults`
takes many more.
"""

import contextlib
import os
import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from controller.ledger import Instance, Ledger, PortsExhausted
from controller.reconcile import comparison
from controller.runtime.containers import ContainerState, PortBinding

SEED = int(os.environ.get("LEDGER_SEED", random.randrange(2**32)))
EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "2"))

PORTS = "10000-10005"
UIDS = st.sampled_from([f"u{number}" for number in range(6)])
INNER = {"http": 8080, "nc": 9000}
NAMES = {("c", port, "tcp"): name for name, port in INNER.items()}


@dataclass
class Container:
    """One container of an instance, which keeps the ports that it was made with."""

    ports: dict[str, int]
    is_running: bool = True

    def listed(self, uid: str) -> ContainerState:
        """As the engine's list has it: no ports of one that does not run."""
        bindings = [PortBinding(INNER[name], "tcp", port, "") for name, port in self.ports.items()]
        return ContainerState(
            id=uid,
            name=uid,
            container="c",
            uid=uid,
            template_hash="",
            state="running" if self.is_running else "exited",
            image_id="",
            bindings=tuple(bindings) if self.is_running else (),
        )


class OldLedgers(RuleBasedStateMachine):
    """One node: its objects, its engine, its ledger, and copies of that from before."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="old-ledgers-"))
        self.path = self.folder / "ledger.db"
        self.copies: list[bytes] = []
        self.objects: set[str] = set()
        self.engine: dict[str, Container] = {}
        self.ledger = self.open()

    def open(self) -> Ledger:
        return Ledger.open(self.path, PORTS, seed=SEED, synchronous="OFF", sole_writer=True)

    def teardown(self) -> None:
        self.ledger.close()
        shutil.rmtree(self.folder)

    def ports_in_use(self) -> list[int]:
        return [
            port for each in self.engine.values() if each.is_running for port in each.ports.values()
        ]

    def start(self) -> None:
        """What an agent does when it starts: the ledger is put right, then orphans go."""
        self.ledger = self.open()
        listed = {uid: [each.listed(uid)] for uid, each in self.engine.items()}
        rows = {row.uid: row for row in self.ledger.instances()}
        found = {
            uid: Instance(uid=uid, namespace="ns", name=uid, ports=self.engine[uid].ports)
            for uid in listed
            if uid in self.objects and not comparison.is_booked(rows.get(uid), listed[uid], NAMES)
        }
        wrong = comparison.wrong_rows(rows, found, comparison.running(listed))
        self.ledger.restore(list(found.values()), now=1, instead_of=sorted(wrong))
        for uid in (rows.keys() | listed.keys()) - self.objects:
            self.engine.pop(uid, None)
            self.ledger.release(uid, now=1)

    # Lives, each of which may be cut off after any of its steps

    @rule(uid=UIDS, crash=st.integers(0, 6))
    def launch(self, uid: str, crash: int) -> None:
        self.objects.add(uid)
        if uid in self.engine:
            return
        try:
            ports = self.ledger.reserve(uid, INNER, namespace="ns", name=uid, now=1)
        except PortsExhausted:
            return
        if crash == 1:
            self.kill()
            return
        assert not set(ports.values()) & set(self.ports_in_use()), "given away while in use"
        self.engine[uid] = Container(ports)
        if crash == 2:
            self.kill()
            return
        self.ledger.confirm(uid, now=1)

    @rule(uid=UIDS, crash=st.integers(0, 6))
    def remove(self, uid: str, crash: int) -> None:
        self.engine.pop(uid, None)
        if crash == 1:
            self.kill()
            return
        self.ledger.release(uid, now=1)
        if crash == 2:
            self.kill()
            return
        self.objects.discard(uid)

    @rule(uid=UIDS)
    def an_object_vanishes_while_nobody_watches(self, uid: str) -> None:
        self.objects.discard(uid)
        self.kill()

    @rule(uid=UIDS)
    def a_container_ends(self, uid: str) -> None:
        if uid in self.engine:
            self.engine[uid].is_running = False

    @rule(uid=UIDS)
    def a_container_is_started_again(self, uid: str) -> None:
        ended = self.engine.get(uid)
        if ended is None or ended.is_running:
            return
        if set(ended.ports.values()) & set(self.ports_in_use()):
            del self.engine[uid]  # the engine refuses, and it is made anew
            self.ledger.release(uid, now=1)
        else:
            ended.is_running = True

    # What happens to the file

    @rule()
    def a_copy_is_taken(self) -> None:
        self.ledger.close()
        self.copies.append(self.path.read_bytes())
        self.ledger = self.open()

    @rule(gone=st.sets(UIDS, max_size=3), new=st.lists(UIDS, max_size=3))
    def a_copy_is_put_back_from_before(self, gone: set[str], new: list[str]) -> None:
        """The dangerous one: with rows of who has gone, on ports that others have by now."""
        self.a_copy_is_taken()
        for uid in sorted(gone):
            self.remove(uid, crash=0)
        for uid in new:
            self.launch(uid, crash=0)
        self.ledger.close()
        self.path.write_bytes(self.copies[-1])
        self.start()

    @rule()
    def kill(self) -> None:
        self.ledger.close()
        self.start()

    @rule(data=st.data())
    def a_copy_is_put_back(self, data: st.DataObject) -> None:
        self.ledger.close()
        if self.copies:
            self.path.write_bytes(data.draw(st.sampled_from(self.copies)))
        self.start()

    @rule(content=st.sampled_from([None, b"", b"no ledger" * 1000]))
    def the_file_is_lost(self, content: bytes | None) -> None:
        self.ledger.close()
        self.path.unlink()
        if content is not None:
            self.path.write_bytes(content)
        self.start()

    @rule()
    def the_file_is_taken_away_while_it_is_open(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.ledger.put_back()

    # What must be true after each of them

    @invariant()
    def no_port_has_two(self) -> None:
        ports = self.ports_in_use()
        assert len(ports) == len(set(ports))
        assert self.ledger.check() == []

    @invariant()
    def who_runs_is_booked_on_its_ports(self) -> None:
        for uid, each in self.engine.items():
            if uid in self.objects and each.is_running:
                row = self.ledger.get(uid)
                assert row is not None
                assert row.ports == each.ports


def test_no_port_is_given_to_two_that_run_whatever_ledger_an_agent_starts_with() -> None:
    live(EXAMPLES)


def live(examples: int) -> None:
    """Run so many examples."""
    print(f"LEDGER_SEED={SEED}")
    run_state_machine_as_test(
        seed(SEED)(OldLedgers),
        settings=settings(
            phases=[Phase.generate],  # to make a long story short takes minutes
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
