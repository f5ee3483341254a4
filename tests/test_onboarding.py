"""The beginning, end to end (RULES B1 to B4): an import that writes nothing, and a Start that happens once.

`seller` is a world before anything: two local shops with stock, an empty spreadsheet.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import stamina

from sheets_sync import onboarding
from sheets_sync.channels import Basis
from sheets_sync.errors import SellerMustAct
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sandbox.shops._common import Seen
from tests.hands import VENDORS, Clock, Hands, hands_of, once
from tests.world import SEEDS, World

MUG = "00123"


@dataclass
class Seller:
    """`first` is the primary marketplace, `second` the other shop."""

    world: World
    clock: Clock
    first: Hands
    second: Hands

    def imports(self) -> dict[str, int]:
        onboarding.set_up(self.world.desk, self.world.workbook)
        counts = onboarding.import_catalogues(self.world.desk)
        self.world.passes()
        return counts

    def starts(self) -> onboarding.Started:
        return onboarding.start(self.world.desk)

    def begins(self) -> onboarding.Started:
        self.imports()
        return self.starts()

    def ends(self, figures: str, shown: int, sku: str = MUG) -> None:
        self.world.passes()
        both = (self.first.figure(sku), self.second.figure(sku))
        assert (self.world.figures(sku), *both) == (figures, shown, shown)
        assert self.world.ledger.verify() == []


@contextmanager
def seller_with(
    folder: Path, primary: str, seeds: tuple[Seed, ...] = SEEDS, url: str | None = None
) -> Iterator[Seller]:
    clock = Clock()
    vendors = (primary, *(v for v in VENDORS if v != primary))
    world = World(folder, vendors=vendors, clock=clock, seeds=seeds, ledger_url=url)
    first, second = (hands_of(world.shops[v]) for v in vendors)
    try:
        with stamina.set_testing(True, attempts=2):
            yield Seller(world, clock, first, second)
    finally:
        world.close()


@pytest.fixture(params=VENDORS)
def seller(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Seller]:
    with seller_with(tmp_path, request.param) as found:
        yield found


@pytest.fixture
def woo(tmp_path: Path) -> Iterator[Seller]:
    """Its primary is a WooCommerce."""
    with seller_with(tmp_path, "woocommerce") as found:
        yield found


# the import -----------------------------------------------------------------------------------------------------


def test_B1_the_import_writes_no_event_and_pushes_nothing(seller: Seller) -> None:
    with seller.first.watched() as here, seller.second.watched() as there:
        assert seller.imports() == {seller.first.vendor: 4, seller.second.vendor: 4}
        seller.first.buy(MUG, 2)
        seller.world.passes()
    assert not any(map(seller.first.is_write, here)) and not any(map(seller.second.is_write, there))
    assert seller.world.events() == []
    assert seller.world.skus()[1:] == [seed.sku for seed in SEEDS]
    titles = seller.world.desk.titles
    assert [seller.world.cell(MUG, titles[n]) for n in (seller.first.vendor, seller.second.vendor)] == [10, 10]
    assert seller.world.cell(MUG) in ("", None), "no count yet, and no 0"
    assert "tick Start" in seller.world.status(MUG)


def test_the_import_twice_is_one(seller: Seller) -> None:
    seller.imports()
    before = seller.world.store.rows(seller.world.book.spreadsheet_id, "Stock")
    assert seller.imports() == {seller.first.vendor: 4, seller.second.vendor: 4}
    assert seller.world.store.rows(seller.world.book.spreadsheet_id, "Stock") == before


def test_other_channels_are_matched_by_sku_and_by_nothing_else(seller: Seller) -> None:
    seller.second.shop.add_product("mug-blue", "Mug, blue", 7)
    seller.second.shop.add_product("123", "Mug, blue", 8)
    seller.imports()
    with seller.world.ledger.read() as view:
        matched = {item.remote_sku: item.sku for item in view.listings(seller.second.vendor)}
    assert matched == {seed.sku: seed.sku for seed in SEEDS} | {"mug-blue": None, "123": None}
    seller.starts()
    seller.world.passes()
    assert (seller.second.figure("mug-blue"), seller.second.figure("123")) == (7, 8), "left alone"


def test_start_before_an_import_says_what_to_do(seller: Seller) -> None:
    onboarding.set_up(seller.world.desk, seller.world.workbook)
    with pytest.raises(SellerMustAct, match="sheets-sync import"):
        seller.starts()
    with seller.world.ledger.read() as view:
        assert seller.world.desk.started_at(view) is None


# start ----------------------------------------------------------------------------------------------------------


def test_start_opens_every_sku_with_the_primarys_figure_and_the_other_shop_follows(seller: Seller) -> None:
    seller.second.set_figure(MUG, 3)
    started = seller.begins()
    assert {e.fact.sku: e.balance.on_hand for e in started.opened} == {s.sku: s.stock for s in SEEDS}
    assert {e.fact.kind for e in started.opened} == {"opening"}
    assert started.moving == ()
    seller.ends("10/0/10", 10)
    assert [seller.world.cell(seed.sku) for seed in SEEDS] == [seed.stock for seed in SEEDS]


def test_B1_a_sku_without_a_count_has_no_offer(seller: Seller) -> None:
    """The primary keeps no stock for it: it opens with nothing, and nothing is pushed for it anywhere."""
    if seller.first.vendor == "woocommerce":
        seller.first.shop.add_product("GIFT", "Gift card", None)
    else:
        seller.first.shop.add_product("GIFT", "Gift card", 5)
        seller.first.shop.set_tracked("GIFT", False)
    seller.second.shop.add_product("GIFT", "Gift card", 9)
    seller.begins()
    seller.world.passes()
    assert seller.world.events("GIFT") == []
    assert seller.second.figure("GIFT") == 9
    assert seller.world.cell("GIFT") in ("", None)


def test_B3_the_primarys_own_open_orders_are_still_on_the_shelf(seller: Seller) -> None:
    seller.first.set_figure(MUG, 12)
    seller.first.buy(MUG, 2)
    assert seller.first.figure(MUG) == 10
    seller.begins()
    seller.ends("12/2/10", 10)


def test_B3_pending_in_woocommerce_are_in_the_figure_still(woo: Seller) -> None:
    woo.first.buy(MUG, 2, paid=False)
    assert woo.first.figure(MUG) == 10
    woo.begins()
    woo.ends("10/2/8", 8)


def test_B3_a_gross_primarys_figure_has_its_open_orders_in_it(woo: Seller) -> None:
    """No gross channel is here yet: a WooCommerce whose figure still has the order in it stands for one."""
    woo.first.buy(MUG, 2)
    woo.first.set_figure(MUG, 12)
    channel = woo.world.desk.channels["woocommerce"]
    channel.capabilities = replace(channel.capabilities, basis=Basis.GROSS)
    woo.begins()
    assert woo.world.figures(MUG) == "12/2/10"


def test_B3_open_orders_of_other_channels_are_committed_only(seller: Seller) -> None:
    seller.first.set_figure(MUG, 12)
    seller.second.buy(MUG, 3)
    seller.begins()
    seller.ends("12/3/9", 9)


def test_B3_what_was_shipped_before_is_not_counted(seller: Seller) -> None:
    for hands in (seller.first, seller.second):
        hands.ship(hands.buy(MUG, 2))
    seller.clock.tick(days=2)
    seller.begins()
    seller.ends("8/0/8", 8)


def test_B3_cancelled_before_is_nothing(seller: Seller) -> None:
    for hands in (seller.first, seller.second):
        hands.cancel(hands.buy(MUG, 2))
    seller.clock.tick(days=2)
    seller.begins()
    seller.ends("10/0/10", 10)


def test_B2_open_then_is_open_and_moves_when_it_ships(seller: Seller) -> None:
    mine, other = seller.first.buy(MUG, 2), seller.second.buy(MUG, 1)
    seller.clock.tick(days=1)
    seller.begins()
    seller.ends("10/3/7", 7)
    seller.clock.tick(days=1)
    seller.first.ship(mine)
    seller.second.ship(other)
    seller.ends("7/0/7", 7)


def test_B2_shipped_last_week_and_marked_delivered_later_is_nothing(seller: Seller) -> None:
    order = seller.first.buy(MUG, 2)
    seller.first.ship(order)
    seller.clock.tick(days=7)
    seller.begins()
    seller.ends("8/0/8", 8)
    seller.clock.tick(days=2)
    touch(seller.first, order)
    seller.ends("8/0/8", 8)
    seller.clock.tick(days=1)
    seller.first.refund(order, MUG, 1)
    seller.ends("9/0/9", 9)


def test_B2_an_order_older_than_the_opening_reads_is_committed_and_asked(tmp_path: Path) -> None:
    """At WooCommerce: Shopify shows no order that is older than 60 days."""
    with seller_with(tmp_path, "shopify") as seller:
        order = seller.second.buy(MUG, 2, paid=False)
        seller.clock.tick(days=70)
        seller.begins()
        seller.ends("10/0/10", 10)
        seller.clock.tick(days=1)
        seller.second.pay(order)
        seller.ends("10/2/8", 8)
        with seller.world.ledger.read() as view:
            assert {"before_opening"} <= {q.kind for q in view.questions(sku=MUG)}


def test_B2_an_order_older_than_the_opening_reads_that_was_finished_is_nothing(seller: Seller) -> None:
    order = seller.second.buy(MUG, 2)
    seller.second.ship(order)
    seller.clock.tick(days=70)
    seller.begins()
    seller.ends("10/0/10", 10)
    seller.clock.tick(days=1)
    touch(seller.second, order)
    seller.ends("10/0/10", 10)
    assert seller.world.questions() == {}


def touch(hands: Hands, order: str) -> None:
    """The order's version moves and nothing else of it: it was marked delivered, or somebody wrote a note."""
    if hands.vendor == "shopify":
        with hands.shop.store.transaction():
            hands.shop.save(hands.shop.order(int(order)), "orders/updated")
    else:
        with hands.shop.store.transaction() as db:
            hands.shop.touched_order(db, int(order))


