"""Questions and their answers, through the Review tab and the functions that the command line calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sheets_sync import answered, answering, guard, lines, review
from sheets_sync.errors import BadInput
from sheets_sync.model import Kind, Question
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.world import World

MUG, PLATE = "00123", "MAR1"


class Day(World):
    @property
    def id(self) -> str:
        return str(self.book.spreadsheet_id)

    def open_question(self, sku: str) -> Question:
        with self.ledger.read() as view:
            (question,) = view.questions(sku=sku)
        return question

    def answer(self, sku: str, word: str, **more: int | str) -> None:
        answering.answer(self.desk, review.short_id(self.open_question(sku)), word, **more)  # type: ignore[arg-type]
        self.passes()

    def review_rows(self) -> list[dict[str, object]]:
        header, *rows = self.store.rows(self.id, tabs.REVIEW)
        return [dict(zip(header, row, strict=False)) for row in rows if any(cell != "" for cell in row)]

    def decide(self, word: str, row: int = 2, **cells: str) -> None:
        """Type into the Review tab as a person does: first what explains, then the decision."""
        header = self.header(tabs.REVIEW)
        for name, text in {**cells, tabs.DECISION: word}.items():
            self.store.type(self.id, tabs.REVIEW, f"{chr(65 + header.index(name))}{row}", text)

    def ship(self, sku: str, units: int) -> None:
        shop = self.shops["woocommerce"].shop
        shop.ship(shop.buy(sku, units))
        self.channel_pass("woocommerce")


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    made = Day(tmp_path, vendors=("woocommerce",), clock=Clock())
    try:
        made.begin()
        yield made
    finally:
        made.close()


def held_below_zero(day: Day) -> None:
    """S2 with the figures of the page: tag 4, ledger 1, typed 2 (one more on both sides)."""
    day.ship(PLATE, 4)
    day.type(PLATE, "2")
    day.passes()
    assert day.figures(PLATE) == "1/0/1"


@pytest.mark.parametrize(
    ("word", "after"), [("record it", "-2/0/-2"), ("count", "2/0/2"), ("put back", "1/0/1")], ids=str
)
def test_S2_below_zero_is_held_until_it_is_answered(day: Day, word: str, after: str) -> None:
    held_below_zero(day)
    assert day.status(PLATE).startswith("held: 5 to 2 is -3, but only 1 are left")
    assert (day.cell(PLATE), day.figure("woocommerce", PLATE)) == (2, 1)
    day.answer(PLATE, word)
    on_hand = int(after.split("/")[0])
    assert (day.figures(PLATE), day.cell(PLATE), day.questions()) == (after, on_hand, {})
    assert day.figure("woocommerce", PLATE) == max(0, on_hand)
    assert day.ledger.verify() == []


def test_the_review_tab_says_what_was_seen_and_what_each_answer_does_and_takes_one(day: Day) -> None:
    held_below_zero(day)
    (row,) = day.review_rows()
    assert row[tabs.SKU] == PLATE and "only 1 are left" in str(row[tabs.SEEN])
    assert all(f"{answer.word}: " in str(row[tabs.ANSWERS]) for answer in review.ANSWERS["below_zero"])
    day.decide("count", **{tabs.NOTE: "shelf was counted"})
    day.passes()
    assert (day.figures(PLATE), day.cell(PLATE)) == ("2/0/2", 2)
    taken = day.events(PLATE)[-1]
    assert taken.fact.note == "shelf was counted"
    (done,) = day.review_rows()
    assert (done[tabs.STATUS], done[tabs.DECISION]) == (f"answered: count, event {taken.id}", "count")


def test_an_answered_row_stays_at_the_foot_for_a_day_and_is_no_question_any_more(day: Day) -> None:
    held_below_zero(day)
    day.type(MUG, "some")
    day.passes()
    first = next(n for n, row in enumerate(day.review_rows()) if row[tabs.SKU] == PLATE)
    day.decide("put back", row=first + 2)
    day.passes()
    asked, done = day.review_rows()
    assert (asked[tabs.SKU], done[tabs.SKU]) == (MUG, PLATE)
    assert (str(done[tabs.ID]).endswith(answered.MARK), done[tabs.STATUS]) == (True, "answered: put back")
    day.decide("record it", row=3)
    before = day.last_event()
    day.passes()
    assert (day.last_event(), day.review_rows()[1][tabs.STATUS]) == (before, "answered: put back")
    day.clock.tick(days=1, minutes=1)  # type: ignore[attr-defined]
    day.passes()
    assert [row[tabs.SKU] for row in day.review_rows()] == [MUG]


ROWS = [
    {"_row": 2, tabs.ID: "aa"},
    {"_row": 3, tabs.ID: "bb"},
    {"_row": 4},
    {"_row": 5, tabs.ID: "cc" + answered.MARK, tabs.STATUS: "answered: yes"},
    {"_row": 6, tabs.ID: "dd"},
]  # fmt: skip


def test_rows_of_closed_questions_sink_stay_or_go() -> None:
    """Asked; answered; a person's own; answered before; its cause is gone."""
    done = answered.arrange(ROWS, {"aa"}, {"bb": "answered: no, event 3", "cc": "answered: yes"})
    says = {tabs.ID: "bb" + answered.MARK, tabs.STATUS: "answered: no, event 3"}
    assert done == answered.Arranged(((3, says),), (3,), (6,))
    assert answered.moves(done.sink, done.gone, 6) == [(3, 7), (5, None)]
    later = answered.arrange([{**ROWS[1], tabs.ID: "bb" + answered.MARK}, ROWS[3]], {"bb"}, {"bb": "answered: no"})
    assert (later.sink, later.gone) == ((), (5,))  # asked anew, its old row stays what it is
    once_more = answered.arrange([{**ROWS[0], tabs.ID: "bb" + answered.MARK}, ROWS[1]], (), {"bb": "answered: yes"})
    assert (once_more.sink, once_more.gone) == ((3,), (2,))


