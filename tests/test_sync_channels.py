"""The channels' side, end to end: orders become events, figures become pushes (RULES S1, O, P), over real HTTP.

Two local shops share one ledger: `here` is the shop where a test's things happen, `there` the other one. Each rule is
held on Shopify (compare-and-set) and on WooCommerce (none), unless it is about one of them alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import stamina

from sheets_sync import answering, review
from sheets_sync.channel_sync import CATALOGUE_EVERY, REFUSED_FOR
from sheets_sync.channels import Outcome
from sheets_sync.errors import Unavailable
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops._common import Answer, Drop, Seen
from sheets_sync.sheet import tabs
from tests.hands import VENDORS, Clock, Hands, hands_of, once
from tests.world import World

MUG = "00123"


@dataclass
class Shops:
    """A world after Start, an hour later: every SKU is open, nothing is in doubt. 00123 stands at 10."""

    world: World
    clock: Clock
    here: Hands
    there: Hands

    def visit(self, hands: Hands | None = None) -> list[tuple[str, int]]:
        """One pass over a shop: what it wrote there, and proof that the ledger still proves itself."""
        report = self.world.channel_pass((hands or self.here).vendor)
        assert self.world.ledger.verify() == []
        return [(str(sent.listing.sku), sent.figure) for sent in report.sent]

    def count(self, sku: str, figure: int) -> None:
        """A person types, and the sheet is read."""
        self.world.type(sku, str(figure))
        self.world.sheet_passes()

    def shown(self, sku: str = MUG) -> tuple[int | None, int | None]:
        return self.here.figure(sku), self.there.figure(sku)

    def ends(self, figures: str, shown: int, sku: str = MUG) -> None:
        """Everything is quiet, the ledger says `figures`, and both shops show the offer."""
        self.world.passes()
        assert (self.world.figures(sku), *self.shown(sku)) == (figures, shown, shown)
        assert self.world.ledger.verify() == []


def an_hour_later(world: World) -> None:
    world.go()
    world.clock.tick(hours=1)  # type: ignore[attr-defined]
    world.passes()
    world.clock.tick(minutes=5)  # type: ignore[attr-defined]


@contextmanager
def opened(folder: Path, vendor: str, **how: object) -> Iterator[Shops]:
    clock = Clock()
    world = World(folder, vendors=VENDORS, clock=clock, **how)  # type: ignore[arg-type]
    try:
        with stamina.set_testing(True, attempts=2):
            world.begin(an_hour_later)
            other = next(v for v in VENDORS if v != vendor)
            yield Shops(world, clock, hands_of(world.shops[vendor]), hands_of(world.shops[other]))
    finally:
        world.close()


@pytest.fixture(params=VENDORS)
def shops(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shops]:
    with opened(tmp_path, request.param) as found:
        yield found


@pytest.fixture(params=VENDORS)
def shops_on_postgres(tmp_path: Path, request: pytest.FixtureRequest, postgres_url: str) -> Iterator[Shops]:
    with opened(tmp_path, request.param, ledger_url=postgres_url) as found:
        yield found


@pytest.fixture
def woo(tmp_path: Path) -> Iterator[Shops]:
    with opened(tmp_path, "woocommerce") as found:
        yield found


@pytest.fixture
def shopify(tmp_path: Path) -> Iterator[Shops]:
    with opened(tmp_path, "shopify") as found:
        yield found


# what a sale is, and what is typed -------------------------------------------------------------------------------


def a_day_of_sales(shops: Shops) -> None:
    order = shops.here.buy(MUG, 3)
    shops.ends("10/3/7", 7)
    assert shops.world.cell(MUG) == 10 and shops.world.cell(MUG, "Committed") == 3
    shops.here.ship(order)
    shops.clock.tick(minutes=5)
    shops.visit()
    assert shops.world.cell(MUG) == 10, "the seller still sees 10"
    shops.count(MUG, 8)
    shops.ends("5/0/5", 5)
    assert shops.world.cell(MUG) == 5
    assert shops.world.status(MUG) == "-2 recorded, now 5; for exactly 8 use Set to"


def test_S1_sold_and_shipped_between_seeing_10_and_typing_8_is_5(shops: Shops) -> None:
    a_day_of_sales(shops)


def test_S1_on_postgresql(shops_on_postgres: Shops) -> None:
    a_day_of_sales(shops_on_postgres)


def test_a_sale_alone_leaves_on_hand_and_raises_committed(shops: Shops) -> None:
    shops.here.buy(MUG, 2)
    shops.ends("10/2/8", 8)
    assert [(e.fact.kind, *e.change) for e in shops.world.events(MUG)][1:] == [("order", 0, 2, 0)]


def test_a_count_typed_is_the_figure_in_both_shops(shops: Shops) -> None:
    shops.count(MUG, 14)
    shops.ends("14/0/14", 14)


# P. pushing -----------------------------------------------------------------------------------------------------


def test_P1_a_channels_own_sale_needs_no_call(shops: Shops) -> None:
    shops.here.buy(MUG, 2)
    with shops.here.watched() as calls:
        assert shops.visit() == []
    assert not any(shops.here.is_write(c) or shops.here.is_look(c) for c in calls)
    assert (shops.world.figures(MUG), shops.here.figure(MUG)) == ("10/2/8", 8)
    assert shops.visit(shops.there) == [(MUG, 8)]


def test_P1_pending_is_lowered_and_raised_when_paid(woo: Shops) -> None:
    order = woo.here.buy(MUG, 2, paid=False)
    assert woo.here.figure(MUG) == 10, "WooCommerce takes nothing off while an order is pending"
    woo.visit()
    woo.world.passes()
    assert (woo.world.figures(MUG), woo.here.figure(MUG)) == ("10/2/8", 8)
    woo.clock.tick(minutes=30)
    woo.here.pay(order)
    assert woo.here.figure(MUG) == 6
    woo.ends("10/2/8", 8)


def test_P1_a_shop_that_takes_pending_orders_off_at_once_needs_no_call(shopify: Shops) -> None:
    shopify.here.buy(MUG, 2, paid=False)
    assert shopify.visit() == []
    assert (shopify.world.figures(MUG), shopify.here.figure(MUG)) == ("10/2/8", 8)


def test_P2_a_sale_within_the_clock_allowance_is_looked_at(shops: Shops) -> None:
    shops.count(MUG, 8)
    assert shops.visit() == [(MUG, 8)]
    shops.here.buy(MUG, 3)
    with shops.here.watched() as calls:
        assert shops.visit() == [], "the look shows what is offered: nothing to write, and no dip"
    assert any(shops.here.is_look(c) for c in calls)
    shops.ends("8/3/5", 5)


@pytest.mark.parametrize("what", ["cancel", "edit", "refund"])
def test_P2_after_a_cancellation_edit_or_refund_it_looks(shops: Shops, what: str) -> None:
    order = shops.here.buy(MUG, 3)
    shops.visit()
    if what == "refund":
        shops.here.ship(order)
    shops.clock.tick(minutes=30)
    shops.world.passes()
    if what == "cancel":
        shops.here.cancel(order)
    elif what == "edit":
        shops.here.edit(order, MUG, 2)
    else:
        shops.here.refund(order, MUG, 1)
    with shops.here.watched() as calls:
        shops.visit()
    assert any(shops.here.is_look(c) for c in calls)
    shops.ends(*{"cancel": ("10/0/10", 10), "edit": ("10/2/8", 8), "refund": ("8/0/8", 8)}[what])


def test_P3_lower_at_once_smallest_stock_first(shops: Shops) -> None:
    for sku, figure in ((MUG, 9), ("1E5", 3), ("MAR1", 4), ("1-2", 0)):
        shops.world.type(sku, str(figure))
    shops.world.sheet_passes()
    assert shops.visit() == [("1-2", 0), ("1E5", 3), ("MAR1", 4), (MUG, 9)]


def test_P3_lowering_never_waits_for_orders(shops: Shops) -> None:
    shops.count(MUG, 6)
    shops.count("1E5", 25)
    with (
        shops.here.watched(lambda seen: Answer(503) if shops.here.is_orders(seen) else None),
        pytest.raises(Unavailable),
    ):
        shops.visit()
    assert shops.here.figure(MUG) == 6
    assert shops.here.figure("1E5") == 20, "a raise needs the orders"
    shops.ends("6/0/6", 6)
    assert shops.shown("1E5") == (25, 25)


def test_P3_write_at_most_what_it_shows(woo: Shops) -> None:
    """Four are sold just before the look, and the list of orders can't be read: they count as promised (P5)."""
    woo.count(MUG, 9)
    sell = once(lambda: woo.here.buy(MUG, 4), woo.here.is_look)

    def fault(seen: Seen) -> Answer | None:
        sell(seen)
        return Answer(503) if woo.here.is_orders(seen) else None

    with woo.here.watched(fault), pytest.raises(Unavailable):
        woo.visit()
    assert woo.here.figure(MUG) == 5, "10 expected, 6 seen, 9 offered"
    woo.ends("9/4/5", 5)


