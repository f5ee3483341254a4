"""`reasons_to_raise(view, since)`: when something was last recorded of a SKU that lets more of it be offered (P4).

A kit has no events of its own: its reason is the last of its components'.
"""

from __future__ import annotations

from datetime import datetime
from itertools import takewhile

from sheets_sync.desk import kits_of
from sheets_sync.ledger import View
from sheets_sync.model import Event

FIRST = 500
"""Events read at first; four times as many as long as they do not reach back far enough."""


def reasons_to_raise(view: View, since: datetime) -> dict[str, datetime]:
    """By SKU, as far back as `since`."""
    found: dict[str, datetime] = {}
    for event in _recorded(view, since):
        if event.change.available > 0:
            found.setdefault(event.fact.sku, event.recorded_at)
    for kit, components in kits_of(view).items():
        known = [found[sku] for sku in components if sku in found]
        if known:
            found[kit] = max(known)
    return found


def _recorded(view: View, since: datetime) -> list[Event]:
    """What was recorded since, the newest first."""
    limit = FIRST
    while True:
        events = view.events(newest_first=True, limit=limit)
        new = list(takewhile(lambda event: event.recorded_at >= since, events))
        if len(new) < len(events) or len(events) < limit:
            return new
        limit *= 4