def test_O2_the_suggested_answer_comes_first_and_ok_takes_it_where_there_is_one() -> None:
    about = {"line": "x", lines.SUGGESTS: "gone"}
    question = Question("k", "cancellation", "A", "", about=about)
    assert [a.word for a in review.offered(question)] == ["gone", "back to stock", "damaged"]
    assert [review.meant(question, word) for word in ("ok", "Yes", "damaged")] == ["gone", "gone", "damaged"]
    assert review.cells(question, None)[tabs.SUGGESTED] == "gone"
    plain = replace(question, about={"line": "x"})
    assert review.suggested(plain) == "" and review.cells(plain, None)[tabs.SUGGESTED] is None
    with pytest.raises(BadInput, match="is no answer to this question"):
        review.meant(plain, "ok")


def test_a_decision_is_taken_once_it_stands_over_two_looks(day: Day) -> None:
    held_below_zero(day)
    day.decide("count")
    assert day.sheet_pass().events == ()
    assert [e.fact.kind for e in day.sheet_pass().events] == [Kind.STOCK_TAKE]


def test_an_answer_that_the_question_has_not_is_told_in_its_row(day: Day) -> None:
    held_below_zero(day)
    day.decide("burn it")
    day.sheet_passes()
    (row,) = day.review_rows()
    assert "is no answer to this question; it takes record it, count, put back" in str(row[tabs.STATUS])
    day.decide("put back", **{tabs.UNITS: "2"})
    day.sheet_passes()
    assert "takes no Units" in str(day.review_rows()[0][tabs.STATUS])
    assert day.figures(PLATE) == "1/0/1"


def test_a_question_goes_when_its_cause_goes_and_is_never_asked_twice(day: Day) -> None:
    held_below_zero(day)
    first = day.open_question(PLATE)
    day.passes()
    assert day.open_question(PLATE) == first and len(day.review_rows()) == 1
    day.type(PLATE, "5")
    day.passes()
    assert (day.questions(), day.review_rows(), day.figures(PLATE), day.cell(PLATE)) == ({}, [], "1/0/1", 1)


def test_H1_an_answer_names_just_what_was_held(day: Day) -> None:
    held_below_zero(day)
    day.type(MUG, "9")
    day.passes()
    assert day.figures(MUG) == "9/0/9"  # one held row holds no other
    stale = review.short_id(day.open_question(PLATE))
    day.type(PLATE, "3")
    day.passes()
    with pytest.raises(BadInput, match="There is no open question"):
        answering.answer(day.desk, stale, "record it")


@pytest.mark.parametrize("back", ["5", "1"], ids=["to the tag", "to the ledger's figure"])
def test_H2_putting_the_cell_back_ends_the_hold_without_an_event(day: Day, back: str) -> None:
    held_below_zero(day)
    before = day.last_event()
    day.type(PLATE, back)
    day.passes()
    assert (day.last_event(), day.cell(PLATE), day.questions()) == (before, 1, {})


def test_H3_approved_late_the_change_applies_to_the_figure_of_then(day: Day) -> None:
    held_below_zero(day)
    shop = day.shops["woocommerce"].shop
    shop.ship(shop.buy(PLATE, 1))
    day.channel_pass("woocommerce")
    day.answer(PLATE, "record it")
    assert day.figures(PLATE) == "-3/0/-3"


def test_S4_undone_by_ctrl_z_is_asked(day: Day) -> None:
    day.type(MUG, "8")
    day.passes()
    day.ship(MUG, 3)
    day.passes()
    assert day.cell(MUG) == 5
    day.type(MUG, "10")
    day.passes()
    assert (day.figures(MUG), day.questions()) == ("5/0/5", {MUG: "undo"})
    day.answer(MUG, "undo")
    assert (day.figures(MUG), day.cell(MUG), day.questions()) == ("7/0/7", 7, {})