# B4: orders that come during it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["first look", "orders", "second look", "afterwards"])
def test_B4_an_order_during_start_is_counted_once(seller: Seller, moment: str) -> None:
    seller.imports()
    looks = 0

    def is_it(seen: Seen) -> bool:
        nonlocal looks
        looks += seller.first.is_look(seen)
        return {
            "first look": looks == 1,
            "orders": seller.first.is_orders(seen),
            "second look": looks == 2,
            "afterwards": False,
        }[moment]

    with seller.first.watched(once(lambda: seller.first.buy(MUG, 2), is_it)):
        started = seller.starts()
    if moment == "afterwards":
        seller.first.buy(MUG, 2)
    assert started.moving == ()
    seller.ends("10/2/8", 8)


def test_B4_an_order_of_the_other_channel_during_start_is_counted_once(seller: Seller) -> None:
    seller.imports()
    with (
        seller.first.watched(once(lambda: seller.second.buy(MUG, 2), seller.first.is_look)),
        seller.second.watched(once(lambda: seller.second.buy(MUG, 1), seller.second.is_orders)),
    ):
        seller.starts()
    seller.ends("10/3/7", 7)


def test_B4_a_sku_that_never_stands_still_is_opened_when_it_does(seller: Seller) -> None:
    seller.first.set_figure("1E5", 500)
    seller.imports()

    def fault(seen: Seen) -> None:
        if seller.first.is_look(seen):
            seller.first.buy("1E5", 1)

    with seller.first.watched(fault):
        started = seller.starts()
    assert started.moving == ("1E5",)
    assert {e.fact.sku for e in started.opened} == {"00123", "MAR1", "1-2"}
    again = seller.starts()
    assert ([e.fact.sku for e in again.opened], again.moving) == (["1E5"], ())
    sold = 500 - int(seller.first.figure("1E5") or 0)
    seller.ends(f"500/{sold}/{500 - sold}", 500 - sold, "1E5")


