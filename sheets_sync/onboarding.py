"""The beginning: the first import shows figures and writes nothing; Start writes the openings and lets pushing begin.

B1 to B4: a SKU is opened from a look of its own: the primary's figure, its orders, the figure again; equal opens it,
else it is looked at again. Orders placed before get a baseline (B2). The primary's own open orders are committed, and
added to on_hand where its figure leaves them out already (B3).

`set_up` comes before all of it: the workbook's tabs, and the first link of its chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from sheets_sync import booking, exchange, seed_day, sources
from sheets_sync.catalogue import match_catalogue, read_catalogue
from sheets_sync.channels import Basis, orders_to_open_with
from sheets_sync.desk import (
    IMPORTED,
    LAST_OPENED,
    OPENED,
    PRIMARY,
    PROVEN,
    SEED_ANSWER,
    SEED_ORDERS,
    START_WANTED,
    STARTED,
    Desk,
    kits_of,
    opening_key,
    orders_cursor,
    remember,
    start_batch,
)
from sheets_sync.errors import ExchangeRefused, SellerMustAct, SheetNotReady
from sheets_sync.exchange import Image, Intent, Place
from sheets_sync.ledger import Tx, View
from sheets_sync.model import MAIN, Event, Fact, Figure, Kind, Layout, Lease, Listing, Order, Ref
from sheets_sync.order_book import book_orders
from sheets_sync.places import fill
from sheets_sync.recovery import chain_name, exchange_id
from sheets_sync.seeding import LEFT_OUT, Typed
from sheets_sync.sheet import doctor, setup, tabs
from sheets_sync.sheet.workbook import Workbook
from sheets_sync.showing import stays_primary

log = structlog.get_logger()

ROUNDS = 10
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Started:
    """What Start did. `moving`: SKUs whose figure never stood still; running start again opens them. `below`: SKUs
    that the primary shows below 0, which is no count; they are opened once a person types one.
    """

    at: datetime
    opened: tuple[Event, ...]
    moving: tuple[str, ...] = ()
    below: tuple[str, ...] = ()


# the workbook ---------------------------------------------------------------------------------------------------


def set_up(
    desk: Desk, workbook: Workbook, *, unless: Callable[[setup.Survey], bool] = lambda _: False
) -> tuple[str, ...]:
    """Create or repair the workbook without touching what a person wrote; says what was done, nothing the second time.

    Does nothing where `unless` says so of what stands there. Raises SheetNotReady where the spreadsheet belongs to
    another ledger.
    """
    wanted = desk.tabs
    survey = workbook.survey(wanted)
    if unless(survey):
        return ()
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


def import_catalogues(desk: Desk, progress: Progress | None = None, *, primary: str = "") -> dict[str, int]:
    """Read every channel's listings, all at once, and match the others' to the primary's SKUs. No event.

    Each shop has limits of its own, so they are read side by side. Where one fails, the others are read to their end.

    `primary` names another primary marketplace than the first import took, on purpose: everything is matched anew.
    Raises SellerMustAct where no channel is the primary, or where that can't be changed any more.
    """
    name = _settle_primary(desk, primary)
    names = [name, *(n for n in desk.channels if n != name)]
    with desk.ledger.read() as view:
        started = desk.started_at(view) is not None

    def read(one: str) -> int:
        count = read_catalogue(desk, one, progress=_about(progress, one))
        if not started:
            note_orders(desk, one)
        return count

    with ThreadPoolExecutor(len(names), thread_name_prefix="import") as pool:
        counts = dict(zip(names, pool.map(read, names), strict=True))
    for one in names[1:]:
        match_catalogue(desk, one)
    desk.wake("sheet")
    return counts


def _settle_primary(desk: Desk, wanted: str) -> str:
    """The primary marketplace that this import takes; from here on it is changed on purpose only."""
    config = desk.settings.primary.name if desk.settings.primary else ""
    if wanted and wanted not in desk.channels:
        raise SellerMustAct(f"There is no channel {wanted!r} in config.toml; known are {', '.join(desk.channels)}.")
    with desk.ledger.begin() as tx:
        now, before = desk.primary(tx), tx.get(IMPORTED)
        if now is None and not wanted:
            raise SellerMustAct(
                "No channel is the primary marketplace yet: write primary = true into its section of config.toml, "
                "or tick Primary in the Channels tab."
            )
        if before is not None and not wanted and config not in ("", before["config"], before["primary"]):
            raise SellerMustAct(f"config.toml names {config} as the primary now. {stays_primary(desk, tx)}")
        if before is not None and wanted and wanted != before["primary"]:
            if desk.started_at(tx) is not None:
                raise SellerMustAct(stays_primary(desk, tx))
            _match_anew(tx)
        chosen = wanted or str(now)
        tx.put(PRIMARY, chosen)
        tx.put(IMPORTED, {"primary": chosen, "config": config, "at": desk.clock().isoformat()})
        return chosen


def _match_anew(tx: Tx) -> None:
    """Another primary: what was matched by its SKU alone is matched again; what a person mapped stays."""
    tx.put_listings(replace(item, sku=item.mapped) for item in tx.listings() if item.sku != item.mapped)
    tx.put(SEED_ORDERS, None)
    tx.put(SEED_ANSWER, None)


def note_orders(desk: Desk, name: str) -> None:
    """Read a channel's recent orders for the matrix: what is open, and where orders came from (O10). Books nothing."""
    orders = _recent_orders(desk, name, desk.clock())
    with desk.ledger.begin() as tx:
        seed_day.note_orders(tx, desk, name, orders)