def test_S4_or_the_same_figure_was_meant(day: Day) -> None:
    day.type(MUG, "8")
    day.passes()
    day.ship(MUG, 3)
    day.passes()
    day.type(MUG, "10")
    day.passes()
    day.answer(MUG, "add")
    assert (day.figures(MUG), day.cell(MUG)) == ("10/0/10", 10)


def test_S9_a_new_name_keeps_commitments_and_listings(day: Day) -> None:
    shop = day.shops["woocommerce"].shop
    order = shop.buy(PLATE, 2)
    day.passes()
    day.type(PLATE, "MAR-1", header=tabs.SKU)
    day.passes()
    assert day.questions() == {"MAR-1": "rename"}
    assert day.figures(PLATE) == "5/2/3"
    day.answer("MAR-1", "rename")
    assert (day.figures(PLATE), day.figures("MAR-1"), day.cell("MAR-1")) == ("0/0/0", "5/2/3", 5)
    shop.ship(order)
    day.passes()
    assert (day.figures("MAR-1"), day.questions(), day.ledger.verify()) == ("3/0/3", {}, [])
    day.type("MAR-1", "9")
    day.passes()
    assert day.figure("woocommerce", PLATE) == 9  # the shop still calls it by its old name


def test_S9_typed_back_it_was_a_slip(day: Day) -> None:
    day.type(PLATE, "MAR-1", header=tabs.SKU)
    day.passes()
    day.type("MAR-1", PLATE, header=tabs.SKU)
    day.passes()
    assert (day.questions(), day.figures(PLATE), day.cell(PLATE)) == ({}, "5/0/5", 5)


@pytest.mark.parametrize("word", ["put back", "archive"])
def test_S9_a_vanished_row_is_put_back_or_archived(day: Day, word: str) -> None:
    day.store.delete_rows(day.id, tabs.STOCK, day.row(PLATE))
    day.passes()
    assert (day.questions(), day.figures(PLATE)) == ({PLATE: "vanished"}, "5/0/5")
    day.answer(PLATE, word)
    assert day.questions() == {}
    if word == "put back":
        assert (day.cell(PLATE), day.figure("woocommerce", PLATE)) == (5, 5)
    else:
        assert (PLATE in day.skus(), day.figure("woocommerce", PLATE)) == (False, 0)


def test_undo_of_an_event_and_of_the_undo(day: Day) -> None:
    day.type(MUG, "8")
    day.passes()
    (struck,) = answering.undo(day.desk, str(day.events(MUG)[-1].id))
    day.passes()
    assert (day.figures(MUG), day.cell(MUG), day.status(MUG)) == ("10/0/10", 10, "undone (+2), now 10")
    answering.undo(day.desk, str(struck.id))
    day.passes()
    assert (day.figures(MUG), day.figure("woocommerce", MUG)) == ("8/0/8", 8)
    with pytest.raises(BadInput, match="is undone already, by event"):
        answering.undo(day.desk, str(struck.id))
    assert day.ledger.verify() == []


def test_undo_of_a_batch_leaves_sales_made_since(day: Day) -> None:
    day.type(MUG, "8")
    day.type(PLATE, "4")
    day.passes()
    batch = day.events(MUG)[-1].fact.batch
    assert batch == day.events(PLATE)[-1].fact.batch
    day.ship(MUG, 1)
    answering.undo(day.desk, batch)
    day.passes()
    assert (day.figures(MUG), day.figures(PLATE)) == ("9/0/9", "5/0/5")


def test_C1_a_mistake_before_a_count_can_be_undone_without_a_trace(day: Day) -> None:
    held_below_zero(day)
    day.type(PLATE, "1")
    day.passes()
    mistake = day.last_event()
    day.type(PLATE, "91")
    day.passes()
    wrong = day.events(PLATE)[-1]
    assert wrong.id > mistake and day.figures(PLATE) == "91/0/91"
    answering.undo(day.desk, str(wrong.id))
    assert day.figures(PLATE) == "1/0/1"


def test_O7_undo_of_an_orders_event_means_do_not_count_this_line(day: Day) -> None:
    shop = day.shops["woocommerce"].shop
    order = shop.buy(MUG, 2)
    day.passes()
    assert day.figures(MUG) == "10/2/8"
    answering.undo(day.desk, str(day.events(MUG)[-1].id))
    assert day.figures(MUG) == "10/0/10"
    shop.ship(order)
    day.passes()
    assert (day.figures(MUG), day.ledger.verify()) == ("10/0/10", [])


def test_undo_says_what_it_needs(day: Day) -> None:
    with pytest.raises(BadInput, match="There is no event or batch '999'"):
        answering.undo(day.desk, "999")


def test_every_kind_of_question_has_words_and_every_answer_a_kind() -> None:
    assert review.ANSWERS.keys() <= guard.KINDS.keys()
    for kind, answers in review.ANSWERS.items():
        assert len({a.word for a in answers}) == len(answers), kind
