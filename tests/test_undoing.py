"""Undo from the sheet: a tick in the Ledger tab, the question with what it would change, and the reversals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sheets_sync import answering, review, undoing
from sheets_sync.model import Kind, Question
from sheets_sync.sheet import tabs
from tests.hands import Clock
from tests.world import World

pytestmark = pytest.mark.xdist_group("undoing")  # one world for all of them


class Office(World):
    def tick(self, event: int) -> None:
        """Undo of that event's row in the Ledger tab, as a person ticks it."""
        self.store.type(self.book.spreadsheet_id, tabs.LEDGER, self.cell_of(event), "TRUE")
        self.clock.tick(seconds=undoing.EVERY.total_seconds())  # type: ignore[attr-defined]
        self.sheet_passes()

    def cell_of(self, event: int) -> str:
        rows = self.store.rows(self.book.spreadsheet_id, tabs.LEDGER)
        row = next(n for n, row in enumerate(rows, start=1) if row[0] == event)
        return f"{self.letter(tabs.UNDO, tabs.LEDGER)}{row}"

    def box(self, event: int) -> object:
        return self.store.cell(self.book.spreadsheet_id, tabs.LEDGER, self.cell_of(event))

    def asked(self) -> Question:
        with self.ledger.read() as view:
            (question,) = view.questions()
        return question

    def answer(self, word: str) -> None:
        answering.answer(self.desk, review.short_id(self.asked()), word)
        self.passes()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    made = Office(tmp_path_factory.mktemp("office"), clock=Clock())
    try:
        made.begin()
        yield made
    finally:
        made.close()
    assert not made.faults.problems, "\n".join(made.faults.problems)


def test_a_tick_asks_with_what_it_would_change_and_the_answer_strikes(office: Office) -> None:
    office.type("00123", "8")
    office.passes()
    event = office.last_event()
    office.tick(event)
    assert office.figures("00123") == "8/0/8", "a tick alone strikes nothing"
    assert office.asked().text == (
        f"? Undo event {event}, adjustment of 00123 (on hand -2)? 00123 would have 10 on hand, 10 available; to be "
        "sent: Woocommerce 10, Woocommerce2 10."
    )
    assert [a.word for a in review.offered(office.asked())] == ["undo", "leave"]
    assert office.box(event) in (False, None, "")
    office.tick(event)
    assert office.last_event() == event, "ticked again it is the same question"
    office.answer("undo")
    assert (office.figures("00123"), office.figure("woocommerce2", "00123")) == ("10/0/10", 10)
    assert office.events("00123")[-1].fact.kind is Kind.REVERSAL
    office.tick(event)
    assert f"? Event {event} cannot be undone: Event {event} is undone already" in office.asked().text
    office.answer("seen")


def test_a_batch_is_undone_as_one_and_sales_since_stay(office: Office) -> None:
    for sku, figure in (("00123", "4"), ("1E5", "5"), ("MAR1", "1")):
        office.type(sku, figure)
    office.passes()
    event = office.last_event()
    order = office.shops["woocommerce"].shop.buy("MAR1")
    office.passes()
    office.tick(event)
    question = office.asked()
    assert "It was recorded together with 2 others, which can be undone with it." in question.text
    office.answer("undo the batch")
    assert [office.figures(sku) for sku in ("00123", "1E5", "MAR1")] == ["10/0/10", "20/0/20", "5/1/4"]
    office.shops["woocommerce"].shop.cancel(order)
    office.passes()


def test_an_orders_event_says_that_its_line_is_not_counted_then(office: Office) -> None:
    office.shops["woocommerce"].shop.buy("MAR1", 2)
    office.passes()
    office.tick(office.last_event())
    assert "All of that order's line would not be counted any more." in office.asked().text
    office.answer("leave")
    assert office.figures("MAR1") == "5/2/3"
    office.tick(office.last_event())
    assert office.asked().kind == "undo_event", "what was left once may be undone later"
    office.answer("undo")
    assert office.figures("MAR1") == "5/0/5"