def test_P4_a_raise_takes_off_what_was_sold_before(shops: Shops) -> None:
    shops.count(MUG, 12)
    shops.here.buy(MUG, 3)
    assert shops.visit() == [(MUG, 9)]
    shops.ends("12/3/9", 9)


def test_P4_a_raise_looks_before_it_reads_the_orders(shops: Shops) -> None:
    shops.count(MUG, 12)
    with shops.here.watched() as calls:
        shops.visit()
    kinds = ["look" if shops.here.is_look(c) else "orders" if shops.here.is_orders(c) else "write" for c in calls
             if shops.here.is_look(c) or shops.here.is_orders(c) or shops.here.is_write(c)]  # fmt: skip
    at = kinds.index("write")
    assert "orders" in kinds[kinds.index("look") : at], kinds
    if not shops.here.compare_and_set:
        assert kinds[at - 1] == "look", "without compare-and-set it looks once more"


def test_P4_what_is_raised_in_batches_is_looked_at_again_before_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before the first of them: a sale meanwhile would be overwritten by the last."""
    with opened(tmp_path, "woocommerce") as shops:
        channel = shops.world.desk.channels["woocommerce"]
        monkeypatch.setattr(channel, "capabilities", replace(channel.capabilities, max_batch=1))
        for sku in (MUG, "1E5", "MAR1"):
            shops.count(sku, 30)
        with shops.here.watched() as calls:
            shops.visit()
        kinds = ["look" if shops.here.is_look(c) else "write" for c in calls
                 if shops.here.is_look(c) or shops.here.is_write(c)]  # fmt: skip
        assert kinds == ["look", *["look", "write"] * 3]


@pytest.mark.parametrize("moment", ["look", "orders", "write"])
def test_P4_nothing_is_raised_over_a_sale_that_nobody_has_read(shops: Shops, moment: str) -> None:
    """A buyer comes just before the look, between look and orders, or between orders and write."""
    at = {"look": shops.here.is_look, "orders": shops.here.is_orders, "write": shops.here.is_write}[moment]
    shops.count(MUG, 12)
    before = shops.here.figure(MUG)
    with shops.here.watched(once(lambda: shops.here.buy(MUG, 3), at)):
        report = shops.world.channel_pass(shops.here.vendor)
    applied = [s.figure for s in report.sent if s.result and s.result.outcome is Outcome.APPLIED]
    if moment == "write" and not shops.here.compare_and_set:
        assert applied == [12], "nobody can close this gap from outside; the next look finds it"
    else:
        assert all(figure <= 9 for figure in applied), (before, applied)
    shops.clock.tick(minutes=20)
    shops.ends("12/3/9", 9)


def test_P4_a_busy_channel_does_not_starve(shops: Shops) -> None:
    shops.count("1E5", 40)
    bought = 0

    def fault(seen: Seen) -> None:
        nonlocal bought
        if shops.here.is_orders(seen) and bought < 4:
            bought += 1
            shops.here.buy("1E5", 1)

    with shops.here.watched(fault):
        for _ in range(3):
            shops.visit()
    assert (shops.here.figure("1E5") or 0) > 20, "raised though somebody bought during every read"
    shops.ends("40/4/36", 36, "1E5")


def test_P4_units_that_come_back_in_one_shop_raise_the_other(shops: Shops) -> None:
    order = shops.here.buy(MUG, 4)
    shops.ends("10/4/6", 6)
    shops.clock.tick(minutes=10)
    shops.here.cancel(order)
    shops.ends("10/0/10", 10)


def test_P5_a_sale_seen_in_the_catalogue_before_its_order_is_not_drift(shops: Shops) -> None:
    shops.clock.tick(seconds=CATALOGUE_EVERY.total_seconds() + 60)
    with shops.here.watched(once(lambda: shops.here.buy(MUG, 3), shops.here.is_catalogue)):
        report = shops.world.channel_pass(shops.here.vendor)
    assert report.sent == ()
    shops.ends("10/3/7", 7)


def test_P5_what_no_order_explains_is_put_right_after_the_orders_were_read(shops: Shops) -> None:
    shops.here.set_figure(MUG, 7)
    shops.clock.tick(seconds=CATALOGUE_EVERY.total_seconds() + 60)
    with shops.here.watched() as calls:
        assert shops.visit() == [(MUG, 10)]
    look = next(n for n, c in enumerate(calls) if shops.here.is_look(c))
    write = next(n for n, c in enumerate(calls) if shops.here.is_write(c))
    assert any(shops.here.is_orders(c) for c in calls[look:write])
    shops.ends("10/0/10", 10)


def test_P5_a_figure_above_is_lowered_at_once(shops: Shops) -> None:
    shops.here.set_figure(MUG, 17)
    shops.clock.tick(seconds=CATALOGUE_EVERY.total_seconds() + 60)
    shops.visit()
    assert shops.here.figure(MUG) == 10
    shops.ends("10/0/10", 10)


def test_P6_stale_reads_figure_and_orders_and_sends_again(shopify: Shops) -> None:
    shopify.count(MUG, 8)
    with shopify.here.watched(once(lambda: shopify.here.buy(MUG, 1), shopify.here.is_write)) as calls:
        report = shopify.world.channel_pass("shopify")
    outcomes = [s.result.outcome for s in report.sent if s.result]
    assert outcomes[0] is Outcome.STALE
    assert (shopify.here.figure(MUG), shopify.world.figures(MUG)) == (7, "8/1/7")
    assert [(s.figure, s.expected) for s in report.sent][1:] == [(7, 9)]
    writes = [n for n, c in enumerate(calls) if shopify.here.is_write(c)]
    between = calls[writes[0] : writes[1]]
    assert any(map(shopify.here.is_look, between)) and any(map(shopify.here.is_orders, between))
    shopify.ends("8/1/7", 7)


def test_P6_never_in_a_loop_on_the_same_figure(shopify: Shops) -> None:
    """The vendor's read runs behind its write: it goes on showing 10 where 9 stands."""
    shopify.count(MUG, 8)
    old: list[Answer] = []

    def fault(seen: Seen) -> Answer | None:
        if not shopify.here.is_look(seen):
            return None
        return old[0] if old else None

    def buy(seen: Seen) -> Answer | None:
        if shopify.here.is_look(seen) and not old:
            old.append(shopify.here.repeat(seen))
            shopify.here.set_figure(MUG, 9)
        return fault(seen)

    shopify.here.set_figure(MUG, 11)  # so that the first write is stale and a look follows
    with shopify.here.watched(buy) as calls:
        for _ in range(5):
            if not shopify.world.channel_pass("shopify").again:
                break
        else:
            raise AssertionError("it goes on at once for ever")
    assert sum(map(shopify.here.is_write, calls)) <= 3
    shopify.clock.tick(minutes=1)
    shopify.ends("8/0/8", 8)


