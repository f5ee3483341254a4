"""The beginning: the first import shows figures and writes nothing; Start writes the openings and lets pushing begin.

B1 to B4: a SKU is opened from a look of its own: the primary's figure, its orders, the figure again; equal opens it,
else it is looked at again. Orders placed before get a baseline (B2). The primary's own open orders are committed, and
added to on_hand where its figure leaves them out already (B3).

`set_up` comes before all of it: the workbook's tabs, and the first link of its chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sheets_sync import exchange
from sheets_sync.channel_sync import book_orders, read_catalogue
from sheets_sync.channels import Basis, all_pages
from sheets_sync.desk import OPENED, PROVEN, START_WANTED, STARTED, Desk, orders_cursor, remember
from sheets_sync.errors import ExchangeRefused, SellerMustAct, SheetNotReady
from sheets_sync.exchange import Image, Intent, Place
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Event, Fact, Figure, Kind, Layout, Lease, Listing, Order, OrderLine, OrderState, Ref
from sheets_sync.recovery import chain_name, exchange_id
from sheets_sync.sheet import doctor, setup, tabs
from sheets_sync.sheet.workbook import Workbook

log = structlog.get_logger()

ROUNDS = 10
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Started:
    """What Start did. `moving`: SKUs whose figure never stood still; running start again opens them."""

    at: datetime
    opened: tuple[Event, ...]
    moving: tuple[str, ...] = ()


# the workbook ---------------------------------------------------------------------------------------------------


def set_up(desk: Desk, workbook: Workbook) -> tuple[str, ...]:
    """Create or repair the workbook without touching what a person wrote; says what was done, nothing the second time.

    Raises SheetNotReady where the spreadsheet belongs to another ledger.
    """
    wanted = tabs.wanted(list(desk.titles.values()))
    survey = workbook.survey(wanted)
    plan = setup.plan(survey, wanted, setup.fresh_ids(survey.layout))
    _finish_open(desk, survey.layout.named_ranges)
    with desk.ledger.begin() as tx:
        head, chain = tx.head(), chain_name(tx)
        if head and tabs.EXCHANGE not in survey.layout.tabs:
            raise SheetNotReady(
                "This ledger drives a spreadsheet already, and this one has no tab '_exchange': it is another one, or "
                "the tab was deleted. Name the first spreadsheet in config.toml, or use a new database for this one; "
                "a deleted tab comes back with File > Version history."
            )
        if head and not plan.requests:
            return ()
        intent = Intent(exchange_id(tx), head, desk.clock(), (), {}, 0, 1, (), (), frozenset())
        tx.intend(intent.exchange, head, exchange.dump(intent))
    requests = _chained(intent, plan, survey.layout, desk.ledger.id, chain)
    try:
        workbook.send(requests)
    except ExchangeRefused as error:
        with desk.ledger.begin() as tx:
            tx.set_intent_state(intent.exchange, "refused")
        raise SheetNotReady(
            "The spreadsheet refused to be set up: it is driven by another ledger, or something else wrote just now. "
            f"Try again; if it stays so, use the database it was set up with, or a new spreadsheet. ({error})"
        ) from error
    _landed(desk, intent)
    return plan.says


def prove(desk: Desk, workbook: Workbook) -> doctor.Report:
    """Doctor's proofs on the seller's own spreadsheet; what it saw is kept, and `run` asks for it."""
    report = doctor.examine(workbook)
    with desk.ledger.begin() as tx:
        proven = dict(tx.get(PROVEN, {}))
        proven[workbook.spreadsheet_id] = desk.clock().isoformat() if report.proven else None
        tx.put(PROVEN, proven)
    return report


def require_proven(desk: Desk) -> None:
    """Raises SheetNotReady unless doctor has proven the configured spreadsheet."""
    with desk.ledger.read() as view:
        proven = view.get(PROVEN, {})
    if not proven.get(desk.settings.sheet.spreadsheet_id):
        raise SheetNotReady(
            "This spreadsheet has not been proven yet: run `sheets-sync doctor`. It tries, on a scratch tab that it "
            "removes again, whether Google behaves as your counts' safety needs it to."
        )


def _chained(intent: Intent, plan: setup.Plan, layout: Layout, ledger: str, chain: str) -> list[exchange.Request]:
    """The plan behind the chain, which is made with it the first time."""
    if intent.previous:
        place = Place(plan.stock_tab_id, layout.tabs[tabs.EXCHANGE].id, ledger, layout.spreadsheet_id, chain)
        return exchange.compose(intent, place, plan.requests)
    used = {tab.id for tab in layout.tabs.values()} | set(plan.tab_ids.values())
    sheet = next(n for n in range(900, 2_000_000) if n not in used)
    last = {
        "updateCells": {
            "range": exchange.grid_range(sheet, 2, 3, 0, 1),
            "fields": "userEnteredValue",
            "rows": [exchange.cells_of([intent.exchange])],
        }
    }
    first = setup.first_exchange(intent.exchange, ledger, layout.spreadsheet_id, plan.stock_tab_id, sheet)
    return [*first, last, *plan.requests]


def _finish_open(desk: Desk, named_ranges: Mapping[str, str]) -> None:
    """A set-up whose answer was lost has landed if the chain names it."""
    with desk.ledger.read() as view:
        waiting, chain = {i: payload for i, _, payload in view.open_intents()}, chain_name(view)
    payload = waiting.get(named_ranges.get(chain, ""))
    if payload is not None and not exchange.load(payload).rows:
        _landed(desk, exchange.load(payload))


def _landed(desk: Desk, intent: Intent) -> None:
    image = Image(intent.exchange, intent.previous, (), ())
    with desk.ledger.begin() as tx:
        if tx.settle_once(intent.exchange, exchange.digest(image)):
            tx.set_head(intent.exchange)


# the first import -----------------------------------------------------------------------------------------------


def import_catalogues(desk: Desk, progress: Progress | None = None) -> dict[str, int]:
    """Read every channel's listings, the primary's first: its SKUs are what the others are matched to. No event."""
    with desk.ledger.read() as view:
        primary = desk.primary(view)
    if primary is None:
        raise SellerMustAct(
            "No channel is the primary marketplace yet: write primary = true into its section of config.toml, "
            "or tick Primary in the Channels tab."
        )
    counts = {}
    for name in (primary, *(n for n in desk.channels if n != primary)):
        counts[name] = read_catalogue(desk, name, progress=_about(progress, name))
    desk.wake("sheet")
    return counts


def order_sources(desk: Desk) -> dict[str, Counter[str]]:
    """By channel, from where its orders of the last days came, and how many (O10): a shop may hold copies of a
    marketplace's orders. Books nothing.
    """
    now = desk.clock()
    return {name: Counter(order.source for order in _recent_orders(desk, name, now)) for name in desk.channels}


def start(desk: Desk, lease: Lease | None = None) -> Started:
    """Write the openings and let pushing begin. Safe to repeat: what is open stays as it is."""
    with desk.ledger.read() as view:
        primary = desk.primary(view)
        seeds = [item for item in view.listings(primary) if item.sku] if primary else []
        counted, started = _counted(view), desk.started_at(view) is not None
    if primary is None or not seeds:
        raise SellerMustAct("There is nothing to start from: run `sheets-sync import` first, and look at the figures.")
    at = desk.clock()
    others = {} if started else {name: _recent_orders(desk, name, at) for name in desk.channels if name != primary}
    times = Counter(item.sku for item in seeds)
    left = [item for item in seeds if item.sku not in counted and item.pushable and times[item.sku] == 1]
    opened: list[Event] = []
    for turn in range(ROUNDS):
        if not left and turn:
            break
        still, figures, orders, begun = _look(desk, primary, left)
        with desk.ledger.begin(lease) as tx:
            first = desk.started_at(tx) is None
            opened += _open(tx, desk, primary, still, figures, orders, begun, first=first)
            if first:
                _begin_counting(tx, desk, others, primary, at, begun)
            tx.put(START_WANTED, None)
        left = [item for item in left if item not in still]
    desk.wake_others()
    moving = tuple(item.sku for item in left if item.sku)
    log.info("start", primary=primary, opened=len(opened), moving=len(moving))
    return Started(at, tuple(opened), moving)


def _begin_counting(
    tx: Tx, desk: Desk, others: Mapping[str, Sequence[Order]], primary: str, at: datetime, opened: datetime
) -> None:
    """From here on orders are booked and figures pushed. Other channels' open orders are committed only (B3)."""
    tx.put(STARTED, at.isoformat())
    tx.put(OPENED, opened.isoformat())
    for name, orders in others.items():
        book_orders(tx, desk, name, orders, at_opening=True, opened_at=at)
        tx.put(orders_cursor(name), at.isoformat())
    remember(tx, primary, retired_at=at)


