"""The ledger: one recorded fact a row, in the order of learning, and all else that must survive a restart.

`Ledger.open(url)` gives the one object; `ledger.begin()` one write transaction, `ledger.read()` one consistent
snapshot. SQLite (a file) and PostgreSQL behave alike: one transaction writes at a time, so whatever a transaction reads
stays true until it commits.
"""

from sheets_sync.ledger.store import LEASE_TTL, Ledger, utcnow
from sheets_sync.ledger.tx import Tx
from sheets_sync.ledger.view import View

__all__ = ["LEASE_TTL", "Ledger", "Tx", "View", "utcnow"]
