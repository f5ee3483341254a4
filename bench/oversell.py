"""Oversells per 100,000 orders, of the raise gate and compare-and-set against blind absolute pushing.

    python bench/oversell.py [--orders 2000] [--seed 1]

A simulation on a simulated clock. Buyers come at random to two to five channels and buy the same stock, in ones and
twos; some cancel, a supplier brings more when it is gone. Every call takes its time, deliveries are late or lost,
answers to writes are lost, and a list of orders may run 179 s late. What is decided, and when, is decided by the
product's own functions: `lines.book`, all of `offers`, and `late_orders.Reads`; the loop around them does what
`channel_sync` does, call for call. Blind pushing has the same shops, calls and deliveries, and writes the figure that
it works out to every channel whenever it hears of a change, as most connectors do.

An oversell is an order for a unit that was promised already. Nobody gets to 0 where buyers come faster than any
answer can: with two channels, what is sold on one in the second before the other is lowered can be sold there, too.
`hold back` shows what keeping units off every channel is worth.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sheets_sync import lines, offers
from sheets_sync.late_orders import Reads
from sheets_sync.model import Figure, LineState, Listing, Order, OrderLine, OrderState, Ref

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
ALLOWANCE = timedelta(seconds=60)
SKU, REF = "A", Ref("1")
WARM = 3600.0  # seconds that have passed when buying begins: no clock allowance of the start is in the way
LOOKS = 3
RESTOCK = 600.0  # seconds until a supplier comes, once nothing is left
CANCELS = 0.05  # of the orders, some minutes later

Process = Generator["float | Wake | tuple[Wake, float]", None, None]


@dataclass
class Wake:
    """A hint that shortens a wait."""

    given: bool = False
    waiting: int = 0  # the wait that it would end


class Clock:
    """Simulated time, and the processes that wait for it."""

    def __init__(self) -> None:
        self.now, self.turn = WARM, 0
        self.queue: list[tuple[float, int, Process, int]] = []
        self.waits: dict[int, tuple[Wake, Process]] = {}

    def __call__(self) -> datetime:
        return BEGIN + timedelta(seconds=self.now)

    def start(self, process: Process, after: float = 0.0) -> None:
        self._later(after, process, 0)

    def _later(self, after: float, process: Process, wait: int) -> None:
        self.turn += 1
        heapq.heappush(self.queue, (self.now + after, self.turn, process, wait))

    def wake(self, hint: Wake) -> None:
        hint.given = True
        if hint.waiting in self.waits:
            _, process = self.waits.pop(hint.waiting)
            self._later(0.0, process, 0)

    def step(self) -> None:
        """Whatever is next."""
        self.now, _, process, wait = heapq.heappop(self.queue)
        if wait and self.waits.pop(wait, None) is None:
            return  # it was woken before
        asked = next(process, None)
        if isinstance(asked, tuple):
            hint, timeout = asked
            self.turn += 1
            hint.waiting = self.turn
            self.waits[self.turn] = (hint, process)
            self._later(timeout, process, self.turn)
            if hint.given:
                self.wake(hint)
        elif isinstance(asked, float | int):
            self._later(asked, process, 0)


@dataclass(frozen=True)
class Scene:
    """What is simulated."""

    name: str
    channels: int = 2
    gap: float = 8.0  # seconds between two buyers, over all channels
    compare_and_set: bool = True
    lag: float = 0.0  # seconds that the list of orders runs late
    lost: float = 0.02  # deliveries that never come
    deliveries: bool = True
    look_every: float = 30.0
    figures_every: float = 30.0
    shared: bool = True  # what a look found sold, and no order shows yet, is promised on the other channels, too
    hold_back: int = 0
    stock: int = 20


@dataclass
class Shelf:
    """What is really there."""

    units: int
    promised: int = 0
    orders: int = 0
    oversold: int = 0
    refused: int = 0  # buyers who were sent away though there were units, for the channel showed none
    waited: int = 0  # of all buyers


@dataclass
class Sale:
    """One order of a shop, as it stands."""

    id: int
    at: datetime
    units: int
    changed: datetime
    cancelled: bool = False

    def level(self) -> Order:
        """As a reading shows it."""
        units, gone = self.units, self.units if self.cancelled else 0
        line = OrderLine(
            "1", units, SKU, REF, cancelled=gone, cancelled_at=self.changed if gone else None, taken=units - gone,
            taken_at=self.changed,
        )  # fmt: skip
        state = OrderState.CANCELLED if self.cancelled else OrderState.OPEN
        return Order(str(self.id), self.at, self.changed, state, (line,), paid=True)


class Shop:
    """A channel as the outside sees it."""

    def __init__(self, name: str, scene: Scene, clock: Clock, dice: random.Random, figure: int) -> None:
        self.name, self.scene, self.clock, self.dice, self.figure = name, scene, clock, dice, figure
        self.sales: dict[int, Sale] = {}
        self.changes: list[tuple[float, int]] = []  # when which order changed, in order
        self.deliver = lambda sale: None

    def buy(self, shelf: Shelf, units: int) -> Sale | None:
        shelf.waited += 1
        if self.figure < units:
            shelf.refused += shelf.units - shelf.promised >= units
            return None
        self.figure -= units
        shelf.orders += 1
        shelf.promised += units
        shelf.oversold += shelf.promised > shelf.units
        sale = Sale(len(self.sales) + 1, self.clock(), units, self.clock())
        self.sales[sale.id] = sale
        self._changed(sale)
        return sale

    def cancel(self, shelf: Shelf, sale: Sale) -> None:
        """Called off by its buyer: the shop puts the units back by itself."""
        sale.cancelled, sale.changed = True, self.clock()
        self.figure += sale.units
        shelf.promised -= sale.units
        self._changed(sale)

    def _changed(self, sale: Sale) -> None:
        self.changes.append((self.clock.now, sale.id))
        if self.scene.deliveries and self.dice.random() >= self.scene.lost:
            self.clock.start(self._delivery(sale.level()))

    def _delivery(self, level: Order) -> Process:
        yield self.dice.expovariate(1 / 2.0)
        self.deliver(level)

    # calls, each a way there, what happens, and a way back; the answer is what the generator returns

    def call(self) -> float:
        return self.dice.uniform(0.1, 0.4)

    def read_figure(self) -> Generator[float, None, int]:
        yield self.call()
        shown = self.figure
        yield self.call()
        return shown

    def read_orders(self, since: float) -> Generator[float, None, list[Order]]:
        yield self.call()
        upto, found = self.clock.now - self.scene.lag, {}
        for at, id in reversed(self.changes):
            if at < since - self.scene.lag - 5:
                break
            if at <= upto:
                found[id] = self.sales[id].level()
        yield self.call()
        return list(found.values())

    def write(self, figure: int, expected: int | None) -> Generator[float, None, str]:
        """ "applied", "stale" or "lost" """
        yield self.call()
        if self.dice.random() < 0.005:  # the request is lost on its way
            yield 10.0
            return "lost"
        stale = self.scene.compare_and_set and expected is not None and expected != self.figure
        if not stale:
            self.figure = figure
        if self.dice.random() < 0.005:  # or its answer
            yield 10.0
            return "lost"
        yield self.call()
        return "stale" if stale else "applied"


@dataclass
class Books:
    """What the service knows: lines, what is available, and why it rose."""

    available: int
    clock: Clock
    lines: dict[tuple[str, str], LineState] = field(default_factory=dict)
    read: dict[tuple[str, str], Order] = field(default_factory=dict)
    rises: list[tuple[datetime, int]] = field(default_factory=list)
    last: int = 0

    def add(self, change: int) -> int:
        """An event; its number."""
        self.available += change
        self.last += 1
        if change > 0:
            self.rises.append((self.clock(), self.last))
        return self.last

    def book(self, channel: str, order: Order) -> tuple[list[int], tuple[lines.Taken, ...]]:
        key = (channel, order.id)
        if self.read.get(key) == order:  # `lines.book` would say so, too, and take its time
            return [], ()
        self.read[key] = order
        booked = lines.book(self.lines.get(key), order, order.lines[0], channel=channel, sku=SKU)
        self.lines[key] = booked.state
        made = [self.add(fact.change.available) for fact in booked.facts]
        return made, booked.taken


class Careful:
    """A channel's loop as `channel_sync` has it."""

    def __init__(self, shop: Shop, books: Books, others: list[Careful]) -> None:
        scene, clock = shop.scene, shop.clock
        self.shop, self.books, self.others, self.clock = shop, books, others, clock
        self.listing = Listing(shop.name, REF, SKU, hold_back=scene.hold_back, shown=shop.figure, shown_at=BEGIN)
        self.means = offers.Means(scene.compare_and_set, True)
        self.reads = Reads(lag=timedelta(seconds=scene.lag))
        self.reads.born = BEGIN
        self.hint, self.looked_at, self.cursor, self.refused = Wake(), -1e9, 0.0, None
        shop.deliver = self.delivered

    # knowing

    def available(self) -> int:
        """P5: what a look found sold and no order explains yet is promised."""
        looked = self.others if self.shop.scene.shared else [self]
        return self.books.available - sum(other.reads.promised(REF) for other in looked)

    def delivered(self, order: Order) -> None:
        if self._book(order):
            self._wake_all()

    def _book(self, order: Order) -> list[int]:
        made, taken = self.books.book(self.shop.name, order)
        for one in taken:
            self.listing = offers.note_taken(self.listing, one.change, one.at, ALLOWANCE, edited=one.edited)
        return made

    def _wake_all(self) -> None:
        for other in self.others:
            self.clock.wake(other.hint)

    # working

    def run(self) -> Process:
        while True:
            self.hint.given = False
            yield from self.one_pass()
            yield self.hint, self.shop.scene.look_every

    def one_pass(self) -> Process:
        step = self._step()
        if step and step.action is offers.Action.LOWER:
            yield from self._write(step.figure, step.expected)
        elif step and None not in (step.figure, step.expected) and step.figure < step.expected:
            yield from self._lower_now((yield from self._look())[1])
        yield from self._read_orders()
        for _ in range(LOOKS):
            step = self._step()
            due = self.clock.now - self.looked_at >= self.shop.scene.figures_every
            if not due and (step is None or step.action is offers.Action.LEAVE):
                return
            if step and step.action is offers.Action.LOWER:
                yield from self._write(step.figure, step.expected)
            if not (yield from self._one_look()):
                return
        self.hint.given = True

    def _step(self) -> offers.Step | None:
        plan = offers.plan([self.listing], {SKU: self.available()}, self.means, now=self.clock())
        return next(iter((*plan.lower, *plan.look, *plan.raise_, *plan.left)), None)

    def _one_look(self) -> Generator[float, None, bool]:
        """True where it takes another look."""
        at, upto = self.clock(), self.books.last
        before, shows = yield from self._look()
        if (yield from self._lower_now(shows, before)):
            return False
        begun, made = yield from self._read_orders()
        rises = [(when, id) for when, id in self.books.rises[-200:] if id > upto]
        reason = max((when for when, id in rises if id not in made), default=None)
        if self.reads.late:
            reason = self.books.rises[-1][0] if self.books.rises else None
            fresh = self.reads.knows(reason)
        else:
            fresh = offers.gate_open(begun, reason)
        view = offers.View(self.listing, self.available(), shows, 0, True, fresh)
        figure = offers.decide_again(view, self.refused)
        self.refused = None
        if figure is None:
            return False
        if figure > shows and offers.look_again(at, max((when for when, _ in rises), default=None)):
            return True
        if not self.means.compare_and_set:
            second = yield from self.shop.read_figure()
            figure = offers.take_off_missing(figure, shows, second)
        yield from self._write(figure, shows)
        return False

    def _look(self) -> Generator[float, None, tuple[Listing, int]]:
        before, at = self.listing, self.clock()
        shows = yield from self.shop.read_figure()
        self.looked_at = self.clock.now
        self.listing = offers.seen(self.listing, shows, 0, at, before=before)
        found = self.reads.promised(REF)
        self.reads.saw([before], {REF: Figure(REF, shows)}, at)
        if self.reads.promised(REF) != found:
            self._wake_all()
        return before, shows

    def _lower_now(self, shows: int, before: Listing | None = None) -> Generator[float, None, bool]:
        item = before or self.listing
        view = offers.View(
            item, self.available(), shows, 0, explained=True
        )  # `available` has what was unseen taken off
        figure = offers.decide(view)
        if figure is None or figure >= shows or shows == self.refused:
            return False
        yield from self._write(figure, shows)
        return True

    def _read_orders(self) -> Generator[float, None, tuple[datetime, set[int]]]:
        begun, at = self.clock(), self.clock.now
        orders = yield from self.shop.read_orders(self.cursor)
        made = {id for order in orders for id in self._book(order)}
        self.cursor = at
        self.reads.was_read(begun)
        if made:
            self._wake_all()
        return begun, made

    def _write(self, figure: int, expected: int | None) -> Process:
        sent = self.listing = offers.sending(self.listing)
        answer = yield from self.shop.write(figure, expected)
        if answer == "applied":
            self.listing = offers.acknowledge(self.listing, figure, self.clock(), sent=sent)
        else:
            self.hint.given = True
            self.listing = offers.stale(self.listing) if answer == "stale" else offers.outcome_unknown(self.listing)
            self.refused = expected if answer == "stale" else None


