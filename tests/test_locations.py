"""Several locations through the real doors: their columns, transfers, counts, orders that draw from both (K4, K5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import pytest
import stamina

from sheets_sync import adjusting, answering, filetake, onboarding, review
from sheets_sync.adjustments import Wish
from sheets_sync.config import LocationSettings, Settings
from sheets_sync.desk import KITS
from sheets_sync.errors import BadInput
from sheets_sync.model import Order, OrderLine, OrderState, StockKey
from sheets_sync.order_book import book_orders
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sheet import tabs
from tests.hands import Clock, hands_of
from tests.test_counting import BODY, Day
from tests.world import World

pytestmark = pytest.mark.xdist_group("locations")

MUG = "MUG"
SEEDS = (Seed(MUG, "Mug", 10), Seed("TRAY", "Tray", 4))
TWO = LocationSettings(names=("main", "b"), titles=("Shop", "Store"))


class Located(World):
    """A seller with a shop and a store."""

    def _settings(self, folder: Path) -> Settings:
        return replace(super()._settings(folder), locations=TWO)

    def row_of(self, number: int, **cells: object) -> None:
        for name, value in cells.items():
            header = {"sku": "SKU", "to": tabs.TO_LOCATION}.get(name, name.replace("_", " ").capitalize())
            where = f"{self.letter(header, tabs.ADJUSTMENTS)}{number}"
            self.store.type(self.book.spreadsheet_id, tabs.ADJUSTMENTS, where, str(value))
        self.passes()

    def says(self, number: int, header: str = tabs.STATUS) -> Any:
        row = self.store.rows(self.book.spreadsheet_id, tabs.ADJUSTMENTS)[number - 1]
        return row[self.header(tabs.ADJUSTMENTS).index(header)]

    def at_each(self, sku: str = MUG) -> dict[str, str]:
        """on_hand/committed at each location."""
        with self.ledger.read() as view:
            found = view.balances([sku]).items()
        return {key.location: f"{b.stock.on_hand}/{b.stock.committed}" for key, b in found}

    def shown(self, sku: str = MUG) -> tuple[Any, ...]:
        return tuple(self.cell(sku, h) for h in ("On hand", "On hand at Store", "Committed", "Damaged", "Available"))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Located]:
    made = Located(tmp_path_factory.mktemp("located"), vendors=("woocommerce", "shopify"), seeds=SEEDS, clock=Clock())
    shop = made.shops["shopify"].shop
    shop.stock_at(MUG, shop.add_location("Warehouse"), 7)
    with stamina.set_testing(True, attempts=2):
        made.begin()
        yield made
    assert made.ledger.verify() == []
    made.close()


def test_several_locations_are_told_in_columns_of_their_own(house: Located) -> None:
    assert "On hand at Store" in house.header()
    assert {tabs.LOCATION, tabs.TO_LOCATION} <= set(house.header(tabs.ADJUSTMENTS))
    assert tabs.LOCATION in house.header(tabs.LEDGER)
    assert house.shown() == (10, "", 0, 0, 10)
    alone = {column.header for tab in tabs.wanted(["Web"]) for column in tab.columns}
    assert not any("ocation" in header or "On hand at" in header for header in alone), "one location is never named"


def test_K5_a_transfer_and_an_order_that_draws_from_both(house: Located) -> None:
    house.row_of(2, sku=MUG, change=6, to="store")
    assert house.says(2).startswith("recorded: 6 from Shop to Store (event ")
    assert (house.at_each(), house.says(2, tabs.ON_HAND_AFTER)) == ({"main": "4/0", "b": "6/0"}, 4)
    assert house.shown() == (4, 6, 0, 0, 10)
    assert house.figure("woocommerce", MUG) == 10, "a channel that keeps one figure gets the sum"
    house.clock.tick(minutes=1)
    shop = hands_of(house.shops["woocommerce"])
    order = shop.buy(MUG, 5)
    house.passes()
    assert house.at_each() == {"main": "4/4", "b": "6/1"}
    assert house.shown() == (4, 6, 5, 0, 5)
    shop.ship(order)
    house.passes()
    assert house.at_each() == {"main": "0/0", "b": "5/0"}, "it names no place: it left where it was promised"
    assert house.figure("woocommerce", MUG) == 5


def test_counts_elsewhere_are_made_in_adjustments_and_by_the_command_line(house: Located) -> None:
    house.row_of(3, sku="TRAY", set_to=7, location="Store")
    assert house.says(3).startswith("recorded: set to 7 at Store")
    assert (house.at_each("TRAY"), house.says(3, tabs.ON_HAND_AFTER)) == ({"main": "4/0", "b": "7/0"}, 7)
    adjusting.adjust(house.desk, Wish("TRAY", -2, reason="damage", location="b"), key="one")
    house.passes()
    assert house.shown("TRAY") == (4, 5, 0, 2, 9)
    house.type("TRAY", "99", "On hand at Store")
    house.passes()
    assert house.shown("TRAY") == (4, 5, 0, 2, 9), "the service alone writes there; nothing was counted"
    house.type("TRAY", "3")
    house.passes()
    assert house.shown("TRAY") == (3, 5, 0, 2, 8), "On hand is about the main location"


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"change": 6, "to": "b"}, "Change: 6 cannot be moved: 3 of TRAY are at Shop."),
        ({"change": 1, "to": "Shop"}, "To location: the units are at Shop already"),
        ({"change": -1, "to": "b"}, "To location: a transfer moves a number of units"),
        ({"set_to": 1, "to": "b"}, "To location: a transfer moves a number of units"),
        ({"change": 1, "to": "b", "reason": "found"}, "Reason: a transfer has none"),
        ({"change": 1, "location": "Attic"}, "Location: 'Attic' is none of your locations: Shop, Store."),
        ({"change": -6, "location": "Store"}, "Change: -6 would leave -1 on hand; 5 are there"),
    ],
)
def test_what_is_not_there_is_refused_in_words(house: Located, how: dict[str, Any], says: str) -> None:
    before = house.last_event()
    with pytest.raises(BadInput, match=says.replace("(", "\\(")):
        adjusting.adjust(house.desk, Wish("TRAY", **how), key="refused")
    assert house.last_event() == before


def test_a_transfer_is_undone_as_one(house: Located) -> None:
    before = house.at_each("TRAY")
    events, _ = adjusting.adjust(house.desk, Wish("TRAY", 2, location="b", to="main"), key="there")
    assert house.at_each("TRAY") == {"main": "5/0", "b": "3/0"}
    answering.undo(house.desk, str(events[0].id))
    assert house.at_each("TRAY") == before
    with house.ledger.read() as view:
        assert view.balances(["TRAY"])[StockKey("TRAY", "b")].counted


def test_K2_K5_a_kits_components_are_promised_where_whole_kits_can_be_made(house: Located) -> None:
    """The store has one mug and two trays: one kit is made there, and of three the other two in the shop."""
    for sku, main, b in ((MUG, 4, 1), ("TRAY", 3, 2)):
        adjusting.adjust(house.desk, Wish(sku, set_to=main), key=f"{sku} main")
        adjusting.adjust(house.desk, Wish(sku, set_to=b, location="Store"), key=f"{sku} b")
    at = house.clock()
    order = Order("kit", at, at, OrderState.OPEN, (OrderLine("1", 4, "SET"),), paid=True)
    with house.ledger.begin() as tx:
        tx.put(KITS, {"SET": {MUG: 1, "TRAY": 1}})
        book_orders(tx, house.desk, "woocommerce", [order])
    assert (house.at_each(), house.at_each("TRAY")) == ({"main": "4/3", "b": "1/1"}, {"main": "3/3", "b": "2/1"})
    with house.ledger.begin() as tx:
        called_off = replace(order, updated_at=at + timedelta(seconds=1), state=OrderState.CANCELLED, lines=())
        book_orders(tx, house.desk, "woocommerce", [called_off])
        tx.put(KITS, None)
    assert (house.at_each(), house.at_each("TRAY")) == ({"main": "4/0", "b": "1/0"}, {"main": "3/0", "b": "2/0"})
    adjusting.adjust(house.desk, Wish(MUG, set_to=5, location="Store"), key="as before")


def test_a_stock_take_counts_the_location_that_it_names(house: Located, tmp_path: Path) -> None:
    day = Day(house, house.clock)
    house.clock.tick(days=3)  # what moved within two days asks when it was counted (C2)
    day.set("Location", "Attic")
    day.paste((MUG, 5), ("TRAY", 7))
    day.passes()
    assert "Location: 'Attic' is none of your locations: Shop, Store." in day.state()
    day.set("Location", "store")
    day.passes()
    assert (day.shown(BODY)[:2], day.shown(BODY + 1)[:2]) == ((5, 0), (2, 5))
    assert "Tick Post to record it as stock-take-1 at Store." in day.state()
    day.post()
    assert "Posted as stock-take-1 at Store" in day.state()
    assert (house.at_each(), house.at_each("TRAY")) == ({"main": "4/0", "b": "5/0"}, {"main": "3/0", "b": "7/0"})
    day.set("Location", "")
    day.passes()
    assert "Posted as stock-take-1 at Store" in day.state(), "what was posted stays what it was"
    answering.undo(house.desk, "stock-take-1")
    assert house.at_each("TRAY") == {"main": "3/0", "b": "2/0"}
    day.clear()
    day.passes()
    file = tmp_path / "count.csv"
    file.write_text("SKU;Counted\nTRAY;9\n")
    asked = filetake.Asked(post=True, sure=True, location="Store")
    taken = filetake.take(house.desk, file, asked, UTC, dict)
    assert "Counted at Store." in taken.report.notes
    assert house.at_each("TRAY") == {"main": "3/0", "b": "9/0"}
    with pytest.raises(BadInput, match="--location: 'Attic' is none of your locations"):
        filetake.take(house.desk, file, replace(asked, location="Attic"), UTC, dict)
    here = filetake.take(house.desk, file, replace(asked, location=""), UTC, dict)
    assert not here.before and house.at_each("TRAY") == {"main": "9/0", "b": "9/0"}, "another location is another count"


# a channel that keeps a figure at each of several places of its own ----------------------------------------------


def places_of(world: World) -> list[int]:
    """The numbers of a local Shopify's locations."""
    return [int(place["id"]) for place in world.shops["shopify"].shop.docs.select("location")]


