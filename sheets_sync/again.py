"""After a cancellation the absolute figure is written again, whatever a look shows (DESIGN.md, Pushing).

Where a channel applies a write later than it accepts it, what it shows may run behind as well: a figure that looks
right may be the one from before the sale, and nobody would write. So the listing is kept in mind, in the transaction
that books the cancellation, until a write of it was taken. It is a raise like any other: behind the orders, and not
while it is paused. Where writes are applied at once, so are reads, and looking is enough.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

from sheets_sync.channels import Channel
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Listing


def _key(channel: str) -> str:
    return f"push_again:{channel}"


def wanted(view: View, channel: str) -> dict[str, datetime]:
    """When a cancellation was booked last, by `Ref.listing`, of those whose figure was not written since."""
    kept: Mapping[str, str] = view.get(_key(channel)) or {}
    return {listing: datetime.fromisoformat(at) for listing, at in kept.items()}


def note(tx: Tx, channel: Channel, listings: Iterable[Listing], now: datetime) -> None:
    """Of these a cancellation, an edit or a refund was booked."""
    new = {item.ref.listing: now.isoformat() for item in listings}
    if new and channel.capabilities.asynchronous:
        tx.put(_key(channel.name), {**(tx.get(_key(channel.name)) or {}), **new})


def written(tx: Tx, channel: str, listings: Collection[str], sent_at: datetime) -> None:
    """A write of these was taken, or refused for good; what was booked since it was sent stays in mind."""
    kept = wanted(tx, channel)
    left = {one: at.isoformat() for one, at in kept.items() if one not in listings or at > sent_at}
    if len(left) < len(kept):
        tx.put(_key(channel), left or None)