def test_P6_the_figure_that_a_write_was_refused_against_is_lowered_soon_where_it_stands_again(shopify: Shops) -> None:
    """Shown 9 for a moment, the first write is refused; the second one is lost; then 10 is shown again."""
    writes: list[Seen] = []

    def act(seen: Seen) -> Answer | Drop | None:
        if not shopify.here.is_write(seen):
            return None
        writes.append(seen)
        if len(writes) == 1:
            shopify.here.set_figure(MUG, 9)
        return Drop(applied=False) if len(writes) == 2 else None

    shopify.count(MUG, 8)
    with shopify.here.watched(act):
        shopify.world.channel_pass("shopify")
        shopify.here.set_figure(MUG, 10)
        report = shopify.world.channel_pass("shopify")
        assert (len(writes), shopify.here.figure(MUG)) == (2, 10), "it is not hammered"
        assert report.after is not None and report.after <= 10
        shopify.clock.tick(seconds=report.after)
        shopify.world.channel_pass("shopify")
    assert shopify.here.figure(MUG) == 8
    shopify.ends("8/0/8", 8)


# answers that are lost, refused, late ---------------------------------------------------------------------------


@pytest.mark.parametrize("applied", [True, False])
def test_a_lost_answer_of_a_push_is_looked_at_first(shops: Shops, applied: bool) -> None:
    shops.count(MUG, 8)
    lost = [Drop(applied=applied)]
    with shops.here.watched(lambda seen: lost.pop() if lost and shops.here.is_write(seen) else None) as calls:
        report = shops.world.channel_pass(shops.here.vendor)
        while report.again:
            report = shops.world.channel_pass(shops.here.vendor)
    writes = [n for n, c in enumerate(calls) if shops.here.is_write(c)]
    assert len(writes) == (1 if applied else 2)
    assert any(shops.here.is_look(c) for c in calls[writes[0] :])
    shops.ends("8/0/8", 8)