def on_shopify(world: World, sku: str = MUG) -> list[int]:
    return [world.shops["shopify"].shop.figure(sku, place) for place in places_of(world)]


def mapped(world: World) -> Settings:
    shopify = world.settings.channels["shopify"]
    of = dict(zip(map(str, places_of(world)), TWO.names, strict=True))
    channels = {**world.settings.channels, "shopify": shopify.model_copy(update={"location_of": of})}
    return replace(world.settings, channels=channels)


def listing_states(world: World, their_sku: str = MUG) -> list[str]:
    rows = world.store.rows(world.book.spreadsheet_id, tabs.LISTINGS_TAB)
    channel, sku, state = (rows[0].index(h) for h in (tabs.CHANNEL, tabs.THEIR_SKU, tabs.STATE))
    return [row[state] for row in rows[1:] if row[channel] == "Shopify" and row[sku] == their_sku]


def test_P8_until_its_locations_are_mapped_a_sku_is_shown_and_not_pushed(house: Located) -> None:
    assert on_shopify(house) == [10, 7], "as the seller had it"
    (state,) = listing_states(house)
    first, second = places_of(house)
    assert f"Warehouse ({second})" in state and f"({first})" in state and "location_of" in state


def test_K5_P8_mapped_places_get_what_lies_there_and_together_the_channels_sum(house: Located) -> None:
    house.settings = mapped(house)
    house.restart()
    adjusting.adjust(house.desk, Wish(MUG, set_to=3), key="three")
    house.passes()
    assert (house.at_each(), on_shopify(house)) == ({"main": "3/0", "b": "5/0"}, [3, 5])
    assert house.cell(MUG, "Shopify") == 8
    house.clock.tick(minutes=10)  # the Listings tab is not written at every pass
    house.passes()
    assert sorted(listing_states(house)) == ["Shop: in step", "Store: in step"]
    house.clock.tick(minutes=1)
    shop = house.shops["shopify"].shop
    order = int(shop.buy(MUG, 2)["id"])
    house.passes()
    assert (house.at_each(), on_shopify(house)) == ({"main": "3/2", "b": "5/0"}, [1, 5])
    shop.ship(order, location_id=places_of(house)[1])
    house.passes()
    assert house.at_each() == {"main": "3/0", "b": "3/0"}, "K4: released where it was promised, taken where it left"
    assert (on_shopify(house), house.figure("woocommerce", MUG)) == ([3, 3], 6)
    hands_of(house.shops["woocommerce"]).buy(MUG, 2)
    adjusting.adjust(house.desk, Wish(MUG, set_to=5, location="b"), key="five")
    house.passes()
    house.type(MUG, "0")
    house.passes()
    assert house.shown() == (0, 5, 2, 0, 3)
    assert (on_shopify(house), house.figure("woocommerce", MUG)) == ([0, 3], 3), "-2 and 5 are 3, in all"