def order_sources(desk: Desk) -> dict[str, Counter[str]]:
    """By channel, from where its orders of the last days came, and how many, as the import saw them (O10)."""
    with desk.ledger.read() as view:
        kept = view.get(SEED_ORDERS, {})
    return {name: Counter(about["sources"]) for name, about in kept.items() if name in desk.channels}


# start ----------------------------------------------------------------------------------------------------------


def start(desk: Desk, lease: Lease | None = None) -> Started:
    """Write the openings and let pushing begin. Safe to repeat: what is open stays as it is."""
    with desk.ledger.read() as view:
        primary = desk.primary(view)
        seeds = [item for item in view.listings(primary) if item.sku] if primary else []
        counted, started = _counted(view), desk.started_at(view) is not None
        typed = {key.removeprefix("sku:"): t for key, t in seed_day.typed(view).items() if t.cell is not None}
        counted |= kits_of(view).keys()  # K1: they have no balance
    if primary is None or not seeds:
        raise SellerMustAct("There is nothing to start from: run `sheets-sync import` first, and look at the figures.")
    at = desk.clock()
    others = {} if started else {name: _recent_orders(desk, name, at) for name in desk.channels if name != primary}
    times = Counter(sku for sku, _ in {(item.sku, item.ref.listing) for item in seeds})
    left = [i for i in seeds if i.sku not in counted and i.sku not in typed and i.pushable and times[i.sku] == 1]
    opening = _Opening(desk, primary, typed, others, at)
    for turn in range(ROUNDS):
        if not left and turn:
            break
        seen = _look(desk, primary, left)
        with desk.ledger.begin(lease) as tx:
            opening.write(tx, seen)
            tx.put(START_WANTED, None)
        left = [item for item in left if item not in seen.still]
    desk.wake_others()
    moving = tuple(item.sku for item in left if item.sku)
    log.info("start", primary=primary, opened=len(opening.opened), moving=len(moving), below=len(opening.below))
    return Started(at, tuple(opening.opened), moving, tuple(opening.below))


@dataclass(frozen=True)
class _Seen:
    """Figures, orders, figures again: the listings that stood still, what they showed, and when it was."""

    still: list[Listing]
    figures: Mapping[Ref, Figure]
    orders: list[Order]
    begun: datetime


def _look(desk: Desk, primary: str, left: Sequence[Listing]) -> _Seen:
    channel, refs = desk.channels[primary], [item.ref for item in left]
    first = {f.ref: f for f in channel.figures(refs)} if refs else {}
    begun = desk.clock()
    orders = _recent_orders(desk, primary, begun)
    second = {f.ref: f for f in channel.figures(refs)} if refs else {}
    moving = {i.sku for i in left if first[i.ref] != second[i.ref] or second[i.ref].shows is None}
    return _Seen([i for i in left if i.sku not in moving], second, orders, begun)


