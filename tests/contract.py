"""The suites that an implementation inherits: a channel's, a ledger's, a sheet's. Each lives in a file of its own."""

from __future__ import annotations

from tests.contract_channel import ChannelContract, Counter, Receiver
from tests.contract_ledger import LedgerContract
from tests.contract_sheet import SheetContract

__all__ = ["ChannelContract", "Counter", "LedgerContract", "Receiver", "SheetContract"]