def test_P5_a_figure_changed_at_a_place_is_put_right_or_taken_over_there(house: Located) -> None:
    second = places_of(house)[1]
    house.clock.tick(minutes=20)
    house.passes()
    house.shops["shopify"].shop.set_figure(MUG, 5, second)
    house.clock.tick(minutes=20)
    house.passes()
    assert on_shopify(house) == [0, 3], "put right"
    with house.ledger.read() as view:
        (question,) = [q for q in view.questions() if q.kind == "drift"]
    assert "showed 5 of MUG where 3 was expected" in question.text
    answering.answer(house.desk, review.short_id(question), "take over")
    house.passes()
    assert (house.at_each(), on_shopify(house)) == ({"main": "0/2", "b": "7/0"}, [0, 5])


def test_B3_the_primary_opens_each_location_with_its_own_figure(tmp_path: Path) -> None:
    world = Located(tmp_path, vendors=("shopify",), seeds=SEEDS, clock=Clock())
    shop = world.shops["shopify"].shop
    shop.stock_at(MUG, shop.add_location("Warehouse"), 7)
    shop.buy(MUG, 2)
    shop.buy(MUG, 6)
    order = shop.buy(MUG, 3)  # Shopify takes them from the one that has so many: the second
    with stamina.set_testing(True, attempts=2):
        world.settings = mapped(world)
        world.restart()
        world.begin()
        assert world.at_each() == {"main": "10/8", "b": "7/3"}, "where Shopify says that they are promised"
        assert world.at_each("TRAY") == {"main": "4/0"}
        assert world.shown() == (10, 7, 11, 0, 6)
        assert on_shopify(world) == [2, 4], "nothing is pushed that it shows already"
        shop.ship(int(order["id"]))
        world.clock.tick(minutes=1)
        world.passes()
        assert (world.at_each(), on_shopify(world)) == ({"main": "10/8", "b": "4/0"}, [2, 4])
        assert world.ledger.verify() == []
    world.close()


def test_a_seller_names_a_second_location_later(tmp_path: Path) -> None:
    world = Located(tmp_path, vendors=("woocommerce",), seeds=SEEDS, clock=Clock())
    with stamina.set_testing(True, attempts=2):
        several, world.settings = world.settings, replace(world.settings, locations=LocationSettings())
        world.restart()
        world.begin()
        order = hands_of(world.shops["woocommerce"]).buy(MUG, 3)
        world.passes()
        assert "On hand at Store" not in world.header() and world.at_each() == {"main": "10/3"}
        world.settings = several
        world.restart()
        onboarding.set_up(world.desk, world.workbook)
        world.passes()
        assert world.shown() == (10, None, 3, 0, 7)
        assert tabs.LOCATION in Day(world, world.clock).rows()[0]
        world.clock.tick(minutes=1)
        world.row_of(2, sku=MUG, change=4, to="Store")
        assert world.shown() == (6, 4, 3, 0, 7)
        hands_of(world.shops["woocommerce"]).ship(order)
        world.passes()
        assert world.at_each() == {"main": "3/0", "b": "4/0"}, "what was promised before lies at the main location"
        assert world.ledger.verify() == []
    world.close()
