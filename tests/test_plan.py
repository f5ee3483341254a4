"""The tabs Plan and Why: what the next pass would do, and why a figure is what it is; both change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sheets_sync import plan_tab, planning
from sheets_sync.plan_tab import MOST
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.world import World

pytestmark = pytest.mark.xdist_group("plan")  # one world for all of them


class Office(World):
    def tick(self) -> None:
        letter = self.letter(tabs.MAKE_PLAN, tabs.PLAN)
        self.store.type(self.book.spreadsheet_id, tabs.PLAN, f"{letter}2", "TRUE")

    def later(self) -> None:
        """The tick is looked at now and then."""
        self.clock.tick(seconds=30)  # type: ignore[attr-defined]
        self.sheet_pass()

    def rows(self) -> list[list[str]]:
        """What stands in the tab, without its header."""
        rows = [list(map(str, row)) for row in self.store.rows(self.book.spreadsheet_id, tabs.PLAN)[1:]]
        return [row for row in rows if any(row[1:])]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder: Path = tmp_path_factory.mktemp("office")
    made = Office(folder, vendors=("woocommerce",), clock=Clock())
    try:
        made.begin()
        yield made
    finally:
        made.close()


def test_a_tick_shows_what_would_be_done_and_none_of_it_is(office: Office) -> None:
    office.type("MAR1", "6000")  # from 5: a jump, which is held
    office.sheet_passes()
    office.tick()
    office.later()
    (first,) = office.rows()
    assert first[:2] == ["False", plan_tab.UNDER_WAY], "the tick is taken"
    office.type("00123", "8")  # 10 stood there
    before = office.last_event()
    assert planning.is_wanted(office.desk)
    planning.make(office.desk, office.new_workbook())
    assert office.last_event() == before and office.figure("woocommerce", "00123") == 10

    with office.ledger.read() as view:
        lines = view.get(plan_tab.PLAN)["rows"]
    pushes = {(sku, then, bool(why)) for what, sku, _, _, then, why in lines if what == "push"}
    assert pushes == {("00123", 8, False), ("MAR1", 6000, True)}
    office.store.type(
        office.book.spreadsheet_id, tabs.STOCK, f"{office.letter(tabs.ON_HAND)}{office.row('00123')}", "10"
    )
    office.later()
    first, *rest = office.rows()
    assert first[1].startswith("as of ") and "1 event, 0 questions, 1 row of Stock, 1 figure" in first[1]
    assert ["", "event", "00123", "Ledger", "10", "8"] == rest[0][:6]
    approved = next(row for row in rest if row[2] == "MAR1")
    assert approved[1:6] == ["push", "MAR1", "Woocommerce", "5", "6000"] and "only if Review" in approved[6]
    assert [row[1:6] for row in rest if row[1] == "calls"][1] == ["calls", "", "Woocommerce", "", "1"]


def test_a_restart_shows_it_no_second_time_and_the_next_plan_takes_its_place(office: Office) -> None:
    shown = office.rows()
    office.restart()
    assert office.sheet_pass().again in (True, False) and office.rows() == shown
    office.tick()
    office.later()
    planning.make(office.desk, office.new_workbook())
    office.later()
    first, *rest = office.rows()
    assert "0 events, 0 questions" in first[1]
    assert {row[1] for row in rest} <= {"push", "calls", "row"}, "what stood there before is gone"


def test_a_sku_typed_in_why_is_answered_beside_it_and_followed(office: Office) -> None:
    def ask(sku: str) -> list[list[str]]:
        cell = f"{office.letter(tabs.SKU, tabs.WHY)}2"
        office.store.type(office.book.spreadsheet_id, tabs.WHY, cell, sku)
        office.later()
        rows = [list(map(str, row)) for row in office.store.rows(office.book.spreadsheet_id, tabs.WHY)[1:]]
        return [row for row in rows if any(row)]

    office.type("1E5", "18")
    office.sheet_passes()
    rows = ask("1E5")
    assert rows[0][0] == "1E5" and rows[0][1].startswith("On hand is 18: event")
    assert "-2 by 1 adjustment" in rows[0][1]
    assert [row[4:10] for row in rows[:2]] == [
        ["adjustment", "-2", "18", "0", "0", "18"], ["opening", "20", "20", "0", "0", "20"],
    ]  # fmt: skip
    assert any("=SUMPRODUCT(EXACT(" in row[1] for row in rows)
    office.type("1E5", "17")
    office.sheet_passes()
    office.later()
    assert office.store.rows(office.book.spreadsheet_id, tabs.WHY)[1][1].startswith("On hand is 17")
    (unknown,) = ask("none")
    assert unknown[1] == "Nothing is recorded of none yet. A SKU is text, written just so, zeros included."
    assert ask("") == [], "what stood there is gone"


def test_a_long_plan_is_cut_and_columns_of_others_are_left_alone() -> None:
    header = ["What would happen", "mine", *tabs.PLAN_LINE[1:]]
    lines = [["event", f"S{n}"] for n in range(MOST + 5)]
    narrow, wide = plan_tab._rows(lines, header, 7, 4)
    assert [r["updateCells"]["range"]["startColumnIndex"] for r in (narrow, wide)] == [0, 2]
    told = narrow["updateCells"]["rows"][1]["values"][0]["userEnteredValue"]["stringValue"]
    assert told == f"and {MOST + 4} lines more: `sheets-sync sync --dry-run` prints all"
    assert plan_tab._rows(lines, header, 7, 2) == [], "all rows of the tab were deleted"