class _Opening:
    """The openings of one Start, one batch, whatever number of looks they take."""

    def __init__(
        self, desk: Desk, primary: str, typed: Mapping[str, Typed], others: Mapping[str, Sequence[Order]], at: datetime
    ) -> None:
        self.desk, self.primary, self.others, self.at = desk, primary, others, at
        self.typed = {sku: (t.count, t.at) for sku, t in typed.items() if t.count is not None}
        self.title = desk.titles[primary]
        self.opened: list[Event] = []
        self.below: list[str] = []
        self.begins = False  # it is this one that lets counting begin

    def write(self, tx: Tx, seen: _Seen) -> None:
        """The openings of what stood still, with the primary's open orders as they were in the same look.

        What a look's own orders show was there before the SKUs that it opens (B2). Of the others, later ones are
        readings like any other: what has been sold and shipped since the first opening must not be taken for old.
        """
        first = self.desk.started_at(tx) is None
        counted = _counted(tx) | kits_of(tx).keys()  # another Start may have been quicker
        typed = self._typed(tx) if first else []
        shown = [fact for fact in self._shown(tx, seen) if fact.sku not in counted]
        self.opened += tx.append([*(fact for fact in typed if fact.sku not in counted), *shown])
        when = {sku: at for sku, (_, at) in self.typed.items()}
        book_orders(
            tx, self.desk, self.primary, seen.orders, at_opening=first, opened_at=seen.begun, counted_at=when,
            opens=frozenset(fact.sku for fact in shown), promised=self._promised(seen),
        )  # fmt: skip
        tx.put(orders_cursor(self.primary), seen.begun.isoformat())
        if first:
            self._begin_counting(tx, when)
        self.begins = self.begins or first
        for name in (OPENED, LAST_OPENED) if self.begins else (LAST_OPENED,):
            tx.put(name, seen.begun.isoformat())

    def _typed(self, tx: Tx) -> list[Fact]:
        """B4: a count that a person typed in Seed day is as of when it was typed."""
        return [
            self._fact(tx, sku, count or 0, at, "sheet", f"typed {count} in Seed day")
            for sku, (count, at) in self.typed.items()
        ]

    def _shown(self, tx: Tx, seen: _Seen) -> list[Fact]:
        """B3: the primary's figure, and what it leaves out though it is still on the shelf."""
        gross, about = self.desk.channels[self.primary].capabilities.basis is Basis.GROSS, self.desk.settings.channels
        listings = {item.ref.listing: item for item in tx.listings(self.primary)}
        left_out = Counter[str]() if gross else seed_day.left_out(seen.orders, listings, about[self.primary])
        if tx.get(SEED_ANSWER) == LEFT_OUT:
            for name, orders in self.others.items():
                theirs = {item.ref.listing: item for item in tx.listings(name)}
                left_out += seed_day.open_units(orders, theirs, about[name], sources.copies(tx, self.desk, name))
        facts, promised = [], self._promised(seen)
        for sku, items in _by_sku(seen.still).items():
            shows = {self.desk.place_of(item): seen.figures[item.ref].shows or 0 for item in items}
            units = {place: n * items[0].pack_size for place, n in shows.items()}
            order = [place for place in (*self.desk.settings.draws_from(self.primary), MAIN) if place in units]
            for place, n in fill(left_out[sku], promised.get(sku, {}), order):
                units[place] += n
            if min(units.values()) < 0:
                self.below.append(sku)
                continue
            facts += [
                self._fact(tx, sku, n, seen.begun, self.primary, f"{self.title} showed {shows.get(place, 0)}", place)
                for place, n in {MAIN: 0, **units}.items()
            ]
        return facts

    def _promised(self, seen: _Seen) -> booking.Promised:
        """Where units of open orders lie, of the SKUs that the primary keeps at several places and tells it of."""
        out: dict[str, dict[str, int]] = {}
        for item in seen.still:
            packs = seen.figures[item.ref].promised
            if item.sku and item.ref.place in self.desk.settings.channels[self.primary].places and packs:
                out.setdefault(item.sku, {})[self.desk.place_of(item)] = packs * item.pack_size
        return out

    def _fact(
        self, tx: Tx, sku: str, count: int, at: datetime, source: str, reference: str, location: str = MAIN
    ) -> Fact:  # fmt: skip
        key = opening_key(tx, sku) if location == MAIN else f"at:{location}:{opening_key(tx, sku)}"
        return Fact(
            key, sku, Kind.OPENING, at, count=count, location=location, source=source,
            actor="Start", reference=reference, batch=start_batch(self.desk, tx),
        )  # fmt: skip

    def _begin_counting(self, tx: Tx, when: Mapping[str, datetime]) -> None:
        """From here on orders are booked and figures pushed. Other channels' open orders are committed only (B3)."""
        tx.put(STARTED, self.at.isoformat())
        for name, orders in self.others.items():
            book_orders(tx, self.desk, name, orders, at_opening=True, opened_at=self.at, counted_at=when)
            tx.put(orders_cursor(name), self.at.isoformat())
        for name in self.desk.channels:
            remember(tx, name, progress="")


def _by_sku(items: Iterable[Listing]) -> dict[str, list[Listing]]:
    """The listings of each SKU: one, or one at several of its channel's places (P8)."""
    out: dict[str, list[Listing]] = {}
    for item in items:
        if item.sku is not None:
            out.setdefault(item.sku, []).append(item)
    return out


def _counted(view: View) -> set[str]:
    return {key.sku for key, balance in view.balances().items() if balance.counted}


def _recent_orders(desk: Desk, name: str, now: datetime) -> list[Order]:
    since = now - timedelta(days=desk.settings.limits.opening_days)
    channel = desk.channels[name]
    return list(orders_to_open_with(channel, since))


def _about(progress: Progress | None, name: str) -> Callable[[int], None] | None:
    return None if progress is None else lambda count: progress(name, count)