def test_a_shop_that_is_away_gets_one_figure_when_it_is_back(shops: Shops) -> None:
    with shops.here.away():
        for figure in (9, 4, 6):
            shops.count(MUG, figure)
            with pytest.raises(Unavailable):
                shops.visit()
            shops.visit(shops.there)
    assert shops.there.figure(MUG) == 6
    assert shops.visit() == [(MUG, 6)]
    shops.ends("6/0/6", 6)


def test_a_hundred_edits_while_a_shop_is_away_are_one_push_a_listing(shops: Shops) -> None:
    with shops.here.away():
        for n in range(50):
            shops.world.type(MUG, str(100 - n))
            shops.world.type("1E5", str(300 - n))
            shops.world.sheet_pass()
    shops.world.sheet_passes()
    assert len([e for e in shops.world.events() if e.fact.kind == "adjustment" and e.change.on_hand]) == 100
    assert sorted(shops.visit()) == [(MUG, 51), ("1E5", 251)]
    shops.ends("51/0/51", 51)


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_refused_listing_in_a_batch_of_250(tmp_path: Path, vendor: str) -> None:
    seeds = [Seed(f"S-{n:03}", f"Thing {n}", 5) for n in range(250)]
    with opened(tmp_path, vendor, seeds=seeds) as shops:
        world, here = shops.world, shops.here
        skus = world.skus()
        column = world.letter(tabs.ON_HAND)
        world.store.type(world.book.spreadsheet_id, tabs.STOCK, f"{column}2:{column}{len(skus)}", [["4"]] * 250)
        world.sheet_passes()
        with world.ledger.read() as view:
            (held,) = view.questions()
        answering.answer(world.desk, review.short_id(held), "approve")  # so many at once are asked about (H1)
        world.sheet_passes()
        with here.watched(once(lambda: take_away(here, "S-100"), here.is_write)):
            report = world.channel_pass(vendor)
        outcomes = {str(s.listing.sku): s.result.outcome for s in report.sent if s.result}
        assert outcomes.pop("S-100") is Outcome.REFUSED
        assert set(outcomes.values()) == {Outcome.APPLIED} and len(outcomes) == 249
        assert all(here.figure(seed.sku) == 4 for seed in seeds if seed.sku != "S-100")
        world.sheet_passes()
        told = channel_row(world, vendor)
        assert "S-100" in str(told["Last error"]) and told["Out of step"] == 1
        assert shops.visit() == [], "not again at once"
        give_back(here, "S-100")
        shops.clock.tick(seconds=REFUSED_FOR.total_seconds() - 120)
        assert shops.visit() == []
        shops.clock.tick(seconds=180)
        assert shops.visit() == [("S-100", 4)]
        world.passes()
        told = channel_row(world, vendor)
        assert (told["Last error"], told["Out of step"], here.figure("S-100")) == (None, 0, 4)


