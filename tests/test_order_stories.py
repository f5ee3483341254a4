"""The stories in `stories/orders.txt`, told to real shops and a real sheet. The file's head says how to read them.

All stories happen in one world, each at a SKU of its own: that they do not disturb each other is part of the test.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import stamina

from sheets_sync import adjusting, answering, review
from sheets_sync.adjustments import Wish
from sheets_sync.model import Event, Kind, Order, Question, StockKey
from sheets_sync.order_book import book_orders
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops.shopify import Refunded
from sheets_sync.sandbox.shops.woocommerce.model import RELEASE, LineWanted
from tests.hands import VENDORS, Clock, Hands, hands_of
from tests.near import Near
from tests.world import World

pytestmark = pytest.mark.xdist_group("order stories")

FILE = Path(__file__).parent / "stories" / "orders.txt"


@dataclass(frozen=True)
class Story:
    """One story at one shop: what happens, and what the ledger says then ("" where nobody looks)."""

    title: str
    vendor: str
    sku: str
    steps: tuple[tuple[str, str], ...]
    ledger: str = ""


def read(text: str) -> Iterator[Story]:
    number = 0
    for block in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, where, *rest = [line.rstrip() for line in block.splitlines() if line.strip()]
        steps = tuple(_step(line) for line in rest if not line.startswith("ledger: "))
        ledger = next((line.removeprefix("ledger: ") for line in rest if line.startswith("ledger: ")), "")
        shops = VENDORS if where == "in both shops" else (where.removeprefix("in "),)
        for vendor in shops:
            number += 1
            yield Story(title, vendor, f"S{number:03}", steps, ledger)


def _step(line: str) -> tuple[str, str]:
    what, _, says = line.partition("  ")
    return what.strip(), says.strip()


STORIES = tuple(read(FILE.read_text(encoding="utf-8")))


@dataclass
class Stage:
    """The world in which all stories happen."""

    world: World
    clock: Clock
    hands: dict[str, Hands]
    told: list[Story] = field(default_factory=list)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    clock = Clock()
    seeds = [Seed(story.sku, story.title[:60], 10) for story in STORIES]
    world = Near(tmp_path_factory.mktemp("stories"), vendors=VENDORS, seeds=seeds, clock=clock)
    try:
        with stamina.set_testing(True, attempts=2):
            world.begin()
            clock.tick(hours=2)
            world.passes()
            yield Stage(world, clock, {vendor: hands_of(world.shops[vendor]) for vendor in VENDORS})
    finally:
        world.close()


@dataclass
class Told:
    """One story while it is told."""

    stage: Stage
    story: Story
    orders: dict[str, str] = field(default_factory=dict)
    remembered: dict[str, Order] = field(default_factory=dict)

    @property
    def here(self) -> Hands:
        return self.stage.hands[self.story.vendor]

    @property
    def world(self) -> World:
        return self.stage.world

    @property
    def shop(self) -> Any:
        return self.here.shop

    # telling ----------------------------------------------------------------------------------------------------

    def tell(self) -> None:
        for what, says in self.story.steps:
            unseen = what.startswith("unseen: ")
            if what != "look":
                self._act(what.removeprefix("unseen: "))
            self.stage.clock.tick(minutes=2)
            if says:
                self.look("types" in what or "is_order" in what)
                assert self.says() == says, what
            else:
                assert unseen or what.split()[0] in ("remember", "with"), f"{what}: what does the ledger say then?"
        if self.story.ledger:
            assert self.ledger() == self.story.ledger
        self.stage.told.append(self.story)

    def look(self, sheet: bool = False) -> None:
        self.world.channel_memory[self.story.vendor].tidied_at = None
        self.world.channel_pass(self.story.vendor)
        for _ in range(3 if sheet else 0):
            self.world.sheet_pass()

    def says(self) -> str:
        with self.world.ledger.read() as view:
            damaged = view.balances([self.story.sku])[StockKey(self.story.sku)].stock.damaged
        asked = " ".join(sorted({q.kind for q in self.asked()}))
        words = [
            self.world.figures(self.story.sku),
            f"damaged {damaged}" if damaged else "",
            f"asks {asked}" if asked else "",
        ]
        return " ".join(filter(None, words))

    def asked(self) -> list[Question]:
        with self.world.ledger.read() as view:
            return view.questions(sku=self.story.sku)

    def ledger(self) -> str:
        return "; ".join(_told(event) for event in self.world.events(self.story.sku)[1:])

    # what people do ---------------------------------------------------------------------------------------------

    def _act(self, what: str) -> None:
        for pattern, act in ACTS:
            if found := re.fullmatch(pattern, what):
                act(self, *found.groups())
                return
        raise AssertionError(f"nobody knows how to do this: {what}")

    def id(self, name: str) -> int:
        return int(self.orders[name])

    def buys(self, name: str, units: str, unpaid: str | None) -> None:
        self.orders[name] = self.here.buy(self.story.sku, int(units), paid=unpaid is None)

    def sold_by_admin(self, name: str, units: str) -> None:
        with self.shop.store.transaction() as db:
            wanted = LineWanted(self.shop.product_id(self.story.sku), int(units))
            self.orders[name] = str(self.shop.place(db, [wanted], created_via="admin"))
        self.shop.pay(self.id(name))

    def in_a_cart(self, name: str, units: str) -> None:
        with self.shop.store.transaction() as db:
            wanted = LineWanted(self.shop.product_id(self.story.sku), int(units))
            status, via = "checkout-draft", "store-api"
            self.orders[name] = str(self.shop.place(db, [wanted], status=status, created_via=via))

    def ships(self, name: str, units: str | None) -> None:
        if units is None:
            self.here.ship(self.orders[name])
        else:
            self.shop.ship(self.id(name), {self.line(name): int(units)})

    def line(self, name: str) -> int:
        return int(self.shop.order(self.id(name))["lines"][0]["id"])

    def cancelled(self, name: str, how: str | None) -> None:
        if how is None:
            self.here.cancel(self.orders[name])
        else:
            reason = "INVENTORY" if how == " for want of stock" else "CUSTOMER"
            self.shop.cancel(self.id(name), restock=False, reason=reason)

    def edited(self, name: str, units: str, without: str | None) -> None:
        if without is None:
            self.here.edit(self.orders[name], self.story.sku, int(units))
        else:
            self.shop.edit(self.id(name), self.line(name), int(units), restock=False)

    def come_back(self, units: str, name: str, unseen: str | None) -> None:
        hands: Any = self.here
        hands.refund(self.orders[name], self.story.sku, int(units), restock=unseen is None)

    def money(self, name: str) -> None:
        if self.story.vendor == "shopify":
            self.shop.refund(self.id(name), [Refunded(self.line(name), 1, "NO_RESTOCK")])
        else:
            with self.shop.store.transaction() as db:
                self.shop.make_refund(db, self.id(name), {}, Decimal(1), restock=True, reason="")

    def becomes(self, name: str, status: str) -> None:
        with self.shop.store.transaction() as db:
            self.shop.set_status(db, self.id(name), status)

    def refund_deleted(self, name: str) -> None:
        with self.shop.store.transaction() as db:
            (refund,) = db.execute("SELECT id FROM refund WHERE order_id = ?", (self.id(name),)).fetchone()
            self.shop.delete_refund(db, self.id(name), int(refund))

    def called_back(self, name: str) -> None:
        parcel = next(f for f in self.shop.order(self.id(name))["fulfillments"] if f["status"] != "CANCELLED")
        self.shop.cancel_fulfillment(self.id(name), int(parcel["id"]))

    def remember(self, name: str) -> None:
        order = self.world.desk.channels[self.story.vendor].order(self.orders[name])
        self.remembered[name] = dataclasses.replace(order, read_at=None)

    def arrives(self, name: str) -> None:
        with self.world.ledger.begin() as tx:
            book_orders(tx, self.world.desk, self.story.vendor, [self.remembered[name]])

    def deleted(self, name: str) -> None:
        """Shopify says so by a webhook alone: no list of orders shows what is gone."""
        self.here.delete(self.orders[name])
        if self.story.vendor == "shopify":
            gone = self.world.desk.channels[self.story.vendor].order(self.orders[name])
            with self.world.ledger.begin() as tx:
                book_orders(tx, self.world.desk, self.story.vendor, [gone])

    def counts(self, figure: str) -> None:
        wanted = Wish(self.story.sku, set_to=int(figure))
        adjusting.adjust(self.world.desk, wanted, key=f"count:{self.story.sku}:{self.world.last_event()}")

    def types(self, figure: str) -> None:
        for _ in range(2):
            self.world.sheet_pass()  # so that the cell shows what the seller types over
        self.world.type(self.story.sku, figure)

    def adjusts(self, change: str, reason: str, name: str) -> None:
        wanted = Wish(self.story.sku, int(change), reason=reason, reference=f"{self.story.vendor} {self.orders[name]}")
        adjusting.adjust(self.world.desk, wanted, key=f"adjust:{self.story.sku}:{self.world.last_event()}")

    def answers(self, kind: str | None, word: str, units: str | None) -> None:
        (question,) = [q for q in self.asked() if kind is None and q.kind != "is_order" or q.kind == kind]
        answering.answer(self.world.desk, review.short_id(question), word, units=int(units) if units else None)

    def undoes(self, name: str) -> None:
        events = self.world.events(self.story.sku)
        if name == "the count":
            wanted = [e for e in events if e.fact.kind is Kind.STOCK_TAKE]
        else:
            wanted = [e for e in events if e.fact.line.split("/")[1:2] == [self.orders[name]]]
        answering.undo(self.world.desk, str(wanted[0].id))

    def config(self, key: str, value: str) -> None:
        self._settings(**{key: value})

    def copies(self) -> None:
        source = {"shopify": "web", "woocommerce": "checkout"}[self.story.vendor]
        self._settings(copies_of=(source,))

    def _settings(self, **how: Any) -> None:
        settings = self.world.desk.settings
        about = settings.channels[self.story.vendor].model_copy(update=how)
        channels = {**settings.channels, self.story.vendor: about}
        self.world.desk.settings = dataclasses.replace(settings, channels=channels)
        self.look()  # a setting holds from the moment in which the service has seen it


ACTS: tuple[tuple[str, Callable[..., None]], ...] = (
    (r"(\w) buys (\d+)( unpaid)?", Told.buys),
    (r"(\w) lies in a cart at the checkout: (\d+)", Told.in_a_cart),
    (r"(\w) is sold by the admin: (\d+)", Told.sold_by_admin),
    (r"(\w) is paid", lambda told, name: told.here.pay(told.orders[name])),
    (r"(\w) is put on hold", lambda told, name: told.shop.hold(told.id(name))),
    (r"(\w) ships(?: (\d+))?", Told.ships),
    (r"(\w) is cancelled( for want of stock| without restock)?", Told.cancelled),
    (r"(\w) is edited to (\d+)( without restock)?", Told.edited),
    (r"(\d+) of (\w) come back( unseen by the shop)?", Told.come_back),
    (r"(\w) is refunded in money", Told.money),
    (r"(\w) becomes ([\w-]+)", Told.becomes),
    (r"the refund of (\w) is deleted", Told.refund_deleted),
    (r"(\w) is deleted", Told.deleted),
    (r"(\w) is deleted without a word", lambda told, name: told.here.delete(told.orders[name])),
    (r"(\w) is restored", lambda told, name: told.shop.restore(told.id(name))),
    (r"the parcel of (\w) is called back", Told.called_back),
    (r"remember (\w)", Told.remember),
    (r"what was remembered of (\w) arrives", Told.arrives),
    (r"the seller counts (\d+)", Told.counts),
    (r"the seller types (\d+)", Told.types),
    (r"an adjustment of ([+-]\d+), (\w+), for (\w)", Told.adjusts),
    (r"Review(?: (\w+))?: (\D+?)(?: (\d+))?", Told.answers),
    (r"undo (the count|\w)", Told.undoes),
    (r"(\d+) days go by", lambda told, days: told.stage.clock.tick(days=int(days))),
    (r"with (\w+) = (\w+)", Told.config),
    (r"with copies", Told.copies),
    (r"with WooCommerce ([\d.]+)", lambda told, release: setattr(told.shop, "release", release)),
)


def _told(event: Event) -> str:
    changes = zip("hcd", event.change, strict=True)
    return " ".join([str(event.fact.kind), *(f"{letter}{n:+d}" for letter, n in changes if n)])


@pytest.mark.parametrize("story", STORIES, ids=[f"{s.vendor}: {s.title}" for s in STORIES])
def test_story(stage: Stage, story: Story) -> None:
    before = stage.world.desk.settings
    told = Told(stage, story)
    try:
        told.tell()
    finally:
        stage.hands["woocommerce"].shop.release = RELEASE
        if stage.world.desk.settings != before:
            stage.world.desk.settings = before
            told.look()
            stage.clock.tick(minutes=1)


def test_at_the_end_of_every_story_both_shops_show_what_is_available(stage: Stage) -> None:
    """All of them together: a story that leaves something behind would be seen at its SKU."""
    stage.clock.tick(minutes=20)
    stage.world.passes()
    assert stage.world.ledger.verify() == []
    available = {s.sku: max(0, int(stage.world.figures(s.sku).split("/")[2])) for s in stage.told}
    for vendor, hands in stage.hands.items():
        assert {sku: hands.figure(sku) for sku in available} == available, vendor


def test_there_are_enough_stories() -> None:
    titles = [story.title for story in STORIES]
    assert len(set(titles)) >= 40
    for vendor in VENDORS:
        assert sum(story.vendor == vendor for story in STORIES) >= 40
