"""Undo from the sheet: a tick in the Ledger tab becomes a question that shows what it would change, with its answers.

A tick alone strikes nothing: it may be a slip, and its row may have moved. The question names the event, what would be
on hand and what each channel would be sent then; the answer undoes that event, or all of its batch. What it would
change is found by doing it in a transaction that is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sheets_sync import answering, guard, offers, showing
from sheets_sync.desk import Books, Desk
from sheets_sync.errors import BadInput
from sheets_sync.ledger import Tx
from sheets_sync.model import Cell, Event, Layout, Lease, Listing, Question
from sheets_sync.pages import Changes
from sheets_sync.sheet import setup, tabs
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.views import WORDS

EVERY = timedelta(seconds=20)
SHOWN = 3
"""SKUs and listings that a question spells out."""


@dataclass
class Seen:
    """What one driver of a sheet keeps between two looks at the ticks."""

    next_at: datetime | None = None
    header: tuple[Cell, ...] = ()


class _NotKept(Exception):
    """Ends a transaction in which something was only tried."""


def take(
    desk: Desk, workbook: Workbook, seen: Seen, layout: Callable[[], Layout], lease: Lease | None
) -> Changes:  # fmt: skip
    """Ask about the events that are ticked, and untick them; when it is due."""
    now = desk.clock()
    if seen.next_at is not None and now < seen.next_at:
        return Changes()
    seen.next_at = now + EVERY
    ticked = _ticked(workbook, seen)
    if not ticked:
        return Changes()
    with desk.ledger.read() as view:
        open_ = {q.reference for q in view.questions() if q.kind in ("undo_event", "undo_refused")}
    asked = [ask(desk, event_id, now) for event_id in ticked.values() if _reference(event_id) not in open_]
    with desk.ledger.begin(lease) as tx:  # asked anew each time: what was left once may be undone later
        tx.ask(replace(q, key=f"{q.key}:{now.isoformat()}") for q in asked if q is not None)
    cells: list[tuple[int, Mapping[str, Cell]]] = [(row, {tabs.UNDO: False}) for row in ticked]
    return Changes(tuple(showing.placed(cells, seen.header, layout().tabs[tabs.LEDGER].id)), True)


def _ticked(workbook: Workbook, seen: Seen) -> dict[int, int]:
    """Event by row, of the rows whose Undo is ticked."""
    for _ in range(2):  # once more where columns were moved since
        letters = [setup.letter(seen.header.index(name)) for name in (tabs.EVENT, tabs.UNDO) if name in seen.header]
        ranges = [f"'{tabs.LEDGER}'!{letter}:{letter}" for letter in letters]
        header, *columns = workbook.values([f"'{tabs.LEDGER}'!1:1", *ranges], by="COLUMNS")
        before, seen.header = seen.header, tuple(column[0] if column else None for column in header)
        if before == seen.header:
            break
    else:
        return {}
    if len(columns) < 2:
        return {}
    events, ticks = (block[0] if block else [] for block in columns)
    rows = enumerate(zip(events, ticks, strict=False), start=1)
    return {row: event for row, (event, tick) in rows if tick is True and type(event) is int}


def ask(desk: Desk, event_id: int, at: datetime) -> Question | None:
    """The question about undoing an event; None where there is no such event."""
    with desk.ledger.read() as view:
        event = next((e for e in view.events(after=event_id - 1, limit=1) if e.id == event_id), None)
        batch = view.events(batch=event.fact.batch) if event and event.fact.batch else []
    if event is None:
        return None
    try:
        would = _tried(desk, str(event_id))
    except BadInput as error:
        text = f"? Event {event_id} cannot be undone: {error}"
        return guard.ask("undo_refused", event.fact.sku, text, at, reference=_reference(event_id))
    others = len({e.fact.key for e in batch if e.is_fact}) - 1
    about: dict[str, Cell] = {"event": event_id} | ({"batch": event.fact.batch} if others > 0 else {})
    text = f"? {_named(event)} {would}"
    if others > 0:
        text += f" It was recorded together with {others} others, which can be undone with it."
    return guard.ask("undo_event", event.fact.sku, text, at, reference=_reference(event_id), about=about)


def _reference(event_id: int) -> str:
    return f"event {event_id}"


def _named(event: Event) -> str:
    fact, change = event.fact, event.change
    what = ", ".join(f"{name.replace('_', ' ')} {n:+d}" for name, n in change._asdict().items() if n)
    order = " All of that order's line would not be counted any more." if fact.line else ""
    return f"Undo event {event.id}, {WORDS[fact.kind]} of {fact.sku} ({what or 'no change'})?{order}"


def _tried(desk: Desk, what: str) -> str:
    """What would be so after it, in words. Raises BadInput where it cannot be undone."""
    told: list[str] = []
    try:
        with desk.ledger.begin() as tx:
            events = answering.strike(tx, desk, what)
            told += [_would(tx, desk, sku) for sku in dict.fromkeys(e.fact.sku for e in events)]
            raise _NotKept
    except _NotKept:
        pass
    more = f" And {len(told) - SHOWN} more SKUs." if len(told) > SHOWN else ""
    return " ".join(told[:SHOWN]) + more


def _would(tx: Tx, desk: Desk, sku: str) -> str:
    held = [b for b in tx.balances([sku]).values() if b.counted]
    if not held:
        return f"{sku} would have no count any more."
    on_hand, available = sum(b.stock.on_hand for b in held), sum(b.stock.available for b in held)
    sent = _sent(tx.listings(skus=[sku]), Books(dict(tx.balances([sku]))), desk)
    return f"{sku} would have {on_hand} on hand, {available} available; {sent}."


def _sent(listings: Sequence[Listing], books: Books, desk: Desk) -> str:
    would = [(item, offers.offer(_available(desk, books, item), item)) for item in listings if item.pushable]
    figures = [
        f"{desk.titles.get(item.channel, item.channel)} {figure}"
        for item, figure in would
        if figure is not None and figure != offers.expected(item)
    ]
    if not figures:
        return "no channel would be sent another figure"
    return f"to be sent: {', '.join(figures[:SHOWN])}" + (f" and {len(figures) - SHOWN} more" * (len(figures) > SHOWN))


def _available(desk: Desk, books: Books, item: Listing) -> int | None:
    if item.channel not in desk.settings.channels:
        return books.summed(item.sku or "", desk.settings.locations.names)
    return desk.units(books, item, books.summed(item.sku or "", desk.settings.draws_from(item.channel)))