class Blind:
    """Works the figure out and writes it, whatever stands there."""

    def __init__(self, shop: Shop, books: Books, others: list[Blind]) -> None:
        self.shop, self.books, self.others, self.clock = shop, books, others, shop.clock
        self.hint, self.cursor, self.told = Wake(), 0.0, shop.figure
        shop.deliver = self.delivered

    def delivered(self, order: Order) -> None:
        if self.books.book(self.shop.name, order)[0]:
            self._wake_all()

    def _wake_all(self) -> None:
        for other in self.others:
            self.clock.wake(other.hint)

    def run(self) -> Process:
        known = self.books.last
        while True:
            woken, self.hint.given = self.hint.given, False
            if not woken:
                at = self.clock.now
                for order in (yield from self.shop.read_orders(self.cursor)):
                    if self.books.book(self.shop.name, order)[0]:
                        self._wake_all()
                self.cursor = at
            if known != self.books.last:
                known = self.books.last
                figure = max(0, self.books.available - self.shop.scene.hold_back)
                if (yield from self.shop.write(figure, None)) == "lost":
                    known = -1
            yield self.hint, self.shop.scene.look_every


def buyers(scene: Scene, shops: Sequence[Shop], shelf: Shelf, clock: Clock, dice: random.Random) -> Process:
    """They come at random, to any channel."""
    while True:
        yield dice.expovariate(1 / scene.gap)
        shop = dice.choice(shops)
        sale = shop.buy(shelf, dice.choices((1, 2), (9, 1))[0])
        if sale is not None and dice.random() < CANCELS:
            clock.start(regret(shop, shelf, sale, dice.expovariate(1 / 300.0)))


