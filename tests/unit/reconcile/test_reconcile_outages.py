"""Whose doing an end was: the engine's within an outage, the container's own at any other time."""

from controller.ledger import Ledger
from controller.reconcile.outages import SHUTDOWN, Outages

BOOT, OTHER_BOOT = "boot-1/bridge-1", "boot-2/bridge-2"
RESTARTED = "boot-1/bridge-2"


class Host:
    """An agent's view of its engine, with a clock that a test sets."""

    def __init__(self, ledger: Ledger) -> None:
        self.ms = 1_000_000
        self.ledger = ledger
        self.outages = Outages(ledger, lambda: self.ms)

    def new_agent(self) -> None:
        """The agent is started again and remembers only what the ledger has."""
        self.outages = Outages(self.ledger, lambda: self.ms)


async def test_the_first_look_excuses_nothing(ledger: Ledger) -> None:
    host = Host(ledger)
    await host.outages.reached(BOOT, was_away=True)
    assert not host.outages.caused(host.ms)
    assert not host.outages.caused(None)


async def test_what_ended_between_the_last_sign_of_one_run_and_the_next_is_excused(
    ledger: Ledger,
) -> None:
    host = Host(ledger)
    await host.outages.reached(BOOT, was_away=False)
    host.ms += 60_000
    await host.outages.seen()
    last = host.ms
    host.ms += 30_000
    await host.outages.reached(RESTARTED, was_away=True)
    assert host.outages.caused(last)
    assert host.outages.caused(last - SHUTDOWN), "it ends containers before it is gone itself"
    assert not host.outages.caused(last - SHUTDOWN - 1)
    assert host.outages.caused(host.ms)
    assert not host.outages.caused(host.ms + 1)


async def test_an_engine_that_was_only_silent_excuses_nothing(ledger: Ledger) -> None:
    """It hung, or it kept its containers over its restart (live-restore)."""
    host = Host(ledger)
    await host.outages.reached(BOOT, was_away=False)
    host.ms += 30_000
    await host.outages.reached(BOOT, was_away=True)
    assert not host.outages.caused(host.ms - 1_000)


async def test_an_agent_that_was_away_itself_knows_of_a_reboot_and_of_no_other_end(
    ledger: Ledger,
) -> None:
    host = Host(ledger)
    await host.outages.reached(BOOT, was_away=False)
    host.ms += 600_000
    host.new_agent()
    await host.outages.reached(BOOT, was_away=False)
    assert not host.outages.caused(host.ms - 300_000), "it ended by itself, unseen"
    host.ms += 600_000
    host.new_agent()
    await host.outages.reached(OTHER_BOOT, was_away=False)
    assert host.outages.caused(host.ms - 300_000)
    host.new_agent()
    await host.outages.reached(OTHER_BOOT, was_away=False)
    assert host.outages.caused(host.ms - 300_000), "not all may have been started again yet"


async def test_where_the_run_does_not_tell_an_engine_that_was_lost_counts_as_restarted(
    ledger: Ledger,
) -> None:
    host = Host(ledger)
    await host.outages.reached("boot-1/", was_away=False)
    host.ms += 5_000
    await host.outages.reached("boot-1/", was_away=False)
    assert not host.outages.caused(host.ms)
    await host.outages.reached("boot-1/", was_away=True)
    assert host.outages.caused(host.ms)