def _look(
    desk: Desk, primary: str, left: Sequence[Listing]
) -> tuple[list[Listing], dict[Ref, Figure], list[Order], datetime]:
    """Figures, orders, figures again: the listings that stood still, and what they showed."""
    channel, refs = desk.channels[primary], [item.ref for item in left]
    first = {f.ref: f for f in channel.figures(refs)} if refs else {}
    begun = desk.clock()
    orders = _recent_orders(desk, primary, begun)
    second = {f.ref: f for f in channel.figures(refs)} if refs else {}
    still = [i for i in left if first[i.ref] == second[i.ref] and second[i.ref].shows is not None]
    return still, second, orders, begun


def _open(
    tx: Tx, desk: Desk, primary: str, still: Sequence[Listing], figures: Mapping[Ref, Figure],
    orders: Sequence[Order], begun: datetime, *, first: bool,
) -> list[Event]:  # fmt: skip
    """The openings of these SKUs, one batch, with the primary's open orders as they were in the same look.

    Only what the first of these reads shows was there before us (B2). Later ones are readings like any other: what has
    been sold and shipped since the first opening must not be taken for old.
    """
    counted = _counted(tx)  # another Start may have been quicker
    gross = desk.channels[primary].capabilities.basis is Basis.GROSS
    left_out = {} if gross else _left_out(orders)
    facts = []
    for item in still:
        if item.sku in counted:
            continue
        shows = figures[item.ref].shows
        assert item.sku is not None and shows is not None
        units = (shows + left_out.get(item.ref.listing, 0)) * item.pack_size
        facts.append(
            Fact(
                f"opening:{item.sku}",
                item.sku,
                Kind.OPENING,
                begun,
                count=units,
                source=primary,
                actor="Start",
                reference=f"{desk.settings.channels[primary].title} showed {shows}",
                batch=f"start-{desk.ledger.id}",
            )  # fmt: skip
        )
    opened = tx.append(facts)
    book_orders(tx, desk, primary, orders, at_opening=first, opened_at=begun if first else None)
    tx.put(orders_cursor(primary), begun.isoformat())
    return opened


def _counted(view: View) -> set[str]:
    return {key.sku for key, balance in view.balances().items() if balance.counted}


def _left_out(orders: Iterable[Order]) -> dict[str, int]:
    """Packs of open orders that the primary has taken off its own figure, though they are still on the shelf (B3)."""
    out: dict[str, int] = {}
    for order in orders:
        if order.by_channel or order.state is OrderState.GONE:
            continue
        for line in order.lines:
            if line.ref is not None:
                out[line.ref.listing] = out.get(line.ref.listing, 0) + _taken_and_here(line)
    return out


def _taken_and_here(line: OrderLine) -> int:
    still_open = max(0, line.ordered - line.sent - line.cancelled)
    return min(still_open, max(0, line.taken - line.sent))


def _recent_orders(desk: Desk, name: str, now: datetime) -> list[Order]:
    since = now - timedelta(days=desk.settings.limits.opening_days)
    channel = desk.channels[name]
    return list(all_pages(lambda cursor: channel.orders(since, cursor)))


def _about(progress: Progress | None, name: str) -> Callable[[int], None] | None:
    return None if progress is None else lambda count: progress(name, count)