def regret(shop: Shop, shelf: Shelf, sale: Sale, after: float) -> Process:
    yield after
    shop.cancel(shelf, sale)


def supplier(scene: Scene, shelf: Shelf, books: Books, workers: Sequence[Careful | Blind], clock: Clock) -> Process:
    """Brings more when nothing has been left for a while; the seller types it in."""
    while True:
        yield 60.0
        if shelf.units - shelf.promised <= scene.hold_back:
            yield RESTOCK
            more = scene.stock - min(0, shelf.units - shelf.promised)
            shelf.units += more
            books.add(more)
            workers[0]._wake_all()


def simulate(scene: Scene, how: type[Careful] | type[Blind], orders: int, seed: int) -> Shelf:
    """Until so many orders were placed."""
    clock, dice = Clock(), random.Random(seed)  # noqa: S311 - a simulation, and the same one every time
    shelf, books = Shelf(scene.stock), Books(scene.stock, clock)
    figure = max(0, scene.stock - scene.hold_back)
    shops = [Shop(f"shop{n}", scene, clock, dice, figure) for n in range(1, scene.channels + 1)]
    workers: list = []
    workers += [how(shop, books, workers) for shop in shops]
    for n, worker in enumerate(workers):
        clock.start(worker.run(), after=scene.look_every * n / len(workers))
    clock.start(buyers(scene, shops, shelf, clock, dice))
    clock.start(supplier(scene, shelf, books, workers, clock))
    while shelf.orders < orders:
        clock.step()
    return shelf


