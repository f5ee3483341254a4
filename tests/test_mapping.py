"""The Listings tab: what a listing counts as and how it is offered, by a person's word and never by guess."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sheets_sync import lacking, mapping
from sheets_sync.mapping import Problem, Settings, Suggestions
from sheets_sync.model import Cell, Listing, Ref
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.test_seed_day import Day
from tests.world import World

MUG = "00123"
SEEDS = (Seed(MUG, "Mug, blue", 17), Seed("MAR1", "Plate", 5))

# pure -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "settings"),
    [
        ({}, Settings()),
        ({"SKU": " A ", "Pack size": 6, "Hold back": "2", "Max": 0, "Paused": "Yes"}, Settings("A", 6, 2, 0, True)),
        ({"Paused": True}, Settings(paused=True)),
    ],
)
def test_a_row_is_read(cells: dict[str, Cell], settings: Settings) -> None:
    assert mapping.read(cells) == settings


@pytest.mark.parametrize(
    ("cells", "names"),
    [({"Pack size": 0}, "Pack size"), ({"Pack size": 1.5}, "Pack size"), ({"Hold back": "two"}, "Hold back"),
     ({"Max": -1}, "Max"), ({"Paused": "maybe"}, "Paused"), ({"SKU": 123}, "plain text")],
)  # fmt: skip
def test_what_is_wrong_is_named_and_nothing_is_taken(cells: dict[str, Cell], names: str) -> None:
    said = mapping.read(cells)
    assert isinstance(said, Problem) and names in said.says


def test_cells_of_a_row_that_is_added_say_what_is_set() -> None:
    item = Listing("etsy", Ref("1"), "A", mapped="A", pack_size=6, held_back=2, most=9, paused=True)
    assert mapping.read(mapping.cells_of(item)) == mapping.settings_of(item)
    assert set(mapping.cells_of(Listing("etsy", Ref("1"), "A")).values()) == {None}


def unmatched(**about: Any) -> Listing:
    return replace(Listing("etsy", Ref("9"), None, title="Unlike", remote_sku="ZZ9"), **about)


@pytest.mark.parametrize(
    ("item", "says"),
    [(unmatched(barcode="4006381333931"), "the same barcode"),
     (unmatched(barcode="04006381333931"), "the same barcode"), (unmatched(remote_sku="ab-1"), "looks alike"),
     (unmatched(title="blue Mug"), "the same title"), (unmatched(), "")],
)  # fmt: skip
def test_suggestions_have_a_reason(item: Listing, says: str) -> None:
    ours = Listing("shop", Ref("1"), "AB1", title="Mug, blue", barcode="4006381333931")
    found = Suggestions([ours]).of(item)
    assert (says in found and "AB1" in found) if says else found == ""


def test_two_that_fit_are_no_suggestion() -> None:
    two = [Listing("shop", Ref(sku), sku, title="Mug, blue") for sku in ("A", "B")]
    assert Suggestions(two).of(unmatched(title="Mug, blue")) == ""


OURS = Listing("shop", Ref("1"), "AB1", title="Mug, blue", barcode="4006381333931")


@pytest.mark.parametrize(
    ("others", "says"),
    [([unmatched(barcode="4006381333931")], "Is it ZZ9 there? It has the same barcode"),
     ([unmatched(remote_sku="ab-1")], "a SKU that looks alike"), ([unmatched(title="blue Mug")], "the same title"),
     ([unmatched()], ""), ([unmatched(title="blue mug"), unmatched(ref=Ref("8"), title="Mug blue")], "")],
)  # fmt: skip
def test_what_a_sku_that_a_channel_lacks_may_be_there(others: list[Listing], says: str) -> None:
    (lack,) = lacking.find(["AB1"], [OURS, *others], ["shop", "etsy"])
    assert (lack.channel, lack.sku, lack.title) == ("etsy", "AB1", "Mug, blue")
    assert (says in lack.says) if says else lack.says == ""


def test_lacking_is_bounded_and_a_channel_without_any_listing_lacks_nothing() -> None:
    skus = [f"S{n}" for n in range(5)]
    found = lacking.find([*skus, "AB1"], [OURS, unmatched(title="mug blue")], ["shop", "etsy", "unread"], most=2)
    assert [(one.channel, one.sku) for one in found if one.channel == "etsy"] == [
        ("etsy", "AB1"), ("etsy", "S0"), ("etsy", ""),
    ]  # fmt: skip
    assert [one.says for one in found if not one.sku] == [
        f"and {n} more: sheets-sync listings --unmatched" for n in (3, 4)
    ]
    assert "unread" not in {one.channel for one in found}


# through the sheet ----------------------------------------------------------------------------------------------


class Mapped(Day):
    """A seller after Start, with the Listings tab; rows are named by channel and the channel's SKU."""

    def listing(self, name: str, sku: str) -> dict[str, Any]:
        header, *found = self.world.store.rows(self.world.book.spreadsheet_id, tabs.LISTINGS_TAB)
        title = self.desk.titles[name]
        cells = [dict(zip(header, row, strict=False)) | {"row": n} for n, row in enumerate(found, start=2)]
        return next(row for row in cells if (row.get("Channel"), row.get("Their SKU")) == (title, sku))

    def lacking(self, name: str) -> list[dict[str, Any]]:
        """The rows of SKUs that a channel has no listing of."""
        header, *found = self.world.store.rows(self.world.book.spreadsheet_id, tabs.LISTINGS_TAB)
        cells = [dict(zip(header, row, strict=False)) for row in found]
        return [row for row in cells if str(row.get("Key")).startswith(f"lacks/{name}/")]

    def sets(self, name: str, sku: str, header: str, text: str) -> None:
        where = f"{self.world.letter(header, tabs.LISTINGS_TAB)}{self.listing(name, sku)['row']}"
        self.world.store.type(self.world.book.spreadsheet_id, tabs.LISTINGS_TAB, where, text)

    def passes(self) -> None:
        """Until the tab is read again, and everything followed."""
        self.clock.tick(minutes=11)
        self.world.passes()
        self.clock.tick(minutes=11)
        self.world.passes()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Mapped]:
    clock = Clock()
    world = World(tmp_path, clock=clock, seeds=SEEDS)
    try:
        made = Mapped(world, clock)
        made.second.shop.add_product("SIX", "Six mugs", 1)
        made.first.shop.add_product("6-MUGS", "Mugs, six", 3)
        made.imports()
        made.starts()
        world.passes()
        yield made
    finally:
        world.close()
    assert not world.faults.problems, "\n".join(world.faults.problems)