def take_away(hands: Hands, sku: str) -> None:
    """The shop will refuse a figure for this listing."""
    if hands.vendor == "shopify":
        hands.shop.deactivate(sku, hands.shop.location_id)
    else:
        track_stock(hands, sku, "no")


def give_back(hands: Hands, sku: str) -> None:
    if hands.vendor == "shopify":
        hands.shop.stock_at(sku, hands.shop.location_id, 5)
    else:
        track_stock(hands, sku, "yes")


def track_stock(hands: Hands, sku: str, word: str) -> None:
    """The tick "Track stock quantity for this product" on its page in WooCommerce."""
    with hands.shop.store.transaction() as db:
        db.execute("UPDATE product SET manage_stock = ? WHERE sku = ?", (word, sku))


def channel_row(world: World, name: str) -> dict[str, object]:
    """A channel's row of the Channels tab, by header; blank is None."""
    header, *rows = world.store.rows(world.book.spreadsheet_id, tabs.CHANNELS)
    title = world.desk.titles[name]
    row = next(r for r in rows if r and r[0] == title)
    cells = [*row, *[None] * (len(header) - len(row))]
    return {str(h): None if c == "" else c for h, c in zip(header, cells, strict=True)}


# O. orders ------------------------------------------------------------------------------------------------------