ONE = Scene("1 channel, a buyer every 8 s", channels=1)
LATE = Scene("2 channels, orders 179 s late", lag=179.0, deliveries=False, compare_and_set=False)
"""Figures are read every 30 s, as the product does on one Amazon marketplace with up to 600 listings, and with more for
300 that moved within a day (`drift.Pace`)."""

SCENES = (
    ONE,
    replace(ONE, name="1 channel, no compare-and-set", compare_and_set=False),
    Scene("2 channels, a buyer every 60 s", gap=60.0),
    Scene("2 channels, a buyer every 8 s"),
    Scene("2 channels, no compare-and-set", compare_and_set=False),
    Scene("2 channels, no deliveries at all", deliveries=False),
    LATE,
    replace(LATE, name="2 channels, late, 3,000 of them sell", figures_every=300.0),
    replace(LATE, name="2 channels, late, figures never read", figures_every=1e9),
    replace(LATE, name="2 channels, late, each for itself", shared=False),
    replace(LATE, name="2 channels, late, a buyer every 60 s", gap=60.0),
    Scene("2 channels, hold back 1", hold_back=1),
    Scene("5 channels, a buyer every 8 s", channels=5),
    Scene("5 channels, hold back 2", channels=5, hold_back=2),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--orders", type=int, default=2_000, help="orders a scene (default 2000)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print(f"{'oversells per 100,000 orders':44}{'ours':>8}{'blind':>8}   buyers sent away in vain: ours, blind")
    began = time.perf_counter()
    for scene in SCENES:
        ours, blind = (simulate(scene, how, given.orders, given.seed) for how in (Careful, Blind))
        counts = [f"{round(100_000 * shelf.oversold / shelf.orders):>8,}" for shelf in (ours, blind)]
        away = [f"{shelf.refused / shelf.waited:.2%}" for shelf in (ours, blind)]
        print(f"{scene.name:44}{''.join(counts)}   {away[0]:>8} {away[1]:>8}", flush=True)
    print(f"{given.orders:,} orders a scene and side, seed {given.seed}, {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
