"""What the shops would be sent if what is held were approved, as a dry run tells it.

The changes are booked on the copy of the ledger that a dry run throws away, one hold after the other, so that kits,
packs and what is kept back are reckoned with as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sheets_sync import masses, offers, review
from sheets_sync.desk import Books, Desk, Shelf
from sheets_sync.ledger import Tx
from sheets_sync.model import Fact, Kind, Listing, Question, Stock

WORDS = frozenset({"approve", "record it"})


@dataclass(frozen=True)
class Would:
    """One listing that would show another figure."""

    hold: Question
    listing: Listing
    before: int | None
    after: int


def would(desk: Desk) -> list[Would]:
    """For each open hold, what approving it would push. The desk's ledger is written, so it must be a copy."""
    with desk.ledger.read() as view:
        holds = [q for q in view.questions() if WORDS & {answer.word for answer in review.offered(q)}]
    return [one for hold in holds for one in _of(desk, hold)]


def _of(desk: Desk, hold: Question) -> Iterator[Would]:
    changes = _changes(hold)
    before = _figures(desk)
    with desk.ledger.begin() as tx:
        _book(tx, desk, hold, changes)
    after = _figures(desk)
    for key, (item, figure) in after.items():
        was = before[key][1]
        if figure is not None and figure != was:
            yield Would(hold, item, was, figure)


def _changes(hold: Question) -> dict[str, int]:
    rows = masses.rows_of(hold)
    if rows:
        return {row.sku: (row.typed or 0) - row.tag for row in rows}
    if type(hold.typed) is int and type(hold.tag) is int:
        return {hold.sku: hold.typed - hold.tag}
    return {}


def _book(tx: Tx, desk: Desk, hold: Question, changes: dict[str, int]) -> None:
    known = {key.sku for key, balance in tx.balances(changes).items() if balance.counted}
    tx.append(
        Fact(f"would:{hold.key}:{sku}", sku, Kind.ADJUSTMENT, desk.clock(), Stock(on_hand=units), source="plan")
        for sku, units in changes.items() if sku in known
    )  # fmt: skip


def _figures(desk: Desk) -> dict[tuple[str, object], tuple[Listing, int | None]]:
    """What each listing that we push should show."""
    books, out = Books(), dict[tuple[str, object], tuple[Listing, int | None]]()
    with desk.ledger.read() as view:
        books.refresh(view)
        for name in desk.settings.channels:
            shelf = Shelf()
            shelf.refresh(view, name)
            for ref, item in shelf.listings.items():
                if item.pushable:
                    out[name, ref] = item, offers.offer(desk.available(books, item), item)
    return out
