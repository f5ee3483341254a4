"""The Adjustments tab and `sheets-sync adjust`: S8 (a row once, whatever moves), S10 and S11, orders by reference.

Two halves: what a row is (`sort`), over reads alone; and the tab itself, through a real sheet and real shops.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import stamina

from sheets_sync import adjusting, answering, guard, rehearsal, review
from sheets_sync.adjustments import Is, Issued, Known, Row, Wish, digest, sort, wish
from sheets_sync.errors import BadInput
from sheets_sync.model import StockKey
from sheets_sync.sheet import tabs
from tests.hands import VENDORS, Clock, Hands, hands_of
from tests.world import World

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
MUG = "00123"
ONE = (MUG, 1, None, None, None, None)
TWO = (MUG, 2, None, "found", None, None)


def a_row(number: int, cells: tuple[Any, ...] = ONE, id: str = "") -> Row:
    return Row(number, id, cells)


def issued(cells: tuple[Any, ...] = ONE, used: bool = False) -> Issued:
    return Issued(cells, NOW, used, "recorded: on hand +1 (event 5)" if used else "", 11 if used else None)


def kinds(rows: list[Row], known: Known | None = None, before: list[Row] | None = None) -> list[Is]:
    return [s.what for s in sort(rows, rows if before is None else before, known or Known({}))]


# what a row is --------------------------------------------------------------------------------------------------


def test_S8_a_row_is_new_once_it_is_complete_and_stands_over_two_reads() -> None:
    row = a_row(2)
    assert kinds([row], before=[]) == [Is.YOUNG]
    assert kinds([row], before=[a_row(2, TWO)]) == [Is.YOUNG]
    assert kinds([row]) == [Is.NEW]


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ((MUG, None, None, None, None, None), "Change or Set to"),
        ((MUG, 1, 2, None, None, None), "Change or Set to"),
        ((None, 1, None, None, None, None), "SKU: missing"),
        ((123, 1, None, None, None, None), "SKU: 123 is a number"),
        ((MUG, "1o", None, None, None, None), "Change: '1o' is not a whole number"),
        ((MUG, 0, None, None, None, None), "Change: 0"),
        ((MUG, 2.5, None, None, None, None), "Change: 2.5"),
        ((MUG, None, -1, None, None, None), "Set to: -1"),
        ((MUG, None, True, None, None, None), "Set to: TRUE"),
        ((MUG, 1, None, "because", None, None), "Reason: 'because' is none of"),
        ((MUG, None, 5, "damage", None, None), "give it in Change"),
    ],
)
def test_what_is_not_complete_is_said_and_never_taken(cells: tuple[Any, ...], says: str) -> None:
    assert kinds([a_row(2, cells)]) == [Is.INCOMPLETE]
    with pytest.raises(BadInput, match=says.replace("(", "\\(")):
        wish(cells)


def test_S8_an_id_counts_only_beside_the_contents_it_was_issued_for() -> None:
    known = Known({"A1": issued()})
    assert kinds([a_row(2, id="A1")], known) == [Is.READY]
    assert kinds([a_row(2, id="A1")], known, before=[a_row(2)]) == [Is.YOUNG]
    assert kinds([a_row(2, TWO, "A1")], known) == [Is.NEW], "it fell on another row: that one gets its own"


def test_S8_a_copied_row_is_flagged() -> None:
    for used in (False, True):
        known = Known({"A1": issued(used=used)})
        found = sort([a_row(2, id="A1"), a_row(3, id="A1")], [a_row(2, id="A1"), a_row(3, id="A1")], known)
        assert [s.what for s in found] == [Is.RECORDED if used else Is.READY, Is.COPIED]
        assert "A copy of row 2" in found[1].says


def test_S8_an_id_that_is_not_ours_is_flagged() -> None:
    assert kinds([a_row(2, id="MINE")]) == [Is.COPIED]


def test_S8_a_recorded_row_edited_later_is_flagged() -> None:
    (edited,) = sort([a_row(2, TWO, "A1")], [a_row(2, TWO, "A1")], Known({"A1": issued(used=True)}))
    assert edited.what is Is.EDITED
    assert "recorded: on hand +1 (event 5)" in edited.says


def test_S8_a_row_without_its_id_that_equals_a_recorded_one_is_asked() -> None:
    known = Known({"A1": issued(used=True)}, {digest(ONE): ["A1"]})
    assert kinds([a_row(2)], known) == [Is.AGAIN]
    assert kinds([a_row(2, id="A1"), a_row(3)], known) == [Is.RECORDED, Is.NEW], "one more of the same is just that"
    assert kinds([a_row(2), a_row(3)], known) == [Is.AGAIN, Is.NEW]
    said = Known(known.ids, known.used, {digest(ONE): "record"})
    assert kinds([a_row(2)], said) == [Is.NEW]
    (same,) = sort([a_row(2)], [a_row(2)], Known(known.ids, known.used, {digest(ONE): "same:A1"}))
    assert (same.what, same.id) == (Is.LOST, "A1")


def test_S8_a_recorded_row_that_another_rows_id_fell_on_gets_its_own_back() -> None:
    known = Known({"A1": issued(used=True), "A2": issued(TWO)}, {digest(ONE): ["A1"]})
    (lost,) = sort([a_row(4, ONE, "A2")], [a_row(4, ONE, "A2")], known)
    assert (lost.what, lost.id) == (Is.LOST, "A1")
    other = Known({"A1": issued(used=True), "A2": issued(TWO, used=True)}, {digest(ONE): ["A1"]})
    assert kinds([a_row(4, ONE, "A2")], other) == [Is.LOST]


# the tab itself -------------------------------------------------------------------------------------------------


class Tab:
    """The Adjustments tab as a person uses it, in a world after Start."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world, self.clock = world, clock

    def type(self, row: int, **cells: object) -> None:
        for name, value in cells.items():
            header = {"sku": "SKU", "set_to": "Set to"}.get(name, name.capitalize())
            where = f"{self.world.letter(header, tabs.ADJUSTMENTS)}{row}"
            self.world.store.type(self.world.book.spreadsheet_id, tabs.ADJUSTMENTS, where, str(value))

    def cell(self, row: int, header: str) -> Any:
        rows = self.world.store.rows(self.world.book.spreadsheet_id, tabs.ADJUSTMENTS)
        at = rows[0].index(header)
        return rows[row - 1][at] if row <= len(rows) and at < len(rows[row - 1]) else None

    def passes(self, times: int = 5) -> None:
        for _ in range(times):
            self.world.sheet_pass()
        assert self.world.ledger.verify() == []

    def shop(self, vendor: str) -> Hands:
        return hands_of(self.world.shops[vendor])

    def damaged(self) -> int:
        with self.world.ledger.read() as view:
            return view.balances([MUG])[StockKey(MUG)].stock.damaged

    def answer(self, kind: str, word: str, **how: Any) -> None:
        with self.world.ledger.read() as view:
            (question,) = [q for q in view.questions() if q.kind == kind]
        answering.answer(self.world.desk, review.short_id(question), word, **how)


