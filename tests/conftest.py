"""Settings of all tests; how their modules are shared out, and how a run is interrupted."""

import gc
import signal
from collections import Counter
from types import FrameType

import pytest
from hypothesis import settings

# Where helpers assert: what they compared is shown, as of a test.
pytest.register_assert_rewrite("tests.helm", "tests.integration", "tests.nodes", "tests.faults")

# To look through a million objects again and again while they are imported takes a sixth of that.
gc.disable()

# A failing example prints what repeats it; a machine that is busy with other work fails no test.
settings.register_profile("project", print_blob=True, deadline=None)
settings.load_profile("project")

QUICK = ("tests/integration/api/", "tests/integration/rights/")
"""Tests on an API server alone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--part 1/2``: only the first of two shares of the modules, for two processes."""
    parser.addoption("--part", default="1/1", help="K/N: only the K-th of N shares of the modules")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the share that was asked for."""
    number, _, parts = config.getoption("part").partition("/")
    mine = share(Counter(_module(item) for item in items), int(number), int(parts))
    config.hook.pytest_deselected(items=[item for item in items if _module(item) not in mine])
    items[:] = [item for item in items if _module(item) in mine]


def share(tests: Counter[str], number: int, parts: int) -> set[str]:
    """The modules of one of so many shares, about as long as the others.

    ``tests`` counts each module's tests. One that needs an engine takes about ten times as long.
    """
    weights = {name: count * (1 if name.startswith(QUICK) else 10) for name, count in tests.items()}
    shares: list[set[str]] = [set() for _ in range(parts)]
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        min(shares, key=lambda taken: sum(weights[each] for each in taken)).add(name)
    return shares[number - 1]


def _module(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Collect garbage from here on, but for what was imported: that is there to the end."""
    gc.freeze()
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Have SIGTERM end the run as Ctrl-C does, with all fixtures torn down."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
