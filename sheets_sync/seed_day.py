"""Seed day in the sheet: what people type there is kept, and the matrix is shown, until Start. `take` is one look.

The pure side is `seeding.py`. What was typed lies in the ledger's small state with the time at which it was first seen:
a count is as of when it was typed (B4). Nothing here writes an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sheets_sync import pages, seeding, sources
from sheets_sync.channels import Basis
from sheets_sync.config import ChannelSettings
from sheets_sync.desk import SEED_ANSWER, SEED_ORDERS, SEED_TYPED, Desk, Shelf, kits_of
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Cell, Layout, Lease, Listing, Order, OrderLine, OrderState
from sheets_sync.pages import Changes, Page
from sheets_sync.seeding import Row, Seed, Typed
from sheets_sync.sheet import tabs
from sheets_sync.sheet.workbook import Workbook

ASKS = (
    "{units} units of open orders on {channels} are not shipped yet. Does what {primary} shows still have them in it "
    "(the usual case), or has somebody left them out already by lowering it? Choose under Answer. "
    "No answer means: still in it."
)


@dataclass
class Seen:
    """What one driver of a sheet keeps of the tab between two passes."""

    shelves: dict[str, Shelf] = field(default_factory=dict)
    before: object = None  # what the last look was made of, when it led to nothing
    blank: frozenset[str] = frozenset()  # rows that had nothing typed in the last look


def take(
    desk: Desk, workbook: Workbook, seen: Seen, layout: Callable[[], Layout], lease: Lease | None
) -> Changes:  # fmt: skip
    """Keep what people typed, and bring the tab up to date. Nothing after Start, and nothing before an import."""
    with desk.ledger.read() as view:
        primary, revision = desk.primary(view), view.listings_revision()
        if desk.started_at(view) is not None or not revision or primary is None:
            return Changes()
    page = Page.of(workbook.values([f"'{tabs.SEED_DAY}'"])[0])
    _keep(desk, page, seen, lease)
    with desk.ledger.read() as view:
        asked = sources.asked(view)
        made_of = (page, revision, primary, view.get(SEED_ORDERS), kits_of(view), asked)
        if made_of == seen.before:
            return Changes()
        seed = _seed(desk, view, primary, _refreshed(desk, view, seen))
    rows = seeding.matrix(seed)
    wanted = {row.key: _cells(row, seed) for row in rows}
    _place_question(page, wanted, _asks(seed, asked))
    done = pages.changes(page, tabs.KEY, wanted, {}, (tabs.OPEN_WITH, tabs.ANSWER), layout().tabs[tabs.SEED_DAY].id)
    seen.before = None if done.requests else made_of
    return done


def _refreshed(desk: Desk, view: View, seen: Seen) -> list[Listing]:
    for name in desk.settings.channels:
        seen.shelves.setdefault(name, Shelf()).refresh(view, name)
    return [item for shelf in seen.shelves.values() for item in shelf.listings.values()]


# what was typed -------------------------------------------------------------------------------------------------


def _keep(desk: Desk, page: Page, seen: Seen, lease: Lease | None) -> None:
    """What stands there now is what counts at Start; a cell keeps the time at which it was first seen.

    A cell that is blank again was cleared only if two looks say so: a read may be older than what was typed.
    """
    cells = {str(row[tabs.KEY]): row.get(tabs.OPEN_WITH) for row in page.rows.values() if row.get(tabs.KEY)}
    answers = {str(row.get(tabs.ANSWER)).strip() for row in page.rows.values() if row.get(tabs.ANSWER) is not None}
    said = answers.pop() if len(answers) == 1 else ""
    said = said if said in (tabs.LEFT_OUT, tabs.STILL_IN) else ""
    with desk.ledger.read() as view:
        before, answered = view.get(SEED_TYPED, {}), view.get(SEED_ANSWER, "")
    now = {key: _as_typed(cell) for key, cell in cells.items() if _as_typed(cell) is not None}
    cleared, seen.blank = seen.blank, frozenset(cells.keys() - now.keys())
    kept = {key: one for key, one in before.items() if key not in now and not (key in cells and key in cleared)}
    same = {key: before[key] for key, cell in now.items() if key in before and before[key][0] == cell}
    fresh = {key: [cell, desk.clock().isoformat()] for key, cell in now.items() if key not in same}
    after = {**kept, **same, **fresh}
    if after != before or (said != answered and page.rows):
        with desk.ledger.begin(lease) as tx:
            tx.put(SEED_TYPED, after)
            tx.put(SEED_ANSWER, said or None)


def _as_typed(cell: Cell) -> Cell:
    """The column is plain text, so that a count comes as digits."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text or None


def typed(view: View) -> dict[str, Typed]:
    """What people typed, by the key of its row."""
    kept = view.get(SEED_TYPED, {})
    return {key: Typed(cell, datetime.fromisoformat(at)) for key, (cell, at) in kept.items()}


# the matrix -----------------------------------------------------------------------------------------------------