def test_a_listing_is_mapped_by_hand_with_its_pack_size_and_sells_units(shop: Mapped) -> None:
    first, second = shop.names
    shop.passes()
    assert "not matched" in shop.listing(second, "SIX")["State"]
    assert shop.second.figure("SIX") == 1, "never matched by guess"
    waiting = shop.second.buy("SIX", 1)
    shop.sets(second, "SIX", "SKU", MUG)
    shop.sets(second, "SIX", "Pack size", "6")
    shop.passes()
    assert shop.world.figures(MUG) == "17/6/11", "K6"
    assert (shop.second.figure("SIX"), shop.second.figure(MUG), shop.first.figure(MUG)) == (1, 11, 11)
    row = shop.listing(second, "SIX")
    assert (row["Counts as"], row["Offers"], row["State"]) == (MUG, 1, "in step")
    shop.clock.tick(minutes=1)
    shop.second.ship(waiting)
    shop.passes()
    assert shop.world.figures(MUG) == "11/0/11"
    assert shop.world.ledger.verify() == []


def test_a_sku_that_a_channel_lacks_stands_there_with_what_it_may_be_until_it_is_mapped(shop: Mapped) -> None:
    _, second = shop.names
    shop.passes()
    (row,) = shop.lacking(second)
    assert (row["Counts as"], row["Title"]) == ("6-MUGS", "Mugs, six")
    assert "no listing here. Is it SIX there? It has the same title: type 6-MUGS under SKU" in str(row["State"])
    assert shop.second.figure("SIX") == 1, "never matched by guess"
    shop.sets(second, "SIX", "SKU", "6-MUGS")
    shop.passes()
    assert (shop.lacking(second), shop.second.figure("SIX")) == ([], 3)


def test_hold_back_max_and_paused_hold_for_one_listing(shop: Mapped) -> None:
    first, second = shop.names
    shop.sets(second, MUG, "Hold back", "3")
    shop.sets(first, MUG, "Max", "9")
    shop.sets(second, "MAR1", "Paused", "yes")
    shop.passes()
    assert (shop.first.figure(MUG), shop.second.figure(MUG)) == (9, 14)
    shop.world.type("MAR1", "8")
    shop.world.passes()
    assert (shop.first.figure("MAR1"), shop.second.figure("MAR1")) == (8, 5), "P7: never raised"
    shop.world.type("MAR1", "2")
    shop.world.passes()
    assert (shop.first.figure("MAR1"), shop.second.figure("MAR1")) == (2, 2), "P7: lowered"
    shop.sets(first, MUG, "Max", "nine")
    shop.sets(second, MUG, "SKU", "NOT-OURS")
    shop.passes()
    assert (shop.first.figure(MUG), shop.second.figure(MUG)) == (9, 14), "what is wrong changes nothing"
    assert "Max is nine" in shop.listing(first, MUG)["State"]
    assert "NOT-OURS is no SKU of yours" in shop.listing(second, MUG)["State"]
    shop.sets(first, MUG, "Max", "")
    shop.sets(second, MUG, "SKU", "")
    shop.sets(second, MUG, "Hold back", "")
    shop.passes()
    assert (shop.first.figure(MUG), shop.second.figure(MUG)) == (17, 17)


def test_listings_that_share_a_sku_wait_until_a_person_maps_one(shop: Mapped) -> None:
    _, second = shop.names
    twin = shop.second.shop.add_product("TWIN", "Mug, blue, again", 4)
    shop.passes()
    shop.sets(second, "TWIN", "SKU", MUG)
    shop.passes()
    assert twin is not None
    assert (shop.second.figure("TWIN"), shop.second.figure(MUG)) == (17, 17), "many listings to one SKU"
    shop.second.buy("TWIN", 2)
    shop.passes()
    assert shop.world.figures(MUG) == "17/2/15"
    assert (shop.second.figure("TWIN"), shop.second.figure(MUG), shop.first.figure(MUG)) == (15, 15, 15)


def test_a_row_that_was_deleted_comes_back_with_what_was_set(shop: Mapped) -> None:
    first, _ = shop.names
    shop.sets(first, MUG, "Max", "9")
    shop.passes()
    row = int(shop.listing(first, MUG)["row"])
    sheet = next(t.id for t in shop.world.workbook.layout().tabs.values() if t.title == tabs.LISTINGS_TAB)
    span = {"sheetId": sheet, "dimension": "ROWS", "startIndex": row - 1, "endIndex": row}
    shop.world.workbook.send([{"deleteDimension": {"range": span}}])
    shop.passes()
    assert shop.listing(first, MUG)["Max"] == 9
    assert shop.first.figure(MUG) == 9
