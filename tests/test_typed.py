"""What people type besides plain counts: remarks (S5), formulas (S6), columns moved without their rows (H4)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sheets_sync import answering, edits, review
from sheets_sync.model import Stock
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.world import World

MUG, SCARF, PLATE, BOWL = "00123", "1E5", "MAR1", "1-2"


class Day(World):
    def __init__(self, folder: Path) -> None:
        self.time = Clock()
        super().__init__(folder, vendors=("woocommerce",), clock=self.time)

    def wait(self, minutes: float) -> None:
        self.time.tick(minutes=minutes)

    def answer(self, sku: str, word: str) -> None:
        with self.ledger.read() as view:
            (question,) = view.questions(sku=sku)
        answering.answer(self.desk, review.short_id(question), word)
        self.sheet_passes()

    def reasons(self, sku: str) -> list[tuple[int, str, str]]:
        return [(e.change.on_hand, e.fact.reason, e.fact.note) for e in self.events(sku)[1:]]


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    made = Day(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.close()


# S5 -------------------------------------------------------------------------------------------------------------


def test_S5_filled_in_within_15_minutes_it_is_a_remark_on_that_event(day: Day) -> None:
    day.type(MUG, "8")
    day.sheet_passes()
    day.wait(14)
    day.type(MUG, "broken box", header=tabs.NOTE)
    day.sheet_passes()
    assert day.reasons(MUG) == [(-2, "", ""), (0, "", "broken box")]
    assert day.events(MUG)[-1].fact.reference == f"remark on event {day.events(MUG)[-2].id}"
    assert day.events(MUG)[-1].change == Stock()
    assert day.cell(MUG, tabs.NOTE) == "" and day.figures(MUG) == "8/0/8"


def test_S5_later_it_is_flagged_and_never_kept_for_the_next_edit(day: Day) -> None:
    day.type(MUG, "8")
    day.sheet_passes()
    day.wait(16)
    day.type(MUG, "too late", header=tabs.NOTE)
    day.sheet_passes()
    assert day.cell(MUG, tabs.NOTE) == "too late"
    day.wait(16)
    day.sheet_passes()
    assert "'too late' stands here without a change" in day.status(MUG)
    day.type(MUG, "7")
    day.sheet_passes()
    assert day.reasons(MUG) == [(-2, "", ""), (-1, "", "")]
    assert (day.cell(MUG, tabs.NOTE), day.questions()) == ("", {})


def test_S5_typed_just_before_its_edit_it_belongs_to_it(day: Day) -> None:
    day.type(MUG, "loss", header=tabs.REASON)
    day.sheet_passes()
    day.type(MUG, "9")
    day.sheet_passes()
    assert day.reasons(MUG) == [(-1, "loss", "")]
    assert day.cell(MUG, tabs.REASON) == ""


# S6 -------------------------------------------------------------------------------------------------------------


def test_S6_a_sum_of_numbers_counts_as_what_it_gives(day: Day) -> None:
    day.type(MUG, "=12+5")
    day.sheet_passes()
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("17/0/17", 17, {})


@pytest.mark.parametrize("offset", [2, 5], ids=["another figure", "the figure it showed anyway"])
def test_S6_a_formula_over_other_cells_is_held_until_its_value_is_taken_as_a_count(day: Day, offset: int) -> None:
    day.type(MUG, f"={day.letter(tabs.ON_HAND)}{day.row(PLATE)}+{offset}")
    day.sheet_passes()
    if offset == 5:  # its value is what the ledger has; it is found when we would write over it
        shop = day.shops["woocommerce"].shop
        shop.ship(shop.buy(MUG, 1))
        day.channel_pass("woocommerce")
        day.sheet_passes()
    assert day.questions() == {MUG: "formula_held"}
    assert "refers to other cells" in day.status(MUG) and f"+{offset}" in day.status(MUG)
    assert day.cell(MUG) == 5 + offset
    day.answer(MUG, "count")
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == (f"{5 + offset}/0/{5 + offset}", 5 + offset, {})


def test_S6_the_same_formula_is_asked_about_once_though_rows_are_inserted_above_what_it_names(day: Day) -> None:
    day.type(MUG, f"={day.letter(tabs.ON_HAND)}{day.row(PLATE)}+2")
    day.sheet_passes()
    with day.ledger.read() as view:
        asked = [question.key for question in view.questions()]
    day.store.insert_rows(day.book.spreadsheet_id, tabs.STOCK, 2)
    day.sheet_passes()
    with day.ledger.read() as view:
        assert [question.key for question in view.questions()] == asked
    assert f"{day.row(PLATE)}+2" in day.status(MUG), "as it stands now"


def test_S6_a_formula_typed_between_look_and_exchange_is_asked_about(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.just_before(lambda: day.type(MUG, f"={day.letter(tabs.ON_HAND)}{day.row(PLATE)}+2"))
    day.sheet_passes()
    assert (day.figures(MUG), day.questions()) == ("10/0/10", {MUG: "formula_held"})
    assert "a formula" in day.status(MUG) and "refers to other cells" in day.status(MUG)
    day.answer(MUG, "count")
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("7/0/7", 7, {})


def test_S6_a_sum_of_numbers_typed_between_look_and_exchange_counts(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.just_before(lambda: day.type(MUG, "=12+5"))
    day.sheet_passes()
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("17/0/17", 17, {})


NUMBERS_ONLY = ("=12+5", "=(2+3)*4", '="a"', "8", 8)
OTHER_CELLS = ("=A2", "=SUM(1,2)", "=stock")


@pytest.mark.parametrize(("text", "held"), [*((t, False) for t in NUMBERS_ONLY), *((t, True) for t in OTHER_CELLS)])
def test_S6_what_refers_to_other_cells(text: str | int, held: bool) -> None:
    assert edits.refers(text) is held


# H4 -------------------------------------------------------------------------------------------------------------


def test_H4_on_hand_sorted_alone_is_held_whole(day: Day) -> None:
    figures = sorted(int(day.cell(sku)) for sku in (MUG, SCARF, PLATE, BOWL))
    for sku, figure in zip((MUG, SCARF, PLATE, BOWL), figures, strict=True):
        day.type(sku, str(figure))
    day.passes()
    assert [day.figures(sku) for sku in (MUG, SCARF, PLATE, BOWL)] == ["10/0/10", "20/0/20", "5/0/5", "7/0/7"]
    assert set(day.questions().values()) == {"moved_column"}
    assert "sorted without its rows" in day.status(MUG)
    assert day.figure("woocommerce", SCARF) == 20
    for sku, figure in ((MUG, 10), (SCARF, 20), (PLATE, 5), (BOWL, 7)):  # put back, one after the other
        day.type(sku, str(figure))
        day.passes()
    assert (day.questions(), len(day.events())) == ({}, 5), "the openings, and the primary retired"


@pytest.mark.parametrize("hidden_by", ["a copy", "another name"])
def test_H1_a_hold_outlives_the_time_in_which_its_row_cannot_be_told(day: Day, hidden_by: str) -> None:
    day.type(PLATE, "7")
    day.type(BOWL, "5")
    day.passes()
    key, row = day.book.spreadsheet_id, day.row(PLATE)
    if hidden_by == "a copy":
        day.store.insert_rows(key, tabs.STOCK, row + 1)
        day.store.copy_row(key, tabs.STOCK, row, row + 1)
        day.passes()
        day.store.delete_rows(key, tabs.STOCK, row + 1)
    else:
        day.type(PLATE, "PLATE-1", header=tabs.SKU)
        day.passes()
        day.store.type(key, tabs.STOCK, f"{day.letter(tabs.SKU)}{row}", PLATE)
    day.passes()
    assert day.questions() == {PLATE: "moved_column", BOWL: "moved_column"}
    assert (day.figures(PLATE), day.figures(BOWL)) == ("5/0/5", "7/0/7")


def test_H4_one_of_the_rows_may_have_been_meant(day: Day) -> None:
    day.type(PLATE, "7")
    day.type(BOWL, "5")
    day.passes()
    assert day.questions() == {PLATE: "moved_column", BOWL: "moved_column"}
    day.answer(PLATE, "record it")
    day.answer(BOWL, "put back")
    assert (day.figures(PLATE), day.figures(BOWL), day.cell(BOWL), day.questions()) == ("7/0/7", "7/0/7", 7, {})


def test_H4_the_sku_column_sorted_alone_is_held_whole(day: Day) -> None:
    rows = {sku: day.row(sku) for sku in (MUG, SCARF, PLATE, BOWL)}
    column = day.letter(tabs.SKU)
    for sku, row in zip(sorted(rows), sorted(rows.values()), strict=True):
        day.store.type(day.book.spreadsheet_id, tabs.STOCK, f"{column}{row}", sku)
    day.passes()
    held = day.questions()
    assert held and set(held.values()) == {"moved_column"}
    assert [day.figures(sku) for sku in (MUG, SCARF, PLATE, BOWL)] == ["10/0/10", "20/0/20", "5/0/5", "7/0/7"]
    for sku, row in rows.items():
        day.store.type(day.book.spreadsheet_id, tabs.STOCK, f"{column}{row}", sku)
    day.passes()
    assert (day.questions(), len(day.events())) == ({}, 5), "the openings, and the primary retired"
    assert [day.cell(sku) for sku in (MUG, SCARF, PLATE, BOWL)] == [10, 20, 5, 7]