def an_hour_later(world: World) -> None:
    world.go()
    world.clock.tick(hours=1)  # type: ignore[attr-defined]
    world.passes()


@pytest.fixture
def tab(tmp_path: Path) -> Iterator[Tab]:
    clock = Clock()
    world = World(tmp_path, vendors=VENDORS, clock=clock)
    try:
        with stamina.set_testing(True, attempts=2):
            world.begin(an_hour_later)
            yield Tab(world, clock)
    finally:
        world.close()


def test_S8_a_row_is_recorded_once_with_its_id(tab: Tab) -> None:
    tab.type(2, sku=MUG, change=1, reason="found", note="behind the shelf")
    tab.passes()
    assert tab.world.figures(MUG) == "11/0/11"
    assert str(tab.cell(2, "Id")).startswith("A")
    assert (tab.cell(2, "Status"), tab.cell(2, "On hand after")) == ("recorded: on hand +1 (event 6)", 11)
    event = tab.world.events(MUG)[-1]
    assert (event.fact.reason, event.fact.note, event.fact.source) == ("found", "behind the shelf", "adjustments")
    tab.passes()
    assert tab.world.figures(MUG) == "11/0/11"


def test_S8_nothing_is_recorded_before_the_row_is_complete(tab: Tab) -> None:
    tab.type(2, sku=MUG)
    tab.passes()
    assert "Change or Set to" in tab.cell(2, "Status")
    tab.type(2, change="2 pcs")
    tab.passes()
    assert "not a whole number" in tab.cell(2, "Status")
    tab.type(2, change=2)
    tab.passes()
    assert tab.world.figures(MUG) == "12/0/12"