def _seed(desk: Desk, view: View, primary: str, listings: Sequence[Listing]) -> Seed:
    kept = view.get(SEED_ORDERS, {})
    orders = {name: about["open"] for name, about in kept.items() if name in desk.settings.channels}
    left_out = kept.get(primary, {}).get("left_out", {})
    answer = view.get(SEED_ANSWER, "")
    return Seed(primary, desk.titles, listings, orders, left_out, typed(view), answer, kits_of(view))


def matrix(desk: Desk, view: View) -> list[Row]:
    """The matrix as the ledger knows it now, for `sheets-sync import --preview`."""
    primary = desk.primary(view)
    if primary is None:
        return []
    return seeding.matrix(_seed(desk, view, primary, view.listings()))


def question(desk: Desk, view: View) -> str:
    """What is asked before Start: the one question about open orders (B3), and whose orders are copies (O10)."""
    primary = desk.primary(view)
    return _asks(_seed(desk, view, primary, ()), sources.asked(view)) if primary else ""


def _asks(seed: Seed, about_sources: Sequence[str]) -> str:
    """In one cell, beside which the one about open orders is answered."""
    return "\n\n".join(
        filter(None, (_question(seed), *(f"{text} Answer in the tab Review." for text in about_sources)))
    )


def _question(seed: Seed) -> str:
    others = [name for name, units in seed.orders.items() if name != seed.primary and units]
    if not others:
        return ""
    names = " and ".join(seed.titles[name] for name in others)
    return ASKS.format(units=sum(seed.elsewhere.values()), channels=names, primary=seed.titles[seed.primary])


def _cells(row: Row, seed: Seed) -> dict[str, Cell]:
    orders = "; ".join(f"{seed.titles[name]}: {units}" for name, units in row.open_orders.items())
    cells: dict[str, Cell] = {
        tabs.SKU: row.sku, tabs.TITLE: row.title or None, tabs.PRIMARY_SHOWS: row.primary, tabs.OPENS: row.opens,
        tabs.OPEN_ORDERS: orders or None, tabs.ODD: "; ".join(says for _, says in row.odd) or None,
        tabs.QUESTION: None,
    }  # fmt: skip
    return cells | {title: row.figures.get(name) for name, title in seed.titles.items()}


def _place_question(page: Page, wanted: dict[str, dict[str, Cell]], asks: str) -> None:
    """In the row where it stands already, or the first one."""
    if not asks or not wanted:
        return
    there = [str(row.get(tabs.KEY)) for row in page.rows.values() if row.get(tabs.QUESTION) is not None]
    first = [str(row.get(tabs.KEY)) for row in page.rows.values()]
    key = next((key for key in (*there, *first, *wanted) if key in wanted), "")
    wanted[key][tabs.QUESTION] = asks


# orders, as the import saw them ---------------------------------------------------------------------------------


def open_units(
    orders: Iterable[Order], listings: Mapping[str, Listing], about: ChannelSettings, copies: Collection[str]
) -> Counter[str]:
    """Units ordered and neither shipped nor cancelled, by SKU; copies and the channel's own shipments are not ours."""
    ours = (order for order in orders if order.source not in copies)
    return _units(ours, listings, about, lambda line: max(0, line.ordered - line.sent - line.cancelled))


def left_out(orders: Iterable[Order], listings: Mapping[str, Listing], about: ChannelSettings) -> Counter[str]:
    """Units of open orders that the channel has taken off its own figure, though they are still on the shelf (B3)."""
    return _units(orders, listings, about, taken_and_here)


def taken_and_here(line: OrderLine) -> int:
    """Packs of one line that its channel has taken off its figure, and that have not left."""
    still_open = max(0, line.ordered - line.sent - line.cancelled)
    return min(still_open, max(0, line.taken - line.sent))


def _units(
    orders: Iterable[Order], listings: Mapping[str, Listing], about: ChannelSettings, of: Callable[[OrderLine], int]
) -> Counter[str]:
    """By SKU. Where a sale counts as shipped when it is paid (O6), paid ones are not on the shelf any more."""
    out: Counter[str] = Counter()
    for order in orders:
        left = about.ships == "at_once" and order.paid
        if order.by_channel or order.state is OrderState.GONE or left:
            continue
        for line in order.lines:
            listing = listings.get(line.ref.listing) if line.ref else None
            sku = (seeding.sku_of(listing) if listing else None) or line.sku
            units = of(line) * (listing.pack_size if listing else 1)
            if sku and units:
                out[sku] += units
    return out


def note_orders(tx: Tx, desk: Desk, name: str, orders: Sequence[Order]) -> None:
    """Keep what the matrix shows of a channel's open orders."""
    listings = {item.ref.listing: item for item in tx.listings(name)}
    kept, channel = tx.get(SEED_ORDERS, {}), desk.settings.channels[name]
    gross = desk.channels[name].capabilities.basis is Basis.GROSS
    came = Counter(order.source for order in orders)
    sources.ask(tx, desk, name, came, before_start=True)
    about = {
        "open": dict(open_units(orders, listings, channel, sources.copies(tx, desk, name))),
        "left_out": {} if gross else dict(left_out(orders, listings, channel)),
        "sources": dict(came),
    }
    tx.put(SEED_ORDERS, {**kept, name: about})
