"""One pass over a channel: lower what must be lowered, read its orders, book them, look, and raise what may be raised.

The order of the steps is law 3 (`offers.py`): lowering waits for nothing; whatever is raised was looked at first, then
the channel's orders were read by a read begun after that look, and the write is made against the figure looked at.
Orders become facts by law 1 (`order_book.py`). Each step records what it learned in one transaction, and what is
about to be sent before it is sent.
"""

from __future__ import annotations

from collections import ChainMap, Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from sheets_sync import (
    accepted,
    again,
    booking,
    catalogue,
    drift,
    echoes,
    first_sync,
    newcomers,
    offers,
    pausing,
    portions,
    pulling,
    sources,
    startover,
)
from sheets_sync.batching import GROUPS, batches
from sheets_sync.catalogue import Reading
from sheets_sync.channels import (
    Basis,
    Outcome,
    Page,
    PushResult,
    Target,
    orders_to_open_with,
)
from sheets_sync.desk import Books, Desk, Shelf, channel_state, joined, kits_of, orders_cursor, remember, unseen_sales
from sheets_sync.errors import ChannelRefused, LeaseLost, OutcomeUnknown, RateLimited, SheetsSyncError
from sheets_sync.late_orders import Reads, units_told
from sheets_sync.ledger import Tx, View
from sheets_sync.model import Event, Figure, Lease, Listing, Order, Ref, StoredDelivery
from sheets_sync.order_book import apply_delivery, book_orders, count_waiting
from sheets_sync.reasons import reasons_to_raise

log = structlog.get_logger()

CATALOGUE_EVERY = timedelta(minutes=10)
REFUSED_FOR = timedelta(minutes=10)
PAGES_AT_ONCE = 20
LOOKS = 3
RETRY_AFTER = timedelta(seconds=30)
TIDY_EVERY = timedelta(hours=1)
Written = tuple[Listing, int, int | None]
"""A listing, the figure to write, and the figure that it is expected to show."""

READ_BEHIND = timedelta(seconds=10)  # for so long a vendor's read may go on showing what was there before a write
WAITING_AT_ONCE = 100  # old orders looked after at once; the next ones an hour later


@dataclass
class ChannelMemory:
    """What one driver of a channel keeps between two passes."""

    books: Books = field(default_factory=Books)
    shelf: Shelf = field(default_factory=Shelf)
    known: int = 0  # how many SKUs the ledger had
    frozen: Collection[str] = frozenset()  # C7: SKUs that are being counted
    open: set[Ref] = field(default_factory=set)  # listings that were out of step, or have changed since
    catalogue_at: datetime | None = None
    reading: Reading | None = None  # a catalogue that is being read over several passes
    tidied_at: datetime | None = None
    sure: set[Ref] = field(default_factory=set)  # seen or acknowledged since the start: no write of ours was lost there
    readings: drift.Readings = field(default_factory=drift.Readings)
    undoes: dict[Ref, int] = field(default_factory=dict)  # packs that would be back if our last write there were lost
    doubted: dict[Ref, tuple[Listing, int]] = field(default_factory=dict)
    """Listings of which the channel told another figure: as known until then, and the last event. The look decides."""

    unanswered: set[Ref] = field(default_factory=set)  # a write was made there, and nobody said what it showed after
    refused_against: dict[Ref, tuple[int, datetime]] = field(default_factory=dict)
    """P6: the figure that a stale write expected, and when: never at once again on the same figure."""

    reads: Reads = field(default_factory=Reads)  # where the list of orders is late or scarce
    orders_left: tuple[datetime, datetime, str] | None = None  # a read that limits stopped: since, begun, cursor
    elsewhere: dict[str, int] = field(default_factory=dict)  # units sold on other channels that no order shows yet (P5)
    token: int | None = None  # of the lease under which the last pass went

    def driven(self, lease: Lease) -> None:
        """Whoever had the lease meanwhile may have written figures: what we saw before then says nothing of drift."""
        if self.token not in (None, lease.token):
            for seen in (self.sure, self.undoes, self.doubted):
                seen.clear()
        self.token = lease.token


@dataclass(frozen=True)
class Sent:
    """One figure that was written, or would be, and what came of it."""

    listing: Listing
    figure: int
    expected: int | None
    result: PushResult | None = None


@dataclass(frozen=True)
class ChannelReport:
    """What a pass did. `again`: there is more to do at once; `after`: in so many seconds, at the latest."""

    again: bool = False
    events: tuple[Event, ...] = ()
    sent: tuple[Sent, ...] = ()
    out_of_step: int = 0
    after: float | None = None


@dataclass(frozen=True)
class _Look:
    """Listings as they were just before a look, what it showed, from when to when, and the last event known by then."""

    items: Sequence[Listing]
    sees: dict[Ref, Figure]
    at: datetime
    ended: datetime
    upto: int
    known: list[tuple[Listing, int]] = field(default_factory=list)  # the items as known before anybody doubted them


def _together(looks: Iterable[_Look]) -> tuple[list[Listing], dict[Ref, Figure]]:
    items, sees = list[Listing](), dict[Ref, Figure]()
    for look in looks:
        items, sees = [*items, *look.items], sees | look.sees
    return items, sees


