"""What the sheet should show of the ledger: service cells of Stock, rows of the Ledger tab, cells of the Channels tab.

Pure. Cells are given by header, so that they find their column wherever people have moved it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType

from sheets_sync import guard, offers
from sheets_sync.model import EVERY_SKU, MAIN, Balance, Cell, Event, Kind, Listing, Question, StockKey

_DAY_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001 - spreadsheets count local days from here, without a zone
NOT_STARTED = "imported; tick Start in the Channels tab to begin"
WORDS = {
    Kind.OPENING: "opening",
    Kind.ADJUSTMENT: "adjustment",
    Kind.STOCK_TAKE: "stock-take",
    Kind.ORDER: "order",
    Kind.CANCELLATION: "cancellation",
    Kind.SHIPMENT: "shipment",
    Kind.RETURN: "return",
    Kind.TRANSFER: "transfer",
    Kind.REVERSAL: "reversal",
    Kind.CORRECTION: "correction",
}


def serial(at: datetime, zone: tzinfo) -> float:
    """A moment as a spreadsheet's serial number in its own time zone, to the second."""
    local = at.astimezone(zone).replace(tzinfo=None, microsecond=0)
    return round((local - _DAY_ZERO).total_seconds() / 86_400, 8)


def stock_cells(
    balances: Mapping[StockKey, Balance],
    listings: Iterable[Listing],
    titles: Mapping[str, str],
    last: Mapping[str, Event],
    asked: Mapping[str, Question],
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, dict[str, Cell]]:
    """Service cells of Stock, by header and SKU. `titles` names the channels' columns, `last` the SKUs' last events,
    `asked` the questions about what no cell shows any more. `elsewhere` are the headers of the locations other than
    the main one, by their names: what is committed, damaged and available is so at all of them (K5).
    """
    main = {key.sku: b for key, b in balances.items() if key.location == MAIN}
    counted = {sku: b.stock for sku, b in main.items() if b.counted}
    out: dict[str, dict[str, Cell]] = {
        "Committed": {sku: b.stock.committed for sku, b in main.items()},
        "Damaged": {sku: s.damaged for sku, s in counted.items()},
        "Available": {sku: s.available for sku, s in counted.items()},
        "Status": {sku: guard.status_of(last.get(sku)) for sku in counted},
    }
    for header in (*elsewhere.values(), *titles.values()):
        out[header] = {}
    for (sku, place), b in balances.items() if elsewhere else ():
        if place != MAIN and sku in main:
            _add_location(out, sku, b, elsewhere.get(place))
    for listing in listings:
        if listing.sku is None or listing.channel not in titles:
            continue
        out["Status"].setdefault(listing.sku, NOT_STARTED)
        cells, shows = out[titles[listing.channel]], offers.expected(listing)
        shows = listing.shown if shows is None else shows
        known = cells.get(listing.sku)
        cells[listing.sku] = shows if not isinstance(known, int) or shows is None else known + shows
    for sku, question in asked.items():
        out["Status"][sku] = question.text
    return out


def flagged(status: Mapping[str, Cell], wrong: Mapping[str, str]) -> dict[str, Cell]:
    """Status of the SKUs of whose rows something else is `wrong`: that first, as it waits for a person."""
    return {sku: f"{text}; {status[sku]}" if status.get(sku) else text for sku, text in wrong.items()}


def _add_location(out: Mapping[str, dict[str, Cell]], sku: str, there: Balance, header: str | None) -> None:
    """Add what lies at another location to what the main one has."""
    more = {"Committed": there.stock.committed}
    if there.counted:
        more |= {"Damaged": there.stock.damaged, "Available": there.stock.available}
    for name, units in more.items():
        before = out[name].get(sku)
        out[name][sku] = units + (before if isinstance(before, int) else 0)
    if header is not None and there.counted:
        out[header][sku] = there.stock.on_hand


def ledger_cells(event: Event, zone: tzinfo, called: Mapping[str, str] = MappingProxyType({})) -> dict[str, Cell]:
    """One event as a row of the Ledger tab, like a line of a bank statement. `called` are the locations' titles."""
    fact, change = event.fact, event.change
    balance = event.balance if fact.sku != EVERY_SKU else None  # of no SKU there is none
    return {
        "Event": event.id,
        "When": serial(fact.occurred_at, zone),
        "SKU": fact.sku,
        "Location": called.get(fact.location, fact.location),
        "What": WORDS[fact.kind],
        "On hand change": change.on_hand or None,
        "On hand": balance and balance.on_hand,
        "Committed change": change.committed or None,
        "Committed": balance and balance.committed,
        "Damaged change": change.damaged or None,
        "Damaged": balance and balance.damaged,
        "Reason": fact.reason or None,
        "Note": fact.note or None,
        "Source": fact.source or None,
        "Reference": fact.reference or None,
        "Who": fact.actor or None,
        "Batch": fact.batch or None,
    }


@dataclass(frozen=True)
class ChannelState:
    """How one channel stands, as the Channels tab shows it."""

    name: str
    title: str
    kind: str
    primary: bool
    state: str
    listings: int = 0
    out_of_step: int = 0
    last_push: datetime | None = None
    last_order: datetime | None = None
    last_error: str = ""
    progress: str = ""


def channel_cells(channel: ChannelState, zone: tzinfo) -> dict[str, Cell]:
    """The service's cells of one row of the Channels tab."""
    return {
        "State": channel.state,
        "Listings": channel.listings,
        "Out of step": channel.out_of_step,
        "Last push": serial(channel.last_push, zone) if channel.last_push else None,
        "Last order": serial(channel.last_order, zone) if channel.last_order else None,
        "Last error": channel.last_error or None,
        "Progress": channel.progress or None,
    }


def picked(cells: Mapping[str, Cell], header: Sequence[Cell]) -> list[Cell]:
    """`cells` in the order of a header row, up to the last that has one."""
    row = [cells.get(str(name)) if name is not None else None for name in header]
    while row and row[-1] is None:
        row.pop()
    return row


def now_text(at: datetime) -> str:
    """A moment for messages, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
