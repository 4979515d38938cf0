"""The firewall beside others that change the same tables, dockerd above all."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from controller.runtime import firewall, rules
from controller.runtime.firewall import Firewall, FirewallFault
from controller.runtime.rules import Policy

POLICY = Policy("here")
JUMP = "-A FORWARD -j DOCKER-USER"
FIRST = "-A FORWARD -o br-new -j DOCKER"
Table = dict[str, list[str]]


def a_filter() -> Table:
    """The filter table as dockerd leaves it."""
    return {"INPUT": [], "FORWARD": [JUMP], "DOCKER-USER": ["-A DOCKER-USER -j RETURN"]}


@dataclass
class Kernel:
    """Stands in for iptables-save and iptables-restore of the first variant.

    `meanwhile` is done by somebody else after each of the two.
    """

    tables: dict[str, Table] = field(
        default_factory=lambda: {"filter": a_filter(), "raw": {"PREROUTING": []}}
    )
    meanwhile: Callable[[], None] = lambda: None
    refused: int = 0

    def run(self, command: list[str], program: str, stdin: str = "") -> str:
        """As the firewall calls it; a table is changed as a whole or not at all."""
        if "-save" in command[0]:
            said = self._show(command[2])
            self.meanwhile()
            return said
        for part in stdin.split("COMMIT\n")[:-1]:
            name, *lines = part.splitlines()
            changed = {chain: list(held) for chain, held in self.tables[name[1:]].items()}
            for number, line in enumerate(lines, 2):
                try:
                    change(changed, line)
                except ValueError:
                    self.refused += 1
                    raise FirewallFault(f"{program}: line {number} failed: Bad rule") from None
            self.tables[name[1:]] = changed
        self.meanwhile()
        return ""

    def _show(self, name: str) -> str:
        table = self.tables[name]
        chains = [f":{chain} - [0:0]" for chain in table]
        return "\n".join([*chains, *(rule for held in table.values() for rule in held)])


def change(table: Table, line: str) -> None:
    """One line of iptables-restore. Raises ValueError for a rule that is not there."""
    words = line.split()
    if line.startswith(":"):
        table[words[0][1:]] = []
    elif words[0] == "-X":
        del table[words[1]]
    elif words[0] == "-F":
        table[words[1]] = []
    else:
        rule = line.replace(words[0], "-A", 1)
        if words[0] == "-A":
            table[words[1]].append(rule)
        elif words[0] == "-I":
            table[words[1]].insert(0, rule)
        else:
            table[words[1]].remove(rule)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A kernel with Docker's chains and no IPv6; pauses take no time."""
    made = Kernel()
    monkeypatch.setattr(firewall, "_run", made.run)
    monkeypatch.setattr(firewall, "_installed", lambda programs: [next(iter(programs))])
    monkeypatch.setattr(firewall, "_HAS_IPV6", firewall._HAS_IPV6 / "not-there")
    monkeypatch.setattr(firewall, "_PAUSES", (0, 0, 0, 0))
    return made


async def test_dockers_jump_that_goes_while_it_is_moved_is_no_fault(kernel: Kernel) -> None:
    wall = Firewall(POLICY.installation)
    assert await wall.ensure(POLICY)
    forward = kernel.tables["filter"]["FORWARD"]
    # As dockerd makes a network: its rules for the bridge first, then its own jump goes …
    forward.insert(0, FIRST)
    reads = 0

    def move() -> None:
        nonlocal reads
        reads += 1
        if reads == 2:  # both tables were read with the jump in its place
            kernel.tables["filter"]["FORWARD"] = [FIRST]
        elif reads == 4:  # … and comes first again.
            kernel.tables["filter"]["FORWARD"] = [JUMP, FIRST]

    kernel.meanwhile = move
    assert await wall.ensure(POLICY)
    assert kernel.refused == 1
    kernel.meanwhile = lambda: None
    while kernel.tables["filter"]["FORWARD"].count(JUMP) > 1:  # one of dockerd's
        kernel.tables["filter"]["FORWARD"].remove(JUMP)
    assert kernel.tables["filter"]["FORWARD"] == [JUMP, FIRST]
    assert not await wall.ensure(POLICY)


async def test_rules_that_somebody_takes_out_each_time_are_a_fault_in_the_end(
    kernel: Kernel,
) -> None:
    name = rules.names(POLICY.installation)["INPUT"]

    def empty() -> None:
        kernel.tables["filter"].pop(name, None)

    kernel.meanwhile = empty
    with pytest.raises(FirewallFault, match="another program changes the firewall of this host"):
        await Firewall(POLICY.installation).ensure(POLICY)


async def test_a_jump_that_goes_just_after_it_went_in_is_put_back(kernel: Kernel) -> None:
    name, done = rules.names(POLICY.installation)["FORWARD"], 0

    def unhook() -> None:
        nonlocal done
        done += 1
        if done == 4:  # the rules have gone in, and have not been looked at yet
            kernel.tables["filter"]["DOCKER-USER"] = ["-A DOCKER-USER -j RETURN"]

    kernel.meanwhile = unhook
    assert await Firewall(POLICY.installation).ensure(POLICY)
    assert [name in rule for rule in kernel.tables["filter"]["DOCKER-USER"]] == [True, False]


async def test_a_removal_that_meets_dockerd_is_done_all_the_same(kernel: Kernel) -> None:
    wall = Firewall(POLICY.installation)
    assert await wall.ensure(POLICY)
    held, name = kernel.tables["filter"], rules.names(POLICY.installation)["FORWARD"]

    def taken() -> None:
        # Somebody else takes the jump out between the look and the change, once.
        held["DOCKER-USER"] = [rule for rule in held["DOCKER-USER"] if name not in rule]

    kernel.meanwhile = taken
    assert await wall.remove()
    assert kernel.refused == 1
    assert kernel.tables == {"filter": a_filter(), "raw": {"PREROUTING": []}}
    assert not await wall.remove()
