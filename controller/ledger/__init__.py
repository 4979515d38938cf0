"""A node's book: which instance holds which host port, subnet and warm slot.

Responsible for what must never collide or leak on one node, in one SQLite file. It knows neither
Docker nor the API server.
"""

from controller.ledger.errors import (
    InstanceNotFound,
    LedgerConflict,
    LedgerCorrupt,
    LedgerError,
    LedgerLost,
    LedgerUnavailable,
    PortsExhausted,
    SubnetsExhausted,
)
from controller.ledger.ledger import Ledger
from controller.ledger.reader import LedgerReader
from controller.ledger.records import (
    Instance,
    PortTotals,
    Problem,
    Quarantine,
    Slot,
    Subnet,
    Totals,
    Usage,
)
from controller.ledger.watch import Loss

__all__ = [
    "Instance",
    "InstanceNotFound",
    "Ledger",
    "LedgerConflict",
    "LedgerCorrupt",
    "LedgerError",
    "LedgerLost",
    "LedgerReader",
    "LedgerUnavailable",
    "Loss",
    "PortTotals",
    "PortsExhausted",
    "Problem",
    "Quarantine",
    "Slot",
    "Subnet",
    "SubnetsExhausted",
    "Totals",
    "Usage",
]
