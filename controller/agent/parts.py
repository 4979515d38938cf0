"""Parts of an agent, made as its settings say; nothing of them is at work yet."""

from collections.abc import Callable

from controller.ledger import Ledger
from controller.reconcile.gate import Gate
from controller.reconcile.metrics import LaunchMetrics
from controller.runtime.engine import Engine
from controller.runtime.images import Images
from controller.settings import Settings


def ledger(settings: Settings) -> Ledger:
    """The node's ledger, opened; raises LedgerError."""
    return Ledger.open(
        settings.state_dir / "ledger.db",
        settings.port_range,
        busy_timeout=settings.ledger_busy_timeout,
        wal=settings.ledger_wal,
        synchronous=settings.ledger_synchronous,
        sole_writer=True,
    )


def images(settings: Settings, engine: Engine) -> Images:
    """The engine's images."""
    return Images(
        engine,
        concurrent_pulls=settings.concurrent_pulls,
        stall_timeout=settings.pull_stall_timeout,
    )


def gate(
    settings: Settings, engine: Engine, wake: Callable[[str], bool], metrics: LaunchMetrics
) -> Gate:
    """The launch gate; ``wake`` is called with the uid whose turn it is."""
    return Gate(
        settings.launches,
        wake,
        unanswered=lambda: engine.unanswered,
        call_up=wake,
        observer=metrics,
    )