def channel_pass(desk: Desk, name: str, memory: ChannelMemory, lease: Lease | None) -> ChannelReport:
    """One pass over channel `name`. Each of its transactions proves that this worker still holds the lease."""
    if lease is not None:
        memory.driven(lease)
    return _ChannelPass(desk, name, memory, lease).run()


class _ChannelPass:
    def __init__(self, desk: Desk, name: str, memory: ChannelMemory, lease: Lease | None) -> None:
        self.desk, self.name, self.memory, self.lease = desk, name, memory, lease
        self.channel = desk.channels[name]
        able = self.channel.capabilities
        memory.books.places, self.places = desk.settings.draws_from(name), desk.settings.channels[name].places
        self.means = offers.Means(able.compare_and_set, able.readable, able.basis is Basis.GROSS)
        self.events: list[Event] = []
        self.sent: list[Sent] = []
        self.again = False
        self.after: datetime | None = None
        self.reads = memory.reads
        self.reads.lag, self.reads.every = able.orders_lag, able.orders_every
        self.puts_back = False
        self.planned_at = desk.clock()
        self.repeats: Mapping[str, datetime] = {}  # written whatever a look shows: see `again`
        self.taken_on = 0  # listings that were to be lowered first, of those that one pass may write one by one
        self.meter: first_sync.Meter | None = None  # while the first sync lasts

    def run(self) -> ChannelReport:
        with self.desk.ledger.read() as view:
            started = self.desk.started_at(view) is not None
            undone = not started and startover.wants_put_back(view, self.name)
            first = started and not first_sync.is_done(view, self.name)
        enabled = self.desk.settings.channels[self.name].enabled
        if undone:
            self._put_back()
        if first and enabled:
            self._measure()
        if started:
            self._accepted()
        if started and enabled:
            self._lower()
        if started:
            self._match()
            self._deliveries()
            self._keep_up()
        self._catalogue()
        if started and enabled:
            self._look_and_write()
        if started:
            self._tidy()
        out_of_step = self._finish(started and enabled)
        if self.events:
            self.desk.wake_others(self.name)
        wait = None if self.after is None else max(0.0, (self.after - self.desk.clock()).total_seconds())
        return ChannelReport(self.again, tuple(self.events), tuple(self.sent), out_of_step, wait)

    def _come_back(self, at: datetime) -> None:
        """There will be something to do then."""
        self.after = at if self.after is None else min(self.after, at)

    def _accepted(self) -> None:
        """What became of writes that were only accepted."""
        if not self.channel.capabilities.asynchronous:
            return
        with self.desk.ledger.read() as view:
            self._refresh(view)
        waiting = [item for item in self.memory.shelf.listings.values() if item.pending_job]
        if not accepted.ask(self.desk, self.channel, waiting, self.lease):
            return
        self._come_back(self.desk.clock() + accepted.AGAIN)
        with self.desk.ledger.read() as view:
            self._refresh(view)
        now = (self.memory.shelf.listings[item.ref] for item in waiting)
        self.memory.unanswered |= {i.ref for i in now if not i.pending_job and offers.expected(i) is None}

    def _measure(self) -> None:
        """How much the first sync has to do, before it does it: shown while it runs."""
        plan, _ = self.plan()
        offered = self.memory.books.available
        of = sum(offered.get(i.sku or "") is not None for i in self.memory.shelf.listings.values() if i.pushable)
        self.meter = first_sync.Meter(of, first_sync.waiting(plan))

    def _put_back(self) -> None:
        """B6: an undone Start gives the shop its figures back, where it still shows what we wrote."""
        with self.desk.ledger.read() as view:
            self._refresh(view)
        written = {ref: item for ref, item in self.memory.shelf.listings.items() if item.before is not None}
        targets = (
            startover.to_put_back(written, _together(self._looks(list(written.values()), 0))[1]) if written else []
        )
        self.puts_back = True
        self._write(targets)
        self.puts_back = False
        with self.desk.ledger.begin(self.lease) as tx:
            startover.done(
                tx, self.desk, self.name, sum(s.result.outcome is Outcome.APPLIED for s in self.sent if s.result)
            )

    def plan(self) -> tuple[offers.Plan, int]:
        """What to do about this channel's listings, and the last event that the plan knows."""
        with self.desk.ledger.read() as view:
            self.planned_at = self.desk.clock()
            self._refresh(view)
            upto = view.last_event_id()
        known, now = self.memory.shelf.listings, self.desk.clock()
        of = [known[ref] for ref in self.memory.open]
        placed = {item.ref: self._units(item) for item in of if item.ref.place}
        plan = offers.plan(of, self._available(), self.means, now=now, frozen=self.memory.frozen, placed=placed)
        self.memory.open = {s.listing.ref for s in (*plan.lower, *plan.look, *plan.raise_, *plan.left)}
        return plan, upto

    def _refresh(self, view: View) -> None:
        """What we know, brought up to date; what has changed may be out of step."""
        memory = self.memory
        memory.frozen = pausing.not_raised(view, self.name, self.desk.clock())
        skus = memory.books.refresh(view)
        memory.open |= memory.shelf.refresh(view, self.name)
        skus |= self._hear(view)
        memory.open |= {ref for sku in skus for ref in memory.shelf.by_sku.get(sku, ())}

    def _hear(self, view: View) -> set[str]:
        """What other channels sold that no order shows yet; gives the SKUs of which that has changed."""
        now: Counter[str] = Counter()
        for other in self.desk.channels:
            if other != self.name:
                now.update(units_told(view.get(unseen_sales(other))))
        before, self.memory.elsewhere = self.memory.elsewhere, dict(now)
        return {sku for sku in before.keys() | now.keys() if before.get(sku, 0) != now[sku]}

    def _tell(self, tx: Tx, begun: datetime | None = None) -> bool:
        """Tell the other channels what was sold here unseen; whether that is news."""
        told, key = self.reads.to_tell(self.memory.shelf.listings, begun), unseen_sales(self.name)
        if (tx.get(key) or {}) == told:
            return False
        tx.put(key, told or None)
        return True

    def _available(self) -> Mapping[str, int | None]:
        """Units that may be sold here, by SKU."""
        ours, less = self.memory.books.available, dict[str, int | None]()
        for sku, units in self.memory.elsewhere.items():
            there = ours.get(sku)
            if there is not None:
                less[sku] = there - units
        return ChainMap(less, ours) if less else ours

    def _units(self, item: Listing) -> int | None:
        """Units that may be sold by this listing."""
        return self.desk.units(self.memory.books, item, self._available().get(item.sku or ""))

    # reading --------------------------------------------------------------------------------------------------

    def _deliveries(self) -> None:
        pulling.pull(self.desk, self.channel, self.lease)
        with self.desk.ledger.read() as view:
            waiting = view.deliveries(self.name, state="waiting")
        rest, levels = echoes.only_levels(self.channel, waiting)
        for delivery in rest:
            try:
                self.events += apply_delivery(self.desk, self.channel, delivery, fetch=True, lease=self.lease)
            except ChannelRefused as error:
                self._failed(delivery, error)
        if levels:
            with self.desk.ledger.read() as view:
                self._refresh(view)
                upto = view.last_event_id()
            for item in echoes.settle(self.desk, self.name, self.memory.shelf, levels, self.lease):
                self.memory.doubted.setdefault(item.ref, (item, upto))

    def _failed(self, delivery: StoredDelivery, error: ChannelRefused) -> None:
        """A definite no would be said again and again, and hold up all that came later."""
        log.warning("delivery.failed", channel=self.name, id=delivery.id, topic=delivery.topic, why=str(error)[:200])
        with self.desk.ledger.begin(self.lease) as tx:
            tx.mark_delivery(self.name, delivery.id, "failed", str(error)[:300])

    def _keep_up(self) -> None:
        """The look at the orders that every pass takes; where that list is scarce, only when one is due."""
        if self.reads.late and self.reads.born is None:
            with self.desk.ledger.read() as view:
                self.reads.take_over(view.get(unseen_sales(self.name)))
        if self.reads.is_due(self.desk.clock()):
            self._read_if_allowed()

    def _read_if_allowed(self) -> tuple[datetime, set[int]] | None:
        """`_read_orders`; None where the channel's limits for this list are used up."""
        if not self.reads.late:
            return self._read_orders()
        try:
            begun, made = self._read_orders()
        except RateLimited as error:
            wait = RETRY_AFTER if error.retry_after is None else timedelta(seconds=error.retry_after)
            self.reads.not_before = self.desk.clock() + wait
            self._come_back(self.reads.not_before)
            log.info("orders.later", channel=self.name, why=str(error)[:200])
            return None
        self.reads.was_read(begun)
        self._caught_up(begun)
        return begun, made

    def _read_orders(self) -> tuple[datetime, set[int]]:
        """All orders that changed since the last read, booked. When the read began, and the events it made."""
        begun, made = self.desk.clock(), set()
        with self.desk.ledger.read() as view:
            known = view.get(orders_cursor(self.name))
        if known is None:
            return begun, self._join(begun)
        since = datetime.fromisoformat(known)
        cursor: str | None = None
        if self.memory.orders_left is not None:  # limits stopped the last read; its first pages are booked already
            since, begun, cursor = self.memory.orders_left
        while True:
            page = self._orders_page(since, cursor, begun)
            with self.desk.ledger.begin(self.lease) as tx:
                events = book_orders(tx, self.desk, self.name, page.items)
                if page.cursor is None:
                    tx.put(orders_cursor(self.name), begun.isoformat())
                    self._tell(tx, begun)
            self.events += events
            made |= {e.id for e in events}
            if page.cursor is None:
                return begun, made
            cursor = page.cursor

    def _orders_page(self, since: datetime, cursor: str | None, begun: datetime) -> Page[Order]:
        """One page; where limits stop us, the next read goes on there: a long list would never be read to its end."""
        left, self.memory.orders_left = self.memory.orders_left, None
        try:
            return self.channel.orders(since, cursor)
        except RateLimited:
            self.memory.orders_left = (since, begun, cursor) if cursor is not None else left
            raise

    def _join(self, begun: datetime) -> set[int]:
        """B5: a channel that was added later commits its open orders, once, and adds nothing: what it sold before then
        is in our counts already.
        """
        since = begun - timedelta(days=self.desk.settings.limits.opening_days)
        orders = list(orders_to_open_with(self.channel, since))
        with self.desk.ledger.begin(self.lease) as tx:
            events = book_orders(tx, self.desk, self.name, orders, at_opening=True, opened_at=begun)
            tx.put(joined(self.name), begun.isoformat())
            tx.put(orders_cursor(self.name), begun.isoformat())
        self.events += events
        return {e.id for e in events}

    def _match(self) -> None:
        """O8: a SKU that has become known since, as a row was added for it: its listing is matched at once, and orders
        that waited for it are counted. Where several listings carry it, the catalogue's next reading says so.
        """
        memory = self.memory
        with self.desk.ledger.read() as view:
            self._refresh(view)
        ours = memory.books.available
        if len(ours) == memory.known:
            return
        listings = memory.shelf.listings.values()
        times = Counter(sku for sku, _ in {(item.remote_sku, item.ref.listing) for item in listings})
        new = {i.ref for i in listings if i.sku is None and i.remote_sku in ours and times[i.remote_sku] == 1}
        with self.desk.ledger.begin(self.lease) as tx:
            tx.lock_listings(self.name)
            tx.put_listings(replace(item, sku=item.remote_sku) for item in self._stored(tx, new))
            newcomers.known_now(tx, {item.remote_sku for item in listings if item.ref in new})
            self.events += count_waiting(tx, self.desk, self.name)
        memory.known = len(ours)

    def _catalogue(self) -> None:
        """Some pages of the catalogue, when it is due: a long one is read over several passes, so that orders go on."""
        now, memory = self.desk.clock(), self.memory
        if memory.reading is None and (memory.catalogue_at is None or now - memory.catalogue_at > CATALOGUE_EVERY):
            memory.reading, memory.catalogue_at = catalogue.begin(self.desk, self.name), now
            memory.reading.sure = memory.sure
        if memory.reading is None:
            return
        try:
            self._read_on(memory.reading)
        except RateLimited as error:  # the rest of the pass does not need it
            self._come_back(now + timedelta(seconds=error.retry_after or 0))

    def _read_on(self, reading: Reading) -> None:
        for _ in range(PAGES_AT_ONCE):
            if not catalogue.read_page(self.desk, self.name, reading, self.lease):
                self.memory.reading = None
                with self.desk.ledger.begin(self.lease) as tx:
                    self.events += count_waiting(tx, self.desk, self.name)
                return
            if reading.waits:
                break
        self.again = True

    def _tidy(self) -> None:
        """Now and then: ask about units that have waited for long (O3), and let go of old deliveries."""
        now, last = self.desk.clock(), self.memory.tidied_at
        if last is None or now - last > TIDY_EVERY:
            self._ask_waiting()
            with self.desk.ledger.begin(self.lease) as tx:
                tx.prune_deliveries(self.desk.settings.ledger.keep_deliveries)
                sources.said_in_config(tx, self.desk, self.name)
            self.memory.tidied_at = now

    def _ask_waiting(self) -> None:
        """O3. Each such order is read first: one that was deleted may have told nobody (O9)."""
        with self.desk.ledger.read() as view:
            old = list(dict.fromkeys(line.order_id for line in booking.waiting(view, self.desk, self.name)))
        old = old[:WAITING_AT_ONCE]
        read = [self.channel.order(order_id) for order_id in old]
        if read:
            with self.desk.ledger.begin(self.lease) as tx:
                self.events += book_orders(tx, self.desk, self.name, read)
                booking.ask_waiting(tx, self.desk, self.name, old)

    # writing --------------------------------------------------------------------------------------------------

    def _lower(self) -> None:
        """P3: what has to come down waits for no orders; without compare-and-set it is looked at first."""
        plan, upto = self.plan()
        self._write([(s.listing, s.figure, s.expected) for s in plan.lower if s.figure is not None])
        down = [step for step in plan.look if offers.lowers(step)]
        looked = [step.listing for step in portions.portion(self.channel, down)]
        self.again = self.again or len(looked) < len(down)
        self.taken_on += len(looked)
        if looked:
            self._lower_looked(looked, upto)

    def _look_and_write(self) -> None:
        """P3 to P6 for every listing of which we do not know enough, or that is to be raised."""
        plan, upto = self.plan()
        targets = [(s.listing, s.figure, s.expected) for s in (*plan.lower, *plan.raise_) if s.figure is not None]
        if targets:
            self._write(targets)
            with self.desk.ledger.read() as view:
                self._refresh(view)  # what was just written is known from here on
        steps = self._worth_a_look(plan.look)
        looked = [step.listing for step in portions.portion(self.channel, steps, self.taken_on)]
        self.again = self.again or len(looked) < len(steps)
        most = self.channel.capabilities.looks or drift.AT_ONCE
        looked += self._to_repeat({item.ref for item in looked}, most - self.taken_on)
        looked += self._read_back({item.ref for item in looked}, most - self.taken_on)
        for _ in range(LOOKS):
            if not looked:
                return
            looked = self._one_look(looked, upto)
        self.again = self.again or bool(looked)

    def _worth_a_look(self, steps: Sequence[offers.Step]) -> list[offers.Step]:
        """Of those that can't be raised yet, as the list of orders runs late, only as many as cost next to nothing: a
        look may show a sale that nobody told us of.
        """
        if not self.reads.late:
            return list(steps)
        with self.desk.ledger.read() as view:
            reasons = reasons_to_raise(view, self.desk.clock() - 2 * self.reads.lag)
        now, waits, rest = self.desk.clock(), list[offers.Step](), list[offers.Step]()
        for step in steps:
            reason = self.reads.reason(step.listing.ref, reasons.get(step.listing.sku or ""))
            opens_at = self.reads.waits_until(reason, now)
            if opens_at is None or offers.lowers(step) or step.expected is None:
                rest.append(step)
            else:
                waits.append(step)
                self._come_back(opens_at + timedelta(seconds=1))
        return rest + waits[: self.channel.capabilities.looks]

    def _to_repeat(self, looked: Collection[Ref], most: int) -> list[Listing]:
        """Listings that are written once more after a cancellation, when the list of orders lets them be raised."""
        with self.desk.ledger.read() as view:
            kept = again.wanted(view, self.name)
        now, open_ = self.desk.clock(), dict[str, datetime]()
        for listing, at in kept.items():
            opens_at = self.reads.waits_until(at, now)
            if opens_at is None:
                open_[listing] = at
            else:
                self._come_back(opens_at + timedelta(seconds=1))
        self.repeats = open_
        items = [i for i in self.memory.shelf.listings.values() if i.ref.listing in open_ and i.ref not in looked]
        return [item for item in items if offers.may_be_raised(item, now)][: max(0, most - len(looked))]

    def _read_back(self, looked: Collection[Ref], most: int) -> list[Listing]:
        """Listings whose figure was not seen for a while, as many as the looks of a pass have room for."""
        if not self.means.readable:
            return []
        readings, now, room = self.memory.readings, self.desk.clock(), most - len(looked)
        if room < 1:
            return []
        due = readings.due(self.memory.shelf.listings.values(), now, room, self._pace()) if readings.may(now) else []
        if readings.not_before is not None:
            self._come_back(readings.not_before)
        return [item for item in due if item.ref not in looked]

    def _pace(self) -> drift.Pace:
        wanted, a_second = self.desk.settings.channels[self.name].read_back, self.channel.capabilities.read_back
        least = wanted or (drift.SOONEST if self.reads.late else drift.READ_BACK)
        since, last = self.desk.clock() - drift.DAY, self.memory.books.last
        selling = {sku for sku, event in last.items() if event.recorded_at > since} if a_second else set()
        return drift.Pace(least, a_second, selling)

    def _one_look(self, looked: Sequence[Listing], upto: int) -> list[Listing]:
        """Figures, then orders, then what may be written; returns the listings that need another look."""
        look_at, sure = self.desk.clock(), frozenset(self.memory.sure)
        looks = list(self._looks(looked, upto))
        looked, sees = _together(looks)
        suspects = self._suspects(looks, sure)
        lowered = self._lower_now(looked, sees)
        rest = [item.ref for item in looked if item.ref not in lowered]
        again: list[Listing] = []
        if self.reads.late:
            self._miss(looks, suspects)
            wanted, now = self._decide_late(rest, sees)
        else:
            begun, made = self._read_orders()
            self._tell_drift(suspects)
            wanted, now, again = self._decide(rest, sees, look_at, begun, made, upto)
        for batch in self._batches([(now[ref], figure, sees[ref].shows) for ref, figure in wanted.items()]):
            # looked at just before it is written: what is sold between the two would be overwritten
            self._write_batch(batch if self.means.compare_and_set else self._second_look(batch))
        return again

    def _lower_looked(self, looked: Sequence[Listing], upto: int) -> None:
        """Look, and lower. What is missing there was sold, and stays promised after it was lowered for it, too."""
        sure = frozenset(self.memory.sure)
        looks = list(self._looks(looked, upto))
        suspects = self._suspects(looks, sure) if self.reads.late else []
        self._lower_now(*_together(looks))
        if self.reads.late:
            self._miss(looks, suspects)

    def _suspects(self, looks: Iterable[_Look], sure: Collection[Ref]) -> list[drift.Suspect]:
        """What looks show otherwise than expected."""
        suspects = list[drift.Suspect]()
        for look in looks:
            look.known.extend(self.memory.doubted.pop(item.ref, (item, look.upto)) for item in look.items)
            sure_of = [one for one in look.known if one[0].ref in sure]
            suspects += drift.suspects(sure_of, look.sees, self.memory.undoes, look.at)
        return suspects

    def _miss(self, looks: Iterable[_Look], suspects: Sequence[drift.Suspect]) -> None:
        """Where the list of orders runs late, what is missing was sold, and the other channels are told. It is kept
        until that list has caught up, and so is what looked odd.
        """
        for look in looks:
            self.reads.saw([item for item, _ in look.known], look.sees, look.ended)
            self.reads.doubt(look.sees.keys() & self.memory.unanswered, look.ended)
            self.memory.unanswered -= look.sees.keys()
        with self.desk.ledger.begin(self.lease) as tx:
            if suspects:
                drift.wait(tx, self.name, [*drift.waiting(tx, self.name), *suspects])
            news = self._tell(tx)
        if news:
            self.desk.wake_others(self.name)

    def _tell_drift(self, suspects: Sequence[drift.Suspect], waited_until: datetime | None = None) -> None:
        """What a look saw and the orders do not explain, now that they are read once more (P5). With that, suspects of
        looks until then wait no longer.
        """
        counted = self.memory.books.available
        odd = [one for one in suspects if counted.get(one.before.sku or "") is not None]
        with self.desk.ledger.read() as view:
            allowance = self.desk.settings.limits.clock_allowance
            drifts = drift.unexplained(view, self.name, odd, kits_of(view), allowance, self.places) if odd else []
        if not drifts and waited_until is None:
            return
        with self.desk.ledger.begin(self.lease) as tx:
            if drifts:
                drift.note(tx, self.name, self.desk.titles[self.name], drifts, self.desk.clock(), self.places)
            if waited_until is not None:
                left = [one for one in drift.waiting(tx, self.name) if one.look_at >= waited_until]
                drift.wait(tx, self.name, left)
        if drifts:
            self.desk.wake("sheet")

    def _caught_up(self, begun: datetime) -> None:
        """A late list of orders was read from `begun` on: it must have shown what was sold before the looks that lie
        so far back.
        """
        limit = begun - self.reads.lag
        with self.desk.ledger.read() as view:
            ripe = [one for one in drift.waiting(view, self.name) if one.look_at < limit]
        if ripe:
            self._tell_drift(ripe, limit)

    def _looks(self, looked: Sequence[Listing], upto: int) -> Iterator[_Look]:
        """What the listings show now, kept at once: what is noted later happened after that look began."""
        for number, part in enumerate(portions.parts(self.channel, looked)):
            if number:
                upto = self._meanwhile(looked)
                part = [self.memory.shelf.listings[item.ref] for item in part]
            at = self.desk.clock()
            sees = {f.ref: f for f in self.channel.figures([item.ref for item in part])}
            self._store_seen(part, sees, at)
            self.memory.sure |= sees.keys()
            yield _Look(part, sees, at, self.desk.clock(), upto)

    def _meanwhile(self, busy: Sequence[Listing]) -> int:
        """A look takes long: orders go on, and other listings that must come down do not wait for it either. The last
        event that is known by then.
        """
        made = len(self.events)
        self._deliveries()
        self._keep_up()
        if len(self.events) > made:
            self.desk.wake_others(self.name)
        plan, upto = self.plan()
        refs = {item.ref for item in busy}
        down = [s.listing for s in plan.look if offers.lowers(s) and s.listing.ref not in refs]
        if down:
            self._lower_looked(down[: self.channel.capabilities.looks], upto)
        return upto

    def _lower_now(self, looked: Sequence[Listing], sees: Mapping[Ref, Figure]) -> set[Ref]:
        """P3: what the look shows above its offer is lowered before the orders are read; unseen sales stay promised."""
        with self.desk.ledger.read() as view:
            self._refresh(view)
        now = []
        for item in looked:
            figure, shows = self._decided(item, sees[item.ref]), sees[item.ref].shows
            if figure is None or shows is None or figure >= shows:
                continue
            if shows != self._refused_against(item.ref):
                now.append((item, figure, shows))
            else:  # P6; and it is not left at that until somebody looks again
                self._come_back(self.desk.clock() + READ_BEHIND)
        self._write(now)
        return {item.ref for item, _, _ in now}

    def _refused_against(self, ref: Ref) -> int | None:
        """The figure that a write expected in vain just now; later it may well show that figure again."""
        figure, at = self.memory.refused_against.get(ref, (None, self.desk.clock()))
        return figure if self.desk.clock() - at < READ_BEHIND else None

    def _decide(
        self,
        rest: Sequence[Ref],
        sees: Mapping[Ref, Figure],
        look_at: datetime,
        begun: datetime,
        made: set[int],
        upto: int,
    ) -> tuple[dict[Ref, int], dict[Ref, Listing], list[Listing]]:
        """What to write now that the orders behind the look are booked, and what has to be looked at once more."""
        with self.desk.ledger.read() as view:
            self._refresh(view)
            raised = [e for e in view.events(after=upto) if e.change.available > 0]
        now = {ref: self.memory.shelf.listings[ref] for ref in rest}
        wanted: dict[Ref, int] = {}
        again: list[Listing] = []
        for ref in rest:
            listing, figure = now[ref], sees[ref]
            if figure.shows is None:
                continue
            mine = [e for e in raised if e.fact.sku == listing.sku]
            others = max((e.recorded_at for e in mine if e.id not in made), default=None)
            fresh = offers.gate_open(begun, others, self.channel.capabilities.orders_lag)
            units = self._units(listing)
            is_frozen = listing.sku in self.memory.frozen
            view_ = offers.View(listing, units, figure.shows, figure.reserved, True, fresh, self.means.gross, is_frozen)
            write = offers.decide_again(view_, self._refused_against(ref))
            self.memory.refused_against.pop(ref, None)
            raises = write is not None and write > figure.shows
            if raises and offers.look_again(look_at, max((e.recorded_at for e in mine), default=None)):
                again.append(listing)
            elif write is not None:
                wanted[ref] = write
            elif not fresh:
                self.again = True
        return wanted, now, again

    def _decide_late(
        self, rest: Sequence[Ref], sees: Mapping[Ref, Figure]
    ) -> tuple[dict[Ref, int], dict[Ref, Listing]]:  # fmt: skip
        """The same where the list of orders is late or scarce: it is read only where that lets something be raised."""
        begun = self.desk.clock()
        want, opens = self._raises(rest, sees)
        if any(at < begun for at in opens.values()) and self.reads.is_allowed(begun):
            self._read_if_allowed()
            want, opens = self._raises(rest, sees)
        for at in opens.values():
            self._come_back(max(at, self.reads.not_before or at) + timedelta(seconds=1))
        now = self.memory.shelf.listings
        return {ref: figure for ref, figure in want.items() if ref not in opens}, {ref: now[ref] for ref in rest}

    def _raises(
        self, rest: Sequence[Ref], sees: Mapping[Ref, Figure]
    ) -> tuple[dict[Ref, int], dict[Ref, datetime]]:  # fmt: skip
        """What to write by what is known now; and, of what would be raised too soon, when a read would let it."""
        with self.desk.ledger.read() as view:
            self._refresh(view)
            reasons = reasons_to_raise(view, self.desk.clock() - 2 * self.reads.lag)
        want: dict[Ref, int] = {}
        opens: dict[Ref, datetime] = {}
        for ref in rest:
            listing, figure = self.memory.shelf.listings[ref], sees[ref]
            units, frozen = self._unpromised(listing), listing.sku in self.memory.frozen
            seen = offers.View(listing, units, figure.shows, figure.reserved, True, True, self.means.gross, frozen)
            write, reason = offers.decide(seen), self.reads.reason(ref, reasons.get(listing.sku or ""))
            repeat = self.repeats.get(ref.listing)
            if write is None and repeat is not None and offers.may_be_raised(listing, self.desk.clock()) and not frozen:
                write, reason = offers.wanted(seen), max(repeat, reason or repeat)
            if write is None or figure.shows is None:
                continue
            want[ref] = write
            if (write > figure.shows or repeat is not None) and not self.reads.knows(reason):
                opens[ref] = self.reads.opens_at(reason)
        return want, opens

    def _unpromised(self, item: Listing) -> int | None:
        """Units that may be sold, less those that are sold there already as far as a look showed (P5)."""
        units = self._units(item)
        return None if units is None else units - self.reads.promised_units(item)

    def _decided(self, item: Listing, figure: Figure) -> int | None:
        units = self._unpromised(item)
        unknown = offers.expected(item) is None  # then what the look shows is no sign of a sale that we missed
        view = offers.View(item, units, figure.shows, figure.reserved, explained=unknown, gross=self.means.gross)
        return offers.decide(view)

    def _second_look(self, batch: Sequence[Written]) -> list[Written]:
        """P4 without compare-and-set: what was sold between two looks is taken off, and what was sold elsewhere while
        a long one lasted.
        """
        shows = dict[Ref, int | None]()
        for part in portions.parts(self.channel, batch):
            if shows:
                self._meanwhile([item for item, _, _ in batch])
            shows |= {f.ref: f.shows for f in self.channel.figures([item.ref for item, _, _ in part])}
        with self.desk.ledger.read() as view:
            self._refresh(view)
        out: list[Written] = []
        for item, figure, first in batch:
            second, most = shows[item.ref], self._most(item)
            if first is not None and second is not None:
                figure = offers.take_off_missing(figure, first, second)
                out.append((item, figure if most is None else min(figure, most), first))
        return out

    def _most(self, item: Listing) -> int | None:
        """The offer by now: no more is written. A gross channel's figure holds its own reservations besides."""
        return None if self.means.gross else offers.offer(self._unpromised(item), item)

    def _store_seen(self, looked: Sequence[Listing], sees: Mapping[Ref, Figure], at: datetime) -> None:
        before = {item.ref: item for item in looked}
        for item in looked:
            if offers.expected(item) == sees[item.ref].shows:
                self.memory.undoes.pop(item.ref, None)  # our last write stands there
        with self.desk.ledger.begin(self.lease) as tx:
            tx.lock_listings(self.name)
            now = self._stored(tx, before)
            tx.put_listings(
                offers.seen(item, sees[item.ref].shows, sees[item.ref].reserved, at, before=before[item.ref])
                for item in now
            )

    def _stored(self, view: View, refs: Collection[Ref]) -> list[Listing]:
        found = view.listings(self.name, ids={ref.listing for ref in refs})
        return [item for item in found if item.ref in refs]

    def _write(self, targets: Sequence[Written]) -> None:
        """Figures, in batches: recorded as sent, sent once, and recorded as answered."""
        for batch in self._batches(targets):
            self._write_batch(batch)

    def _batches(self, targets: Sequence[Written]) -> Iterator[list[Written]]:
        able = self.channel.capabilities
        group = GROUPS[able.grouped_by]
        return batches(targets, able.max_batch, lambda target: group(target[0].ref))

    def _write_batch(self, targets: Sequence[Written]) -> None:
        if not targets:
            return
        refs = {item.ref for item, _, _ in targets}
        with self.desk.ledger.begin(self.lease) as tx:
            tx.lock_listings(self.name)
            if self.desk.started_at(tx) is None and not self.puts_back:
                return  # Start was undone while this pass was at work (B6)
            sending = {item.ref: offers.sending(item) for item in self._stored(tx, refs)}
            tx.put_listings(sending.values())
        batch = [Target(i.ref, figure, expected, self._key(sending[i.ref])) for i, figure, expected in targets]
        sure = self.memory.sure & refs
        self.memory.sure -= refs  # until its answer is recorded: the write may get through, and we may be stopped
        try:
            results = self.channel.push(batch)
        except OutcomeUnknown as error:
            results = [PushResult(t.ref, Outcome.UNKNOWN, str(error)) for t in batch]
        except SheetsSyncError:
            self._doubt(refs)
            raise
        try:
            self._record(batch, results, sending)
        except LeaseLost:
            self._doubt(refs)
            raise
        self.memory.sure |= sure - {r.ref for r in results if r.outcome is Outcome.UNKNOWN}

    def _doubt(self, refs: Collection[Ref]) -> None:
        """We slept over a write, and it may have come in after that of whoever drives this channel now; or it was
        refused, and who knows what came before that. The next pass looks before it believes to know what these listings
        show. That needs no lease.
        """
        with self.desk.ledger.begin() as tx:
            tx.lock_listings(self.name)
            tx.put_listings([offers.outcome_unknown(item) for item in self._stored(tx, refs)])

    def _key(self, listing: Listing) -> str:
        return f"{self.desk.ledger.id}:{self.name}:{listing.ref.listing}:{listing.ref.place}:{listing.attempts}"

    def _record(
        self, batch: Sequence[Target], results: Sequence[PushResult], sending: Mapping[Ref, Listing]
    ) -> None:  # fmt: skip
        now = self.desk.clock()
        errors = [f"{sending[r.ref].sku}: {r.why}" for r in results if r.outcome is Outcome.REFUSED]
        with self.desk.ledger.begin(self.lease) as tx:
            tx.lock_listings(self.name)
            listings = {item.ref: item for item in self._stored(tx, sending)}
            for target, result in zip(batch, results, strict=True):
                item = listings[target.ref]
                listings[target.ref] = self._after(item, target, result, now, sending[target.ref])
                if result.outcome in (Outcome.APPLIED, Outcome.ACCEPTED) and target.expected is not None:
                    self.memory.undoes[item.ref] = target.expected - target.figure
                if result.outcome is Outcome.UNKNOWN:
                    self.memory.unanswered.add(item.ref)
                self.sent.append(Sent(item, target.figure, target.expected, result))
                about = {"channel": self.name, "sku": item.sku, "figure": target.figure}
                log.info("push", **about, outcome=result.outcome, why=result.why)
            tx.put_listings(listings.values())
            ended = (Outcome.APPLIED, Outcome.ACCEPTED, Outcome.REFUSED)
            again.written(tx, self.name, {r.ref.listing for r in results if r.outcome in ended}, self.planned_at)
            if any(r.outcome is Outcome.APPLIED for r in results):
                remember(tx, self.name, last_push=now)
            if errors:
                remember(tx, self.name, last_error=errors[0][:300])
            if self.meter is not None:
                self.meter.left = max(1, self.meter.left - len(batch))
                remember(tx, self.name, progress=self.meter.words)
        self.desk.wake("sheet")

    def _after(self, item: Listing, target: Target, result: PushResult, now: datetime, sent: Listing) -> Listing:
        """A listing after the answer to a write."""
        match result.outcome:
            case Outcome.APPLIED:
                return offers.acknowledge(item, target.figure, now, sent=sent)
            case Outcome.ACCEPTED:
                self._come_back(now + accepted.AGAIN)
                return offers.accepted(item, result.job, target.figure)
            case Outcome.STALE:
                self.again = True
                if target.expected is not None:
                    self.memory.refused_against[item.ref] = target.expected, now
                return offers.stale(item)
            case Outcome.RETRY:
                wait = RETRY_AFTER if result.retry_after is None else timedelta(seconds=result.retry_after)
                return offers.retry_later(item, now + wait, result.why)
            case Outcome.REFUSED:
                return offers.refused(item, result.why, now + REFUSED_FOR)
            case Outcome.UNKNOWN:
                self.again = True
                return offers.outcome_unknown(item)

    def _finish(self, pushes: bool) -> int:
        """Note how many listings are out of step, and forget an error that no listing has any more."""
        plan, _ = self.plan()
        out_of_step = plan.out_of_step if pushes else 0
        with self.desk.ledger.begin(self.lease) as tx:
            kept = tx.get(channel_state(self.name), {})
            errors = [item.error for item in self.memory.shelf.listings.values() if item.error]
            remember(tx, self.name, out_of_step=out_of_step, last_error=kept.get("last_error", "") if errors else "")
            if self.meter is not None:
                self.meter.left = first_sync.waiting(plan)
                self.events += first_sync.note(tx, self.desk, self.name, self.meter)
        return out_of_step