# once -----------------------------------------------------------------------------------------------------------


def test_start_twice_is_one(seller: Seller) -> None:
    seller.begins()
    seller.first.buy(MUG, 2)
    seller.world.passes()
    events = seller.world.events()
    again = seller.starts()
    assert again.opened == ()
    assert seller.world.events() == events
    seller.ends("10/2/8", 8)


def test_start_again_takes_nothing_for_old_that_was_sold_since(seller: Seller) -> None:
    """Nobody has read these orders yet when Start is ticked again; one of them has left already."""
    seller.begins()
    seller.world.passes()
    seller.clock.tick(hours=1)
    for hands in (seller.first, seller.second):
        hands.ship(hands.buy(MUG, 2))
    seller.second.buy(MUG, 1)
    seller.clock.tick(hours=1)
    seller.starts()
    seller.ends("6/1/5", 5)
    assert seller.world.questions() == {}


def twice_at_once(seller: Seller) -> None:
    seller.first.buy(MUG, 2)
    seller.second.buy(MUG, 1)
    seller.imports()
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: seller.starts(), range(2)))
    assert sorted(e.fact.sku for started in both for e in started.opened) == sorted(s.sku for s in SEEDS)
    seller.ends("10/3/7", 7)


def test_start_twice_at_one_instant_is_one(seller: Seller) -> None:
    twice_at_once(seller)


def test_start_twice_at_one_instant_is_one_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    with seller_with(tmp_path, "shopify", url=postgres_url) as seller:
        twice_at_once(seller)


def test_a_primary_ticked_in_the_sheet_is_the_one_that_seeds(seller: Seller) -> None:
    seller.second.set_figure(MUG, 77)
    onboarding.set_up(seller.world.desk, seller.world.workbook)
    world = seller.world
    world.sheet_passes()
    header, *rows = world.store.rows(world.book.spreadsheet_id, "Channels")
    at = chr(65 + header.index("Primary"))
    for number, row in enumerate(rows, start=2):
        if row and row[0]:
            ticked = row[0] == world.desk.titles[seller.second.vendor]
            world.store.type(world.book.spreadsheet_id, "Channels", f"{at}{number}", str(ticked).upper())
    world.sheet_passes()
    onboarding.import_catalogues(world.desk)
    world.passes()
    seller.starts()
    seller.ends("77/0/77", 77)
