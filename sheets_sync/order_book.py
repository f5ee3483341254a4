"""Orders and deliveries become facts by law 1 (`lines.py`), within one transaction each time.

Reading twice, late or out of order does no harm: what is known of a line is compared with what the channel says of it,
and only what is missing is recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

import structlog

from sheets_sync import again, booking, echoes, kits, lines, offers, openings, sources
from sheets_sync.catalogue import known_skus
from sheets_sync.channels import Channel, RawRequest, SignalKind
from sheets_sync.desk import Desk, channel_state, kits_of, remember
from sheets_sync.ledger import Tx
from sheets_sync.model import Event, Lease, LineState, Listing, Order, OrderLine, Ref, StoredDelivery
from sheets_sync.places import Places, Spent

log = structlog.get_logger()


def book_orders(
    tx: Tx,
    desk: Desk,
    name: str,
    orders: Iterable[Order],
    *,
    at_opening: bool = False,
    opened_at: datetime | None = None,
    counted_at: Mapping[str, datetime] = MappingProxyType({}),
    opens: frozenset[str] = frozenset(),
    promised: booking.Promised = MappingProxyType({}),
) -> list[Event]:
    """Readings of orders to events, in the caller's transaction (law 1). Readings that say nothing new do nothing.

    `counted_at`: at an opening, SKUs that a person counted, and when (B4). `opens`: those that were opened from the
    look that these orders are of; `promised`: where the channel said in that look that their units lie.
    """
    tx.lock_listings(name)
    if not at_opening and desk.started_at(tx) is None:
        return []  # Start was undone meanwhile (B6): the next one reads them anew
    orders = list(orders)
    book = _OrderBook(tx, desk, name, opened_at or desk.started_at(tx), at_opening, counted_at, opens, promised)
    book.prepare(line for order in orders for line in order.lines)
    for order in orders:
        book.add(order)
    sources.ask(tx, desk, name, Counter(order.source for order in orders))
    return book.write()


class _OrderBook:
    """Bookings of several orders of one channel, written together."""

    def __init__(
        self, tx: Tx, desk: Desk, name: str, opened_at: datetime | None, at_opening: bool = False,
        counted_at: Mapping[str, datetime] = MappingProxyType({}), opens: frozenset[str] = frozenset(),
        promised: booking.Promised = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.tx, self.desk, self.name, self.opened_at, self.at_opening = tx, desk, name, opened_at, at_opening
        self.counted_at, self.opens, self.kits = counted_at, opens, kits_of(tx)
        self.about, self.copies = desk.settings.channels[name], sources.copies(tx, desk, name)
        self.beginning = None if at_opening else openings.Beginning.of(tx, desk, name)
        self.allowance = desk.settings.limits.clock_allowance
        # by their own ids; one at several of its channel's places is several
        self.listings: dict[str, list[Listing]] = {}
        self.known: dict[str, bool] = {}
        self.policies, self.last_count = booking.note_policies(tx, desk, name), booking.last_count(tx)
        self.places = booking.places(tx, desk, name, promised)
        self.events: list[Event] = []
        self.touched: dict[Ref, Listing] = {}
        self.edited: list[Listing] = []  # whose channel may have given units back
        self.asked = booking.asked_about_lines(tx)
        self.last_order: datetime | None = None

    def prepare(self, of: Iterable[OrderLine]) -> None:
        """Look up at once what these lines name; a page of orders is a page of listings, not a whole catalogue."""
        wanted = list(of)
        ids = {line.ref.listing for line in wanted if line.ref} - self.listings.keys()
        self._look_up(ids)
        skus = {line.sku for line in wanted if line.sku} - self.known.keys()
        self.known |= dict.fromkeys(skus, False) | dict.fromkeys(known_skus(self.tx, skus), True)

    def _look_up(self, ids: Collection[str]) -> None:
        self.listings |= {id: [] for id in ids}
        for item in self.tx.listings(self.name, ids=ids):
            self.listings[item.ref.listing].append(item)

    def _at_places(self, listing_id: str) -> list[Listing]:
        if listing_id not in self.listings:
            self._look_up([listing_id])
        return [self.touched.get(item.ref, item) for item in self.listings[listing_id]]

    def add(self, order: Order) -> None:
        stored = {line.level.id: line for line in self.tx.lines(self.name, order_id=order.id)}
        policy = self.policies.at(order.placed_at)
        parts = [part for line in order.lines for part in kits.expand(line, stored, self.resolve, self.kits)]
        named = {line.id: (sku, pack_size) for line, sku, pack_size in parts}
        places = self.places if len(parts) == len(order.lines) else self._for_kits(named)
        order = replace(order, lines=tuple(line for line, _, _ in parts))
        limit, opens = self.opened_at, self._opens(order)
        if self.beginning is not None:
            limit, skus = self.beginning.limit, {id: sku for id, (sku, _) in named.items() if sku not in opens}
            shown = any(line.baseline for line in stored.values())
            order = self.beginning.after(self.tx, order, skus, shown=shown)
        booked = lines.book_order(
            stored,
            order,
            lambda line: named[line.id],
            channel=self.name,
            opened_at=lambda _: limit,
            at_opening=self.at_opening,
            opens=opens,
            counted_at=lambda sku: self.counted_at.get(sku or ""),
            policy=policy,
            last_count=self.last_count,
            now=self.desk.clock(),
            counted=order.source not in self.copies,
            places=places,
            actor=self.about.title,
        )
        self.last_order = max(self.last_order or order.placed_at, order.placed_at)
        changed = [line for line in booked.lines if stored.get(line.level.id) != line]
        if not changed:
            return
        self.tx.put_lines(changed)
        self.events += self.tx.append(booked.facts)
        for taken in booked.taken:
            self._note(taken)
        for line in changed if self.about.places else ():  # what leaves one place may come back to another by itself
            self._note(lines.Taken(line.level.ref, line.sku, 0, None, edited=True))
        self.asked = booking.reconcile(self.tx, booked.lines, booked.questions, self.asked)

    def _opens(self, order: Order) -> frozenset[str]:
        """The SKUs opened from this very reading; of an order that changed long before it nothing is in doubt."""
        at = self.opened_at
        doubt = self.beginning is None or (at is not None and order.updated_at >= at - self.allowance)
        return self.opens if doubt else frozenset()

    def _for_kits(self, named: Mapping[str, tuple[str | None, int]]) -> Places:
        """K2, K5: a kit is made at one location, so its components are promised where whole kits can be made."""

        def room(line: LineState, spent: Spent) -> Mapping[str, int]:
            kit = line.level.id.rsplit(kits.PART, 1)[0] + kits.PART
            made_of = {sku: n for id, (sku, n) in named.items() if sku and id.startswith(kit)}
            if not made_of:
                return self.places.room(line, spent)
            balances = self.tx.balances(made_of)
            return {place: kits.at(made_of, balances, place) * line.pack_size for place in self.places.order}

        return replace(self.places, room=room)

    def resolve(self, line: OrderLine) -> tuple[str | None, int]:
        """Our SKU and pack size for a line: by its listing, else by its SKU's own name."""
        for listing in self._at_places(line.ref.listing) if line.ref else ():
            if listing.sku is not None:
                return listing.sku, listing.pack_size
        return (line.sku, 1) if line.sku and self.known.get(line.sku) else (None, 1)

    def _note(self, taken: lines.Taken) -> None:
        """What the channel took off its own figure meanwhile; where it does not say of which listing, or at which of
        its places, of all (P2).
        """
        named = self._at_places(taken.ref.listing) if taken.ref else []
        for listing in named or self._of_sku(taken.sku):
            edited = taken.edited or len(named) != 1
            if edited and not self.at_opening:
                self.edited.append(listing)
            after = offers.note_taken(listing, taken.change, taken.at, self.allowance, edited=edited)
            if after != listing:
                self.touched[after.ref] = after

    def _of_sku(self, sku: str | None) -> list[Listing]:
        found = self.tx.listings(self.name, skus=[sku]) if sku else []
        return [self.touched.get(item.ref, item) for item in found]

    def write(self) -> list[Event]:
        self.tx.put_listings(self.touched.values())
        if self.edited:
            again.note(self.tx, self.desk.channels[self.name], self.edited, self.desk.clock())
        if self.last_order:
            before = self.tx.get(channel_state(self.name), {}).get("last_order")
            if before is None or datetime.fromisoformat(before) < self.last_order:
                remember(self.tx, self.name, last_order=self.last_order)
        for event in self.events:
            log.info("event", id=event.id, kind=event.fact.kind, sku=event.fact.sku, reference=event.fact.reference)
        return self.events


