"""The sheet heals: what is deleted comes back from the ledger, what may be meant is named, and no count changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from sheets_sync import healing
from sheets_sync.errors import SheetNotReady
from sheets_sync.healing import header_gone
from sheets_sync.sheet import tabs
from sheets_sync.sheet.client import SheetAccess
from sheets_sync.sheet.workbook import connect
from sheets_sync.sync import Memory
from tests.hands import Clock
from tests.world import SEEDS, World

pytestmark = pytest.mark.xdist_group("healing")  # one world for all of them

SKUS = [seed.sku for seed in SEEDS]
SAVED = ["SKU", "Title", "tag SKU", "On hand", "Status"]


@pytest.mark.parametrize(
    ("header", "second", "what"),
    [
        (["SKU", "Title", "tag SKU", None, "Status"], [], "updateCells"),
        ([None, "Title", "tag SKU", None, "Status"], [], "updateCells updateCells"),
        (
            ["SKU", "Title", "tag SKU", "Bestand", "Status"],
            [],
            "Stock has no column 'On hand': 'Bestand' stands there.",
        ),
        (["SKU", "Title", "tag SKU", "Status"], [], "repair"),
        (
            ["SKU", "Title", "On hand", "Status", "mine"],
            [],
            "no column 'tag SKU' any more, and a new one is called 'mine'",
        ),
        (["SKU", "Title", "tag SKU", None, "Bestand", "Status"], [], "no column 'On hand' any more"),
        ([None, None, None, None, None], SAVED, "deleteDimension"),
        ([], SAVED, "deleteDimension"),
        (["00123", "Mug", "00123", 10, "ok"], ["1E5", "Scarf"], "insertDimension updateCells"),
        (["what", "ever", "stands", "here", "now"], [], "no column 'SKU': 'what' stands there"),
        (["SKU", "On hand", "tag SKU", "On hand", "Status"], [], "None"),
        (SAVED, [], "None"),
    ],
)
def test_what_is_done_about_a_header(header: list[Any], second: list[Any], what: str) -> None:
    found = header_gone(SAVED, header, second, {"00123", "1E5"}, 7)
    match found:
        case healing.Mended(requests, repair):
            assert ("repair" if repair else " ".join(next(iter(r)) for r in requests)) == what
        case _:
            assert what in str(found)


def test_without_a_header_to_compare_with_nothing_is_guessed() -> None:
    assert header_gone([], [None], [], set(), 7) is None


class House(World):
    """A started world in which things are broken and looked at again."""

    def batch(self, *requests: dict[str, Any]) -> None:
        self.store.apply(self.book.spreadsheet_id, list(requests), "person")

    def tab(self, title: str) -> Any:
        return self.store.book(self.book.spreadsheet_id).tab_named(title)

    def header_cell(self, header: str, text: str, tab: str = tabs.STOCK) -> None:
        self.store.type(self.book.spreadsheet_id, tab, f"{self.letter(header, tab)}1", text)

    def delete_tab(self, title: str) -> None:
        self.batch({"deleteSheet": {"sheetId": self.tab(title).sheet_id}})

    def rename(self, title: str, new: str) -> None:
        about = {"sheetId": self.tab(title).sheet_id, "title": new}
        self.batch({"updateSheetProperties": {"properties": about, "fields": "title"}})

    def delete_column(self, header: str) -> None:
        at = self.header().index(header)
        where = {"sheetId": self.tab(tabs.STOCK).sheet_id, "dimension": "COLUMNS", "startIndex": at, "endIndex": at + 1}
        self.batch({"deleteDimension": {"range": where}})

    def heal(self) -> None:
        self.clock.tick(minutes=6)  # type: ignore[attr-defined]
        self.sheet_passes(20)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    made = House(tmp_path_factory.mktemp("house"), vendors=("woocommerce",), clock=Clock())
    try:
        made.begin()
        made.batch({"addSheet": {"properties": {"title": "Mine", "sheetId": 4711}}})
        made.store.type(made.book.spreadsheet_id, "Mine", "A1", "my own notes")
        yield made
    finally:
        made.close()


BROKEN: dict[str, Callable[[House], None]] = {
    "a header is cleared": lambda house: house.header_cell(tabs.ON_HAND, ""),
    "the SKU header is cleared": lambda house: house.header_cell(tabs.SKU, ""),
    "a hidden header is cleared": lambda house: house.header_cell(tabs.TAG_FIGURE, ""),
    "the header row is deleted": lambda house: house.store.delete_rows(house.book.spreadsheet_id, tabs.STOCK, 1),
    "a row is put above the header": lambda house: house.store.insert_rows(house.book.spreadsheet_id, tabs.STOCK, 1),
    "a service's column is deleted": lambda house: house.delete_column(tabs.AVAILABLE),
    "a tag's column is deleted": lambda house: house.delete_column(tabs.TAG_FIGURE),
    "the Ledger tab is deleted": lambda house: house.delete_tab(tabs.LEDGER),
    "the Review tab is deleted": lambda house: house.delete_tab(tabs.REVIEW),
    "the Channels tab is deleted": lambda house: house.delete_tab(tabs.CHANNELS),
    "the hidden tab is deleted": lambda house: house.delete_tab(tabs.EXCHANGE),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_deleted_comes_back(house: House, what: str) -> None:
    before, events = house.header(), house.last_event()
    BROKEN[what](house)
    house.heal()
    assert sorted(house.header()) == sorted(before)
    assert set(house.workbook.layout().tabs) >= {tab.title for tab in tabs.wanted(list(house.desk.titles.values()))}
    assert [house.cell(sku) for sku in SKUS] == [10, 20, 5, 7]
    assert [house.cell(sku, tabs.AVAILABLE) for sku in SKUS] == [10, 20, 5, 7]
    assert (house.last_event(), house.questions()) == (events, {})
    assert house.store.rows(house.book.spreadsheet_id, "Mine") == [["my own notes"]]
    assert house.store.rows(house.book.spreadsheet_id, tabs.LEDGER)[1][0] == events


def test_protection_comes_back_within_the_hour(house: House) -> None:
    protections = list(house.tab(tabs.STOCK).protected)
    assert protections
    house.batch(*({"deleteProtectedRange": {"protectedRangeId": p["protectedRangeId"]}} for p in protections))
    assert not house.tab(tabs.STOCK).protected
    house.clock.tick(minutes=61)  # type: ignore[attr-defined]
    house.sheet_passes()
    assert len(house.tab(tabs.STOCK).protected) == len(protections)


@pytest.mark.parametrize("title", [tabs.STOCK, tabs.REVIEW])
def test_a_renamed_tab_is_named_and_nothing_is_made_beside_it(house: House, title: str) -> None:
    house.rename(title, "Lager")
    house.clock.tick(minutes=6)  # type: ignore[attr-defined]
    with pytest.raises(SheetNotReady, match=f"The tab {title} is called 'Lager' now. Rename it back to {title}"):
        house.sheet_pass()
    house.rename("Lager", title)
    house.heal()
    assert house.questions() == {}


def test_a_renamed_header_is_named_and_left_alone(house: House) -> None:
    house.header_cell(tabs.ON_HAND, "Bestand")
    assert house.sheet_pass().problems == (
        "Stock has no column 'On hand': 'Bestand' stands there. Write the header back; until then nothing is taken "
        "from Stock, and nothing is lost.",
    )
    house.header_cell("Bestand", tabs.ON_HAND)
    house.heal()


def test_a_deleted_stock_tab_stops_and_is_written_anew_by_a_persons_word(house: House) -> None:
    house.delete_tab(tabs.STOCK)
    with pytest.raises(SheetNotReady, match="The tab Stock is gone; your counts are safe in the ledger"):
        house.sheet_pass()
    healing.rebuild(house.desk, house.workbook)
    house.memory = Memory()
    house.heal()
    assert [house.cell(sku) for sku in SKUS] == [10, 20, 5, 7]
    assert house.questions() == {}
    house.type("MAR1", "4")
    house.passes()
    assert (house.figures("MAR1"), house.figure("woocommerce", "MAR1")) == ("4/0/4", 4)
    house.type("MAR1", "5")
    house.passes()


def test_a_deleted_spreadsheet_stops_and_the_ledger_makes_another(house: House) -> None:
    gone, events = house.book.spreadsheet_id, house.last_event()
    house.book = house.store.create("Another", tabs=("Sheet1",))
    sheet = house.settings.sheet.model_copy(update={"spreadsheet_id": house.book.spreadsheet_id})
    house.settings = replace(house.settings, sheet=sheet)
    house.desk, house.workbook, house.memory = house.new_desk(), house.new_workbook(), Memory()
    assert gone != house.book.spreadsheet_id
    healing.rebuild(house.desk, house.workbook)
    house.heal()
    assert [house.cell(sku) for sku in SKUS] == [10, 20, 5, 7]
    assert (house.last_event(), house.questions()) == (events, {})
    newest = house.store.rows(house.book.spreadsheet_id, tabs.LEDGER)[1][0]
    assert newest == events


def test_a_spreadsheet_that_is_not_there_is_told_with_the_way_out(house: House) -> None:
    workbook = connect(SheetAccess(house.sheet.base_url, "nowhere"))
    with pytest.raises(SheetNotReady, match="Nothing is lost: the ledger has every count"):
        workbook.layout()