def test_a_dry_run_says_what_the_rows_would_record_and_records_nothing(tab: Tab) -> None:
    order = tab.shop("woocommerce").buy(MUG, 2)
    tab.world.passes()
    tab.type(2, sku=MUG, change=1, reason="found")
    tab.type(3, sku=MUG, change=-1, reason="sold", reference=order)
    tab.type(4, sku=MUG, change=-99)
    tab.type(5, sku=MUG)
    would = rehearsal.plan(tab.world.desk, tab.world.workbook).events
    assert [(e.fact.kind, e.change.on_hand) for e in would] == [("adjustment", 1), ("shipment", -1)]
    assert tab.world.figures(MUG) == "10/2/8"
    tab.passes()
    assert rehearsal.plan(tab.world.desk, tab.world.workbook).events == ()


def test_one_run_of_sync_takes_a_row_all_the_way(tab: Tab) -> None:
    tab.type(2, sku=MUG, change=1)
    tab.world.sheet_passes()
    assert tab.world.figures(MUG) == "11/0/11"
    assert tab.cell(2, "Status").startswith("recorded")


def test_set_to_is_a_count(tab: Tab) -> None:
    tab.type(2, sku=MUG, set_to=8)
    tab.passes()
    assert tab.world.figures(MUG) == "8/0/8"
    assert tab.cell(2, "Status").startswith("recorded: set to 8")


def test_S8_rows_that_move_while_their_id_is_written_are_recorded_once_each(tab: Tab) -> None:
    book = tab.world.book.spreadsheet_id
    tab.type(2, sku=MUG, change=1)
    tab.passes()
    tab.type(3, sku=MUG, change=2, note="b")
    tab.type(4, sku=MUG, change=4, note="c")
    tab.world.sheet_pass()
    send = tab.world.workbook.send

    def moved_before(requests: Any) -> Any:
        tab.world.workbook.send = send  # type: ignore[method-assign]
        tab.world.store.insert_rows(book, tabs.ADJUSTMENTS, 2, 1)
        return send(requests)

    tab.world.workbook.send = moved_before  # type: ignore[method-assign]
    tab.passes(8)
    assert tab.world.figures(MUG) == "17/0/17"
    ids = [tab.cell(row, "Id") for row in (3, 4, 5)]
    assert len(set(ids)) == 3 and None not in ids
    assert all(str(tab.cell(row, "Status")).startswith("recorded") for row in (3, 4, 5))


def test_S8_a_copied_row_adds_nothing(tab: Tab) -> None:
    tab.type(2, sku=MUG, change=1)
    tab.passes()
    tab.type(3, sku=MUG, change=1, id=tab.cell(2, "Id"))
    tab.passes()
    assert tab.world.figures(MUG) == "11/0/11"
    assert "A copy of row 2" in tab.cell(3, "Status")
    tab.type(3, id="")
    tab.passes()
    assert tab.world.figures(MUG) == "12/0/12", "its Id cleared, it is one more"


def test_S8_an_old_version_of_a_recorded_row_is_asked_and_answered(tab: Tab) -> None:
    tab.type(2, sku=MUG, change=1)
    tab.passes()
    old = tab.cell(2, "Id")
    tab.type(2, id="", status="")
    tab.passes()
    assert tab.world.figures(MUG) == "11/0/11"
    assert tab.world.questions() == {MUG: "adjustment"}
    tab.answer("adjustment", "the same")
    tab.passes()
    assert (tab.cell(2, "Id"), tab.world.figures(MUG), tab.world.questions()) == (old, "11/0/11", {})
    tab.type(2, id="", status="")
    tab.passes()
    tab.answer("adjustment", "once more")
    tab.passes()
    assert (tab.world.figures(MUG), tab.world.questions()) == ("12/0/12", {})


def test_S2_a_row_that_would_go_below_zero_waits_and_says_so(tab: Tab) -> None:
    tab.type(2, sku=MUG, change=-11)
    tab.passes()
    assert tab.world.figures(MUG) == "10/0/10"
    assert "would leave -1" in tab.cell(2, "Status")