def apply_delivery(
    desk: Desk, channel: Channel, delivery: StoredDelivery, *, fetch: bool, lease: Lease | None = None
) -> list[Event]:
    """What a stored delivery says, booked. With `fetch` False only what its body carries whole; the rest waits.

    Applying twice, late or out of order does no harm: a delivery is a reading like any other. Raises ChannelRefused
    where the channel has a definite no for what the delivery points at.
    """
    request = RawRequest("POST", "", delivery.headers, delivery.body)
    orders, points, levels = list[Order](), list[str](), False
    for signal in channel.signals(request):
        if signal.kind is SignalKind.LISTING:
            levels = levels or signal.figure is not None
        elif signal.kind is SignalKind.ORDER and signal.order is not None and _believed(desk, channel, signal.order):
            orders.append(signal.order)
        elif signal.kind is SignalKind.ORDER:
            points.append(signal.id)
    orders += [channel.order(id) for id in points] if fetch else []
    waits = not fetch and bool(points or levels)
    with desk.ledger.begin(lease) as tx:
        started = desk.started_at(tx) is not None
        events = book_orders(tx, desk, channel.name, orders) if started and orders else []
        if not waits:
            tx.mark_delivery(delivery.channel, delivery.id, "applied", "" if started else "came before Start")
    if events:
        desk.wake_others()
    elif points and not fetch:  # a level is looked into by the next pass: most are echoes of our own
        desk.wake(channel.name)
    return events


def _believed(desk: Desk, channel: Channel, order: Order) -> bool:
    """Whether a body may be booked as it stands."""
    if not any(line.sent for line in order.lines):
        return True
    with desk.ledger.read() as view:
        return not echoes.takes_back(view.lines(channel.name, order_id=order.id), order)


def count_waiting(tx: Tx, desk: Desk, name: str) -> list[Event]:
    """O8: order lines that waited for their SKU are counted once it is known, with their own times (law 2)."""
    waiting = [line for line in tx.lines(name, open_only=True) if line.sku is None]
    if not waiting or desk.started_at(tx) is None:
        return []
    book, events = _OrderBook(tx, desk, name, desk.started_at(tx)), list[Event]()
    book.prepare(line.level for line in waiting)
    for line in waiting:
        sku, pack_size = book.resolve(line.level)
        if sku in book.kits:
            for part in kits.parts_of(line, book.kits[str(sku)], pack_size):
                events += booking.settle(tx, desk, part, actor=book.about.title)
            tx.put_line(replace(line, sku=sku, counted=False))
        elif sku is not None:
            events += booking.settle(tx, desk, replace(line, sku=sku, pack_size=pack_size), actor=book.about.title)
    return events
