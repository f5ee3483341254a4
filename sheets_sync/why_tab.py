"""The tab Why: type a SKU in its second row, and beside it stands why its figures are what they are.

The same as `sheets-sync why`: the sum in words, what led to an oversell, what is asked, and the statement with its
running balances, newest first. It follows what happens while the SKU stands there. It is in the workbook, so whoever
may see the counts may see it, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import zip_longest
from zoneinfo import ZoneInfo

from sheets_sync import pages, review, showing, statement, views
from sheets_sync.desk import Desk
from sheets_sync.ledger import View
from sheets_sync.model import Cell, Event, Layout
from sheets_sync.pages import Changes
from sheets_sync.sheet import tabs

EVERY = timedelta(seconds=20)
MOST = 200
"""Events that are shown, the newest; `sheets-sync why` shows all."""

Line = dict[str, Cell]


@dataclass
class Seen:
    """What one driver of a sheet keeps of the tab between two passes."""

    next_at: datetime | None = None
    shown: list[Line] | None = None
    made_of: object = None  # what it was worked out of


def take(desk: Desk, tops: pages.Tops, seen: Seen, layout: Callable[[], Layout]) -> Changes:
    """Answer what is typed there, when it is due."""
    now = desk.clock()
    if seen.next_at is not None and now < seen.next_at:
        return Changes()
    seen.next_at = now + EVERY
    header, first = tops.of(tabs.WHY)
    sku = first.get(tabs.SKU)
    with desk.ledger.read() as view:
        made_of = sku, view.last_event_id(), tuple(q.key for q in view.questions(sku=str(sku)))
        if made_of == seen.made_of:
            return Changes()
        lines = list(_lines(desk, view, sku, showing.zone_of(layout()))) if sku is not None else []
    seen.made_of = made_of
    stands = seen.shown if seen.shown is not None else ([] if first.get(tabs.IN_WORDS) is None else None)
    if lines == stands:
        return Changes()
    seen.shown = lines
    tab = layout().tabs[tabs.WHY]
    return Changes(tuple(pages.block(lines, tabs.WHY_LINE, header, tab.id, 1, min(tab.rows - 1, MOST + 1))))


def _lines(desk: Desk, view: View, sku: Cell, zone: ZoneInfo) -> Iterator[Line]:
    """Sentences in one column, and the statement beside them."""
    events = view.events(sku=sku) if isinstance(sku, str) else []
    if not events:
        yield {tabs.IN_WORDS: f"Nothing is recorded of {sku} yet. A SKU is text, written just so, zeros included."}
        return

    def tell(at: datetime) -> str:
        return f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S}"

    words, rows, called = list[str](), list[statement.Row](), desk.settings.locations.by_title
    by_place: dict[str, list[Event]] = {}
    for event in statement.titled(events, desk.titles):
        by_place.setdefault(event.fact.location, []).append(event)
    for place, mine in by_place.items():
        said, sold_out = statement.statement(mine), statement.oversell(mine)
        words += [f"At {called.get(place, place)}:"] if len(by_place) > 1 else []
        words += [*said.sentences(tell), *(sold_out.sentences(tell) if sold_out else ())]
        rows += said.rows
    words += [f"Asked, and not in these figures: {review.seen(q)}" for q in view.questions(sku=str(sku))]
    words.append(f"On hand over `sheets-sync ledger export`, imported as text: {statement.formula(str(sku))}")
    rows.sort(key=lambda row: row.event.id, reverse=True)
    for sentence, row in zip_longest(words[:MOST], rows[:MOST]):
        yield {tabs.IN_WORDS: sentence} | (_cells(row, zone) if row else {})
    if len(rows) > MOST:
        yield {tabs.EVENT: f"{len(rows) - MOST} older ones: sheets-sync why {sku}"}


def _cells(row: statement.Row, zone: ZoneInfo) -> Line:
    event, fact = row.event, row.event.fact
    why: Sequence[str] = (fact.source, fact.reference, fact.reason, fact.note)
    return {
        tabs.EVENT: event.id,
        tabs.WHEN: views.serial(fact.occurred_at, zone),
        tabs.WHAT: views.WORDS[fact.kind],
        tabs.ON_HAND_CHANGE: event.change.on_hand,
        tabs.ON_HAND: event.balance.on_hand,
        tabs.COMMITTED_CHANGE: event.change.committed,
        tabs.COMMITTED: event.balance.committed,
        tabs.AVAILABLE: event.balance.available,
        tabs.CAME_FROM: ", ".join(filter(None, why)) or None,
        tabs.TODAY: row.does or None,
    }