def test_S11_damage_repaired_and_disposed(tab: Tab) -> None:
    tab.type(2, sku=MUG, change=-2, reason="damage")
    tab.passes()
    assert (tab.world.figures(MUG), tab.damaged()) == ("8/0/8", 2)
    tab.type(3, sku=MUG, change=1, reason="repaired")
    tab.passes()
    assert (tab.world.figures(MUG), tab.damaged()) == ("9/0/9", 1)
    tab.type(4, sku=MUG, change=-2, reason="disposed")
    tab.passes()
    assert (tab.damaged(), "where 1 are" in tab.cell(4, "Status")) == (1, True)
    tab.type(4, change=-1)
    tab.passes()
    assert (tab.world.figures(MUG), tab.damaged()) == ("9/0/9", 0)


def test_an_unknown_sku_is_flagged(tab: Tab) -> None:
    tab.type(2, sku="NOPE", change=1)
    tab.passes()
    assert "has no count" in tab.cell(2, "Status")


# orders ---------------------------------------------------------------------------------------------------------


def late(tab: Tab, units: int = 2) -> str:
    """A Shopify order cancelled by the seller, not put back: it asks. 10/2/8."""
    shop = tab.world.shops["shopify"].shop
    order = tab.shop("shopify").buy(MUG, units)
    tab.world.passes()
    tab.clock.tick(minutes=5)
    shop.cancel(int(order), restock=False, reason="INVENTORY")
    tab.world.passes()
    assert tab.world.figures(MUG) == f"10/{units}/{10 - units}"
    with tab.world.ledger.read() as view:
        (line,) = view.lines(skus=[MUG])
    return line.number


def returned(tab: Tab) -> str:
    """A WooCommerce order of 3, shipped. 7/0/7; nothing came back yet."""
    order = tab.shop("woocommerce").buy(MUG, 3)
    tab.shop("woocommerce").ship(order)
    tab.clock.tick(minutes=5)
    tab.world.passes()
    assert tab.world.figures(MUG) == "7/0/7"
    return order


def test_a_reference_ties_a_row_to_its_order_and_answers_its_question(tab: Tab) -> None:
    number = late(tab)
    tab.type(2, sku=MUG, change=2, reason="cancellation", reference=number)
    tab.passes()
    assert (tab.world.figures(MUG), tab.world.questions()) == ("10/0/10", {})
    assert tab.cell(2, "Status").startswith(f"recorded: Order {number} (shopify): 2 back to stock")
    assert tab.world.events(MUG)[-1].fact.kind == "cancellation"


def test_a_reference_is_bounded_by_what_the_order_has(tab: Tab) -> None:
    number = late(tab)
    tab.type(2, sku=MUG, change=3, reason="cancellation", reference=f"Shopify {number}")
    tab.passes()
    assert tab.world.figures(MUG) == "10/2/8"
    assert "at most 2 of 00123" in tab.cell(2, "Status")


@pytest.mark.parametrize(("reason", "figures", "damaged"), [("damage", "8/0/8", 2), ("loss", "8/0/8", 0)])
def test_a_minus_with_a_reference_says_what_became_of_cancelled_units(
    tab: Tab, reason: str, figures: str, damaged: int
) -> None:
    number = late(tab)
    tab.type(2, sku=MUG, change=-2, reason=reason, reference=number)
    tab.passes()
    assert (tab.world.figures(MUG), tab.damaged(), tab.world.questions()) == (figures, damaged, {})


def test_a_return_is_known_to_a_person_before_the_shop_says_so_and_is_back_once(tab: Tab) -> None:
    order = returned(tab)
    tab.type(2, sku=MUG, change=1, reason="return", reference=order)
    tab.type(3, sku=MUG, change=1, reason="damage", reference=order)
    tab.passes()
    assert (tab.world.figures(MUG), tab.damaged()) == ("8/0/8", 1)
    tab.type(4, sku=MUG, change=2, reason="return", reference=order)
    tab.passes()
    assert "at most 1" in tab.cell(4, "Status")
    tab.shop("woocommerce").refund(order, MUG, 1)
    tab.clock.tick(minutes=5)
    tab.world.passes()
    assert tab.world.figures(MUG) == "8/0/8", "the shop tells of the unit that is back already"


