"""S9: a SKU with a new name, and one that is sold no more. In the caller's transaction.

Events are never changed, so the past stays under the old name; balance, open commitments and listings go to the new
one, and each says what the other is called.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sheets_sync import booking
from sheets_sync.desk import ARCHIVED, KITS, ROWS, Desk, kits_of
from sheets_sync.errors import BadInput
from sheets_sync.ledger import Tx
from sheets_sync.model import MAIN, Event, Fact, Kind, Stock
from sheets_sync.places import placed


def rename(tx: Tx, desk: Desk, old: str, new: str, *, actor: str = "") -> list[Event]:
    """Move what `old` has, owes and is listed as to `new`. Raises BadInput where `new` has a count of its own."""
    balances = tx.balances([old, new])
    had = {key.location: b.stock for key, b in balances.items() if key.sku == old and b.counted}
    if not had:
        raise BadInput(f"{old} has no count that {new} could take over.")
    if any(b.counted for key, b in balances.items() if key.sku == new):
        raise BadInput(f"{new} has a count of its own; it can't be the new name of {old}.")
    events: list[Event] = []
    for line in tx.lines(skus=[old]):
        events += booking.settle(tx, desk, replace(line, sku=new), old=line, actor=actor)
    at = desk.clock()
    # The new name's count takes the time of the old one's, so that what orders moved since lies after it, as before.
    counted_at = booking.last_count(tx)(old) or at
    moved = [one for line in tx.lines(skus=[new]) for one in placed(line).items()]
    for location, stock in had.items():
        since = sum(m.on_hand for (place, _, moved_at), m in moved if place == location and moved_at > counted_at)
        common = Fact(
            key=f"rename:{old}:{new}:{at.isoformat()}" + (f":{location}" if location != MAIN else ""),
            sku=new,
            kind=Kind.OPENING,
            occurred_at=counted_at,
            count=stock.on_hand - since,
            location=location,
            source="review",
            actor=actor,
            reference=f"new name of {old}",
            batch=f"rename-{at.isoformat()}",
        )
        events += tx.append([common, *_rest(common, old, new, stock, at)])
    tx.put_listings(replace(item, sku=new) for item in tx.listings(skus=[old]))
    made_of = kits_of(tx)
    if made_of:
        tx.put(KITS, {kit: {new if c == old else c: n for c, n in parts.items()} for kit, parts in made_of.items()})
    tx.put(ROWS, sorted({*tx.get(ROWS, ()), new} - {old}))
    tx.put(ARCHIVED, sorted({*tx.get(ARCHIVED, ()), old}))
    return events


def archive(tx: Tx, sku: str) -> None:
    """Offer `sku` nowhere, and do not miss its row. Its history stays; a row with its name brings it back."""
    tx.put_listings(replace(item, most=0) for item in tx.listings(skus=[sku]))
    tx.put(ROWS, [name for name in tx.get(ROWS, ()) if name != sku])
    tx.put(ARCHIVED, sorted({*tx.get(ARCHIVED, ()), sku}))


def _rest(common: Fact, old: str, new: str, had: Stock, at: datetime) -> list[Fact]:
    """The old name is emptied; damaged units go along."""
    emptied = replace(
        common, key=f"{common.key}:old", sku=old, kind=Kind.STOCK_TAKE, occurred_at=at, count=0,
        reference=f"now called {new}",
    )  # fmt: skip
    if not had.damaged:
        return [emptied]
    units = Stock(damaged=had.damaged)
    there = replace(
        common, key=f"{common.key}:damaged", kind=Kind.ADJUSTMENT, occurred_at=at, count=None, change=units
    )  # fmt: skip
    gone = replace(there, key=f"{emptied.key}:damaged", sku=old, change=Stock(damaged=-had.damaged))
    return [emptied, there, replace(gone, reference=emptied.reference)]