def test_O1_quantities_edited_are_another_level(shops: Shops) -> None:
    order = shops.here.buy(MUG, 2)
    shops.ends("10/2/8", 8)
    shops.clock.tick(minutes=10)
    shops.here.edit(order, MUG, 3)
    shops.ends("10/3/7", 7)


def test_O2_cancelled_by_the_buyer_before_shipping_comes_back_by_itself(shops: Shops) -> None:
    order = shops.here.buy(MUG, 2)
    shops.ends("10/2/8", 8)
    shops.clock.tick(minutes=10)
    shops.here.cancel(order)
    shops.ends("10/0/10", 10)
    assert shops.world.questions() == {}


def test_O2_cancelled_before_we_ever_saw_it(shops: Shops) -> None:
    shops.here.cancel(shops.here.buy(MUG, 2))
    shops.ends("10/0/10", 10)


def test_O3_shipped_takes_away(shops: Shops) -> None:
    order = shops.here.buy(MUG, 2)
    shops.ends("10/2/8", 8)
    shops.clock.tick(minutes=10)
    shops.here.ship(order)
    shops.ends("8/0/8", 8)
    assert shops.world.cell(MUG) == 8


def test_O5_a_refund_with_restock_gives_back_once(shops: Shops) -> None:
    """The shop says that it is on its shelf again: by default that is believed."""
    order = shops.here.buy(MUG, 2)
    shops.here.ship(order)
    shops.ends("8/0/8", 8)
    shops.clock.tick(minutes=10)
    shops.here.refund(order, MUG, 1)
    shops.ends("9/0/9", 9)
    assert shops.world.questions() == {}


def test_O5_a_return_that_the_shop_says_nothing_about_asks(shops: Shops) -> None:
    order = shops.here.buy(MUG, 2)
    shops.here.ship(order)
    shops.ends("8/0/8", 8)
    shops.clock.tick(minutes=10)
    shops.here.refund(order, MUG, 1, restock=False)
    shops.ends("8/0/8", 8)
    assert shops.world.questions() == {MUG: "return"}


def test_O8_an_unknown_sku_waits_and_is_counted_when_it_is_known(shops: Shops) -> None:
    """Bought here before we knew it, it left since; it becomes ours when a row with its first figure is added."""
    world = shops.world
    shops.here.shop.add_product("NEW-1", "New", 6)
    shops.here.buy("NEW-1", 2)
    shops.here.ship(shops.here.buy("NEW-1", 1))
    shops.clock.tick(seconds=CATALOGUE_EVERY.total_seconds() + 1)
    for _ in range(3):  # the list of orders goes past it
        shops.visit()
        shops.clock.tick(minutes=6)
    with world.ledger.read() as view:
        assert {q.kind for q in view.questions(sku="NEW-1")} == {"unknown_sku", "new_listing"}
    assert world.events("NEW-1") == []
    row = len(world.skus()) + 1
    world.store.type(world.book.spreadsheet_id, tabs.STOCK, f"{world.letter(tabs.SKU)}{row}", "NEW-1")
    world.type("NEW-1", "5")
    world.sheet_passes()
    assert world.figures("NEW-1") == "5/0/5"
    world.passes()
    assert world.figures("NEW-1") == "5/2/3", "what had left before the count was not counted"
    assert world.questions() == {}
    assert shops.here.figure("NEW-1") == 3


def test_O9_an_order_that_is_gone_asks_and_stays_committed(shops: Shops) -> None:
    order = shops.here.buy(MUG, 2)
    shops.ends("10/2/8", 8)
    shops.clock.tick(minutes=10)
    shops.here.delete(order)
    if shops.here.vendor == "shopify":
        return  # an order deleted there is in no list: its webhook tells (test_deliveries.py)
    shops.ends("10/2/8", 8)
    assert shops.world.questions() == {MUG: "gone_order"}


def test_O12_a_disabled_channels_orders_are_read_and_nothing_is_pushed(shops: Shops) -> None:
    name = shops.here.vendor
    channels = dict(shops.world.settings.channels)
    channels[name] = channels[name].model_copy(update={"enabled": False})
    object.__setattr__(shops.world.settings, "channels", channels)
    shops.here.buy(MUG, 2)
    shops.count(MUG, 9)
    assert shops.visit() == []
    assert shops.world.figures(MUG) == "9/2/7"
    assert shops.visit(shops.there) == [(MUG, 7)]
    assert shops.here.figure(MUG) == 8