def test_a_sale_marked_by_hand_ships_the_orders_units(tab: Tab) -> None:
    order = tab.shop("woocommerce").buy(MUG, 3)
    tab.world.passes()
    tab.type(2, sku=MUG, change=-3, reason="sold", reference=order)
    tab.passes()
    assert tab.world.figures(MUG) == "7/0/7"
    tab.shop("woocommerce").ship(order)
    tab.world.passes()
    assert tab.world.figures(MUG) == "7/0/7"


def test_a_reference_that_names_no_order_is_a_remark(tab: Tab) -> None:
    tab.type(2, sku=MUG, change=5, reason="received", reference="PO 77")
    tab.passes()
    assert tab.world.figures(MUG) == "15/0/15"
    assert tab.world.events(MUG)[-1].fact.reference == "PO 77"


@pytest.mark.parametrize(("word", "figures"), [("yes", "10/0/10"), ("no", "12/2/10")])
def test_S10_a_plus_typed_in_stock_is_asked_about_the_order(tab: Tab, word: str, figures: str) -> None:
    late(tab)
    tab.world.type(MUG, "12")
    tab.passes(2)
    assert tab.world.figures(MUG) == "10/2/8"
    assert "Is it this order?" in tab.world.status(MUG)
    tab.answer("is_order", word)
    tab.passes()
    assert tab.world.figures(MUG) == figures
    assert tab.world.cell(MUG) == int(figures.split("/")[0])


def test_S10_a_plus_of_more_units_or_for_another_reason_is_just_that(tab: Tab) -> None:
    late(tab)
    tab.world.type(MUG, "13")
    tab.passes(2)
    assert tab.world.figures(MUG) == "13/2/11"
    tab.world.type(MUG, "received", tabs.REASON)
    tab.world.type(MUG, "14")
    tab.passes(2)
    assert tab.world.figures(MUG) == "14/2/12"


def test_S10_a_held_plus_stays_asked_when_the_order_is_settled_meanwhile(tab: Tab) -> None:
    late(tab)
    tab.world.type(MUG, "12")
    tab.passes(2)
    tab.answer("cancellation", "back to stock")
    tab.passes()
    assert tab.world.figures(MUG) == "10/0/10", "it is not added behind the person's back"
    with pytest.raises(BadInput, match="does not ask about so many"):
        tab.answer("is_order", "yes")
    tab.answer("is_order", "put back")
    tab.passes()
    assert (tab.world.figures(MUG), tab.world.cell(MUG), tab.world.questions()) == ("10/0/10", 10, {})


@pytest.mark.parametrize(("word", "figures"), [("yes", "10/0/10"), ("no", "12/2/10")])
def test_S10_a_row_without_a_reference_is_asked_about_the_order(tab: Tab, word: str, figures: str) -> None:
    late(tab)
    tab.type(2, sku=MUG, change=2)
    tab.passes()
    assert tab.world.figures(MUG) == "10/2/8"
    assert "Is it this order?" in tab.cell(2, "Status")
    tab.answer("adjustment_order", word)
    tab.passes()
    assert tab.world.figures(MUG) == figures
    assert tab.cell(2, "Status").startswith("recorded")


# the command line's way -----------------------------------------------------------------------------------------


def adjusted(tab: Tab, key: str = "adjust:1", plain: bool = False, **how: Any) -> str:
    return adjusting.adjust(tab.world.desk, Wish(MUG, **how), key=key, plain=plain)[1]


def test_adjust_records_once_by_its_key(tab: Tab) -> None:
    assert adjusted(tab, change=3, reason="received").startswith("recorded: on hand +3 (event")
    with pytest.raises(BadInput, match="would leave"):
        adjusted(tab, "adjust:2", change=-99)
    adjusted(tab, "adjust:3", set_to=4)
    assert tab.world.figures(MUG) == "4/0/4"


def test_S10_adjust_asks_before_it_adds_what_an_order_may_mean(tab: Tab) -> None:
    number = late(tab)
    with pytest.raises(BadInput, match="--reference"):
        adjusted(tab, change=2)
    adjusted(tab, change=1, reason="cancellation", reference=number)
    assert tab.world.figures(MUG) == "10/1/9"
    adjusted(tab, "adjust:2", change=1, plain=True)
    assert tab.world.figures(MUG) == "11/1/10"


def test_every_kind_asked_about_rows_has_words_and_answers() -> None:
    for kind in ("is_order", "adjustment", "adjustment_order"):
        assert kind in guard.KINDS
        assert len(review.ANSWERS[kind]) >= 2
