"""Law 1: every figure of RULES.md O and B2 about order lines, and what must hold for lines of any shape.

Figures are on_hand/committed/available of one SKU at one location, by the fold of law 2.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheets_sync import guard, lines
from sheets_sync.ledger import codec
from sheets_sync.lines import OrderBooking, Policy, book, book_order, difference, due, is_newer, questions, settle
from sheets_sync.model import (
    Fact,
    Kind,
    LineState,
    MoveKey,
    Order,
    OrderLine,
    OrderState,
    Ref,
    Said,
    Shipment,
    Stock,
    Word,
)
from sheets_sync.stock import fold

DAY = datetime(2026, 3, 2, tzinfo=UTC)
OPENED = DAY - timedelta(days=3)
REF = Ref("item-1")


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


def left(*shipments: tuple[float, int]) -> tuple[Shipment, ...]:
    return tuple(Shipment(at(hour), units) for hour, units in shipments)


def a_line(ordered: int, **how: Any) -> OrderLine:
    return OrderLine(**{"id": "1", "ordered": ordered, "sku": "MUG", "ref": REF, **how})


def an_order(*lines: OrderLine, version: float = 1, placed: float = 0, **how: Any) -> Order:
    how = {"id": "77", "number": "#77", "state": OrderState.OPEN, "paid": True, "read_at": at(version), **how}
    return Order(placed_at=at(placed), updated_at=at(version), lines=lines, **how)


RULES = ("at_once", "trust_restock", "cancelled", "ask_after")


class Book:
    """A ledger of one SKU in miniature: the lines stored, the facts recorded, what is asked."""

    def __init__(self, on_hand: int = 10, sku: str | None = "MUG", pack_size: int = 1, **rules: Any) -> None:
        self.lines: dict[str, LineState] = {}
        self.facts = [Fact("opening", "MUG", Kind.OPENING, OPENED, count=on_hand)]
        self.policy = Policy(**{name: rules.pop(name) for name in RULES if name in rules})
        self.sku, self.pack_size, self.rules = sku, pack_size, rules

    def read(self, order: Order, **rules: Any) -> OrderBooking:
        booking = book_order(
            self.lines, order, lambda _: (self.sku, self.pack_size), channel="shop", policy=self.policy,
            last_count=self.last_count, **{**self.rules, **rules},
        )  # fmt: skip
        self._keep(booking.lines, booking.facts)
        return booking

    def say(self, line_id: str = "1", **what: Any) -> None:
        self._settle(replace(self.lines[line_id], said=replace(self.lines[line_id].said, **what)))

    def count(self, n: int, hour: float) -> None:
        self.facts.append(Fact(f"count {hour}", "MUG", Kind.STOCK_TAKE, at(hour), count=n))

    def last_count(self, sku: str) -> datetime | None:
        return max((f.occurred_at for f in self.facts if f.count is not None), default=None)

    def leave_out(self, line_id: str = "1", counted: bool = False) -> None:
        self._settle(replace(self.lines[line_id], counted=counted))

    def _settle(self, line: LineState) -> None:
        settled, facts = settle(line, self.policy, self.last_count)
        self._keep((settled,), facts)

    def _keep(self, lines: tuple[LineState, ...], facts: tuple[Fact, ...]) -> None:
        self.lines |= {line.level.id: line for line in lines}
        known = {f.key for f in self.facts}
        assert not known & {f.key for f in facts}, "a dedup key was used again"
        self.facts += facts

    def stock(self, sku: str = "MUG") -> Stock:
        return fold(f for f in self.facts if f.sku == sku)

    def figures(self, sku: str = "MUG") -> str:
        stock = self.stock(sku)
        return f"{stock.on_hand}/{stock.committed}/{stock.available}"

    def kinds(self) -> list[Kind]:
        return [f.kind for f in self.facts[1:]]


def booked(*orders: Order, **how: Any) -> Book:
    shop = Book(**how)
    for order in orders:
        shop.read(order)
    return shop


def kinds_asked(booking: OrderBooking) -> list[str]:
    return [q.kind for q in booking.questions]


LATE = {"cancelled": 2, "freely": False, "cancelled_at": at(9)}


# O1: each reading replaces the level ----------------------------------------------------------------------------


def test_O1_a_sale_alone_leaves_on_hand_and_raises_committed() -> None:
    assert booked(an_order(a_line(2))).figures() == "10/2/8"


def test_O1_pending_orders_commit() -> None:
    assert booked(an_order(a_line(2), state=OrderState.PENDING, paid=False)).figures() == "10/2/8"


def test_O1_shipped_takes_away_and_releases() -> None:
    shop = booked(an_order(a_line(2)), an_order(a_line(2, shipped=left((9, 2))), version=9))
    assert shop.figures() == "8/0/8"
    assert shop.kinds() == [Kind.ORDER, Kind.SHIPMENT]
    assert shop.facts[-1].occurred_at == at(9)


def test_O1_the_same_reading_twice_does_nothing() -> None:
    order = an_order(a_line(2))
    shop = booked(order)
    again = shop.read(order)
    assert not again.facts
    assert not again.taken
    assert again.lines[0] == shop.lines["1"]


def test_O1_an_older_reading_never_undoes_a_newer_one() -> None:
    assert booked(an_order(a_line(3), version=2), an_order(a_line(5), version=1)).figures() == "10/3/7"


def test_O1_quantities_edited_are_just_another_level() -> None:
    shop = booked(an_order(a_line(2)), an_order(a_line(5), version=2), an_order(a_line(1), version=3))
    assert shop.figures() == "10/1/9"
    assert shop.kinds() == [Kind.ORDER] * 3


def test_O1_units_lie_on_their_own_side_of_a_count_whatever_we_missed() -> None:
    shop = Book()
    shop.count(9, 10)
    shop.read(an_order(a_line(2, shipped=left((9, 1), (11, 1))), version=11, placed=8))
    assert shop.figures() == "8/0/8"


def test_O1_a_line_added_and_a_line_edited_away() -> None:
    shop = booked(an_order(a_line(2)), an_order(a_line(2), a_line(3, id="2"), version=2))
    assert shop.figures() == "10/5/5"
    booking = shop.read(an_order(a_line(3, id="2"), version=3))
    assert shop.figures() == "10/3/7"
    assert [f.kind for f in booking.facts] == [Kind.CANCELLATION]
    assert booking.facts[0].occurred_at == at(3)
    assert not shop.read(an_order(a_line(3, id="2"), version=4)).facts


def test_O1_a_line_split_in_two_keeps_what_was_shipped() -> None:
    shop = booked(an_order(a_line(4, shipped=left((1, 1)))))
    shop.read(an_order(a_line(2, id="2"), a_line(1, id="3"), version=2))
    assert shop.figures() == "9/3/6"


def test_O1_a_line_that_comes_back_is_committed_again() -> None:
    shop = booked(an_order(a_line(2)), an_order(a_line(1, id="2"), version=2))
    shop.read(an_order(a_line(2), a_line(1, id="2"), version=3))
    assert shop.figures() == "10/3/7"


def test_O1_a_line_for_another_sku_gives_back_the_one_and_takes_the_other() -> None:
    shop = booked(an_order(a_line(2)))
    shop.sku = "CUP"
    booking = shop.read(an_order(a_line(2, sku="CUP", ref=Ref("item-2")), version=2))
    assert (shop.figures(), shop.figures("CUP")) == ("10/0/10", "0/2/-2")
    assert [(f.sku, f.change.committed) for f in booking.facts] == [("MUG", -2), ("CUP", 2)]
    shop.sku = "MUG"
    shop.read(an_order(a_line(2), version=3))
    assert (shop.figures(), shop.figures("CUP")) == ("10/2/8", "0/0/0")


def test_O1_a_line_for_an_unknown_sku_gives_back_the_one_and_waits() -> None:
    shop = booked(an_order(a_line(2)))
    shop.sku = None
    assert kinds_asked(shop.read(an_order(a_line(2, sku="CUP", ref=Ref("item-2")), version=2))) == ["unknown_sku"]
    assert shop.figures() == "10/0/10"


def test_O1_a_line_for_another_sku_is_no_line_from_before_its_opening() -> None:
    shop = booked(an_order(a_line(2), **old(version=-100)))
    shop.sku, cup = "CUP", a_line(2, sku="CUP", ref=Ref("item-2"), shipped=left((4, 1)))
    assert not shop.read(an_order(cup, **old(version=5)), opened_at=opened_at).questions
    assert shop.figures("CUP") == "-1/1/-2"


def test_O1_a_sku_renamed_or_mapped_anew_later_changes_no_open_line() -> None:
    shop = booked(an_order(a_line(2)))
    shop.sku, shop.pack_size = "CUP", 6
    shop.read(an_order(a_line(2, sku="MUG-NEW"), version=2))
    assert shop.figures() == "10/2/8"


def test_O1_of_one_version_the_read_that_began_later_stands() -> None:
    def reading(ordered: int, read: float | None) -> Order:
        return an_order(a_line(ordered), read_at=None if read is None else at(read))

    assert booked(reading(2, 3), reading(5, 4)).figures() == "10/5/5"
    assert booked(reading(5, 4), reading(2, 3)).figures() == "10/5/5"
    assert booked(reading(2, None), reading(5, 1)).figures() == "10/5/5"
    assert booked(reading(5, 1), reading(2, None)).figures() == "10/5/5"
    assert booked(reading(5, None), reading(2, None)).figures() == "10/5/5"


def test_O1_is_newer_says_no_to_what_it_knows_already() -> None:
    order = an_order(a_line(2))
    stored = booked(order).lines["1"]
    assert is_newer(None, order)
    assert not is_newer(stored, replace(order, read_at=at(5)))
    assert is_newer(stored, replace(order, read_at=at(5), paid=False))
    assert not is_newer(stored, replace(order, read_at=None, paid=False))


def test_O1_a_line_missing_from_the_same_version_is_believed_of_a_later_read_only() -> None:
    whole = an_order(a_line(2), a_line(1, id="2"))
    shop = booked(whole)
    shop.read(an_order(a_line(2), read_at=None))
    assert shop.figures() == "10/3/7"
    shop.read(an_order(a_line(2), read_at=at(2)))
    assert shop.figures() == "10/2/8"


def test_O1_paid_before_create_is_one_commitment() -> None:
    create = an_order(a_line(2), version=1, state=OrderState.PENDING, paid=False, read_at=None)
    paid = an_order(a_line(2), version=2, read_at=None)
    shop = booked(paid, create, paid, create)
    assert shop.figures() == "10/2/8"
    assert shop.kinds() == [Kind.ORDER]


def test_O1_cancelled_before_create_is_one_commitment_and_one_release() -> None:
    create = an_order(a_line(2), version=1, read_at=None)
    cancelled = an_order(
        a_line(2, cancelled=2, cancelled_at=at(2)), version=2, state=OrderState.CANCELLED, read_at=None
    )
    for readings in ((cancelled, create), (create, cancelled), (cancelled, create, cancelled, create)):
        shop = booked(*readings)
        assert shop.figures() == "10/0/10"
        assert shop.kinds() == [Kind.ORDER, Kind.CANCELLATION]


def test_O1_a_cancellation_without_a_time_has_that_of_the_version_that_showed_it() -> None:
    shop = booked(an_order(a_line(2, cancelled=2), version=2), an_order(a_line(2, cancelled=2), version=7))
    assert [f.occurred_at for f in shop.facts if f.kind is Kind.CANCELLATION] == [at(2)]


def test_O1_a_reading_without_a_number_keeps_it() -> None:
    shop = booked(an_order(a_line(2)), an_order(a_line(3), version=2, number=""))
    assert shop.facts[-1].reference == "#77"


def test_O1_facts_say_where_they_come_from() -> None:
    shop = booked(an_order(a_line(2)), actor="webhook")
    fact = shop.facts[-1]
    assert fact == Fact(
        key="line:shop/77/1:1:order:2026-03-02T00:00:00+00:00",
        sku="MUG",
        kind=Kind.ORDER,
        occurred_at=at(0),
        change=Stock(committed=2),
        source="shop",
        actor="webhook",
        reference="#77",
        line="shop/77/1",
    )


# O2 to O4: cancellations ----------------------------------------------------------------------------------------


def test_O2_cancelled_before_shipping_by_the_buyer_comes_back_by_itself() -> None:
    shop = booked(an_order(a_line(2)))
    booking = shop.read(an_order(a_line(2, cancelled=2), version=2))
    assert shop.figures() == "10/0/10"
    assert not booking.questions


def test_O2_cancelled_late_by_the_marketplace_stays_committed_and_is_asked() -> None:
    shop = booked(an_order(a_line(2)))
    booking = shop.read(an_order(a_line(2, **LATE), version=9))
    assert shop.figures() == "10/2/8"
    assert kinds_asked(booking) == ["cancellation"]
    assert "back to stock (suggested, the usual case)" in booking.questions[0].text
    assert not questions(replace(shop.lines["1"], said=Said(back=2)))
    (asked,) = Book().read(an_order(a_line(2, **LATE, not_there=True), version=9)).questions
    assert "not there" in asked.text
    assert [q.about[lines.SUGGESTS] for q in (*booking.questions, asked)] == ["back to stock", "gone"]


@pytest.mark.parametrize(
    ("answer", "figures", "damaged"), [("back", "10/0/10", 0), ("gone", "8/0/8", 0), ("damaged", "8/0/8", 2)]
)
def test_O2_each_answer(answer: str, figures: str, damaged: int) -> None:
    shop = booked(an_order(a_line(2, **LATE), version=9))
    shop.say(**{answer: 2})
    assert (shop.figures(), shop.stock().damaged) == (figures, damaged)


def test_O2_gone_takes_the_time_of_the_cancellation() -> None:
    shop = booked(an_order(a_line(2, **LATE), version=9))
    shop.count(8, 10)
    shop.say(gone=2, at=at(11))
    assert shop.figures() == "8/0/8"


def test_O2_answers_unit_by_unit_and_what_is_undecided_stays() -> None:
    shop = booked(an_order(a_line(3, **{**LATE, "cancelled": 3}), version=9))
    shop.say(back=1, gone=1)
    assert shop.figures() == "9/1/8"
    assert "1 of MUG" in questions(shop.lines["1"])[0].text


def test_O2_an_order_paid_after_all_is_committed_again() -> None:
    shop = booked(an_order(a_line(2, **LATE), version=9))
    shop.say(back=2)
    assert shop.figures() == "10/0/10"
    shop.read(an_order(a_line(2), version=12))
    assert shop.figures() == "10/2/8"


def test_O2_gone_then_shipped_after_all_is_minus_two_not_minus_four() -> None:
    shop = booked(an_order(a_line(2, **LATE), version=9))
    shop.say(gone=2)
    shop.read(an_order(a_line(2, **LATE, shipped=left((12, 2))), version=12))
    assert shop.figures() == "8/0/8"


def test_O2_units_cancelled_later_are_a_new_question() -> None:
    shop = Book()
    one = shop.read(an_order(a_line(2, **{**LATE, "cancelled": 1}), version=9)).questions
    shop.say(back=1)
    two = shop.read(an_order(a_line(2, **LATE), version=10)).questions
    assert one[0].key != two[0].key
    assert "1 of MUG" in two[0].text


def test_O3_a_persons_word_counts_until_the_channel_knows_better() -> None:
    shop = booked(an_order(a_line(2)))
    shop.say(left=2, at=at(5))
    assert shop.figures() == "8/0/8"
    shop.read(an_order(a_line(2, shipped=left((9, 2))), version=9))
    assert shop.figures() == "8/0/8"


def test_O3_back_to_stock_and_then_shipped_after_all() -> None:
    shop = booked(an_order(a_line(2)))
    shop.say(kept=2, at=at(5))
    assert shop.figures() == "10/0/10"
    shop.read(an_order(a_line(2, shipped=left((9, 2))), version=9))
    assert shop.figures() == "8/0/8"


def test_O4_what_is_not_called_cancelled_frees_nothing() -> None:
    shop = booked(an_order(a_line(2, cancelled=0, freely=False, shipped=left((3, 2))), version=4))
    assert shop.figures() == "8/0/8"
    shop = booked(an_order(a_line(2, cancelled=2, shipped=left((3, 2))), version=4))
    assert shop.figures() == "8/0/8", "what was shipped comes first"


@pytest.mark.parametrize(
    ("policy", "figures", "damaged"), [("back", "10/0/10", 0), ("gone", "8/0/8", 0), ("damaged", "8/0/8", 2)]
)
def test_O2_a_policy_may_answer_for_the_seller_and_its_events_say_so(policy: str, figures: str, damaged: int) -> None:
    shop = booked(an_order(a_line(2)), cancelled=policy)
    booking = shop.read(an_order(a_line(2, **LATE), version=9))
    assert (shop.figures(), shop.stock().damaged, booking.questions) == (figures, damaged, ())
    assert "by the channel's policy" in shop.facts[-1].note


def test_O2_a_persons_word_comes_before_the_policy() -> None:
    shop = booked(an_order(a_line(2, **LATE), version=9))
    shop.say(gone=1)
    shop.policy = Policy(cancelled="back")
    shop.leave_out(counted=True)
    assert shop.figures() == "9/0/9"


FORTNIGHT = timedelta(days=14)


def asked_at(shop: Book, hour: float) -> list[str]:
    return [q.kind for q in questions(shop.lines["1"], shop.policy, shop.last_count, at(hour))]


def test_O3_units_that_wait_for_long_are_asked_about_and_again() -> None:
    shop = booked(an_order(a_line(2)), ask_after=FORTNIGHT)
    assert (asked_at(shop, 13 * 24), asked_at(shop, 14 * 24)) == ([], ["waiting"])
    shop.say(waits=at(28 * 24))
    assert (asked_at(shop, 27 * 24), asked_at(shop, 28 * 24)) == ([], ["waiting"])
    assert not questions(shop.lines["1"], shop.policy), "without a clock nothing is old"


def test_O3_what_is_decided_or_asked_otherwise_does_not_wait() -> None:
    late = booked(an_order(a_line(2, **LATE), version=9), ask_after=FORTNIGHT)
    assert asked_at(late, 20 * 24) == ["cancellation"]
    gone = booked(an_order(a_line(2)), an_order(state=OrderState.GONE, version=5), ask_after=FORTNIGHT)
    assert asked_at(gone, 20 * 24) == ["gone_order"]
    done = booked(an_order(a_line(2, shipped=left((9, 2))), version=9), ask_after=FORTNIGHT)
    assert asked_at(done, 20 * 24) == []


def test_O3_answers_in_parts_keep_their_own_times() -> None:
    shop = booked(an_order(a_line(2)))
    shop.say(left=1, at=at(5), heard=(Word("left", 1, at(5)),))
    shop.count(9, 6)
    shop.say(left=2, at=at(7), heard=(Word("left", 1, at(5)), Word("left", 1, at(7))))
    assert shop.figures() == "8/0/8"


def test_O3_what_the_channel_confirms_is_the_oldest_word() -> None:
    shop = booked(an_order(a_line(2)))
    shop.say(left=1, at=at(5), heard=(Word("left", 1, at(5)),))
    shop.count(9, 6)
    shop.say(left=2, at=at(7), heard=(Word("left", 1, at(5)), Word("left", 1, at(7))))
    booking = shop.read(an_order(a_line(2, shipped=left((4, 1))), version=8))
    assert (booking.questions, shop.figures()) == ((), "8/0/8")


@pytest.mark.parametrize(("word", "figures"), [("", "8/0/8"), (lines.BEFORE, "8/0/8"), (lines.AFTER, "6/0/6")])
def test_O3_marked_shipped_after_a_count_since_moves_nothing_and_asks(word: str, figures: str) -> None:
    shop = booked(an_order(a_line(2)))
    shop.say(left=2, at=at(5), heard=(Word("left", 2, at(5)),))
    shop.count(8, 6)
    booking = shop.read(an_order(a_line(2, shipped=left((9, 2))), version=9))
    assert (kinds_asked(booking), shop.figures()) == (["count_between"], "8/0/8")
    if word:
        shop.say(heard=(*shop.lines["1"].said.heard, Word(word, 0, at(9))))
        assert not questions(shop.lines["1"], shop.policy, shop.last_count)
    assert shop.figures() == figures


def test_O1_one_time_for_several_steps_with_a_count_between_is_asked() -> None:
    shop = booked(an_order(a_line(2, shipped=left((9, 1))), version=9))
    shop.count(9, 10)
    booking = shop.read(an_order(a_line(2, shipped=left((11, 2))), version=11))
    assert (kinds_asked(booking), shop.figures()) == (["count_between"], "8/0/8")
    assert "1 of MUG" in booking.questions[0].text
    assert not shop.read(an_order(a_line(2, shipped=left((11, 2))), version=12)).facts
    shop.read(an_order(a_line(2, shipped=left((9, 1), (11, 1))), version=13))
    assert (shop.figures(), questions(shop.lines["1"], shop.policy, shop.last_count)) == ("8/0/8", ())


def test_O1_another_time_on_the_same_side_of_every_count_is_just_that() -> None:
    shop = booked(an_order(a_line(2, shipped=left((9, 2))), version=9))
    shop.count(8, 12)
    assert not shop.read(an_order(a_line(2, shipped=left((11, 2))), version=13)).questions
    assert shop.figures() == "8/0/8"
    assert {at for kind, at in shop.lines["1"].moved if kind is Kind.SHIPMENT} == {at(11)}


def by_then(hour: float, units: int) -> tuple[Shipment, ...]:
    """As a channel says it that has one time for all that happens to an order."""
    return (Shipment(at(hour), units, at_latest=True),)


@pytest.mark.parametrize(("word", "figures"), [("", "6/0/6"), (lines.BEFORE, "8/0/8"), (lines.AFTER, "6/0/6")])
def test_O1_only_the_latest_time_is_known_and_a_count_lies_before_it(word: str, figures: str) -> None:
    shop = booked(an_order(a_line(2), version=1))
    shop.count(8, 5)
    booking = shop.read(an_order(a_line(2, shipped=by_then(9, 2)), version=9))
    assert (kinds_asked(booking), shop.figures()) == (["count_between"], "6/0/6"), "promised to nobody twice"
    assert "2 of MUG left between 2026-03-02 01:00 UTC and 2026-03-02 09:00 UTC" in booking.questions[0].text
    if word:
        shop.say(heard=(Word(word, 0, at(9)),))
        assert not questions(shop.lines["1"], shop.policy, shop.last_count)
    assert shop.figures() == figures
    assert not shop.read(an_order(a_line(2, shipped=by_then(12, 2)), version=12)).facts, "a later change is no news"
    assert shop.figures() == figures
    shop.count(5, 20)
    shop.read(an_order(a_line(2, shipped=by_then(21, 2)), version=21))
    assert shop.figures() == "5/0/5"


def test_O1_a_reading_after_the_count_that_still_had_them_leaves_no_doubt() -> None:
    shop = booked(an_order(a_line(2), version=1))
    shop.count(10, 5)
    shop.read(an_order(a_line(2), version=6))
    booking = shop.read(an_order(a_line(2, shipped=by_then(9, 1)), version=9))
    assert (booking.questions, shop.figures()) == ((), "9/1/8")
    shop.read(an_order(a_line(2, shipped=by_then(11, 2)), version=11))
    assert (shop.figures(), [s.at for s in shop.lines["1"].level.shipped]) == ("8/0/8", [at(9), at(11)])


def test_O2_cancelled_by_nobody_we_know_comes_back_only_where_it_was_pending_till_then() -> None:
    called_off = a_line(2, cancelled=2, freely=False, free_if_pending=True)
    end = an_order(called_off, version=9, state=OrderState.CANCELLED)
    pending = an_order(a_line(2), state=OrderState.PENDING, paid=False)
    shop = booked(pending, end)
    assert (shop.figures(), questions(shop.lines["1"])) == ("10/0/10", ())
    assert not shop.read(replace(end, updated_at=at(12), read_at=at(12))).facts, "it stays so"
    assert shop.figures() == "10/0/10"
    late = Book()
    late.read(pending)
    late.read(an_order(a_line(2), version=3))
    assert (kinds_asked(late.read(end)), late.figures()) == (["cancellation"], "10/2/8")
    unseen = Book()
    assert (kinds_asked(unseen.read(end)), unseen.figures()) == (["cancellation"], "10/2/8")


def test_O2_a_channel_that_forgets_what_was_ordered_once_it_is_cancelled_is_asked_about_all_of_it() -> None:
    shop = booked(an_order(a_line(3), version=1))
    forgotten = a_line(0, freely=False, ordered_gone=True)
    booking = shop.read(an_order(forgotten, version=9, state=OrderState.CANCELLED))
    assert (kinds_asked(booking), shop.figures()) == (["cancellation"], "10/3/7")
    shop.say(back=3)
    assert shop.figures() == "10/0/10"


# O5 to O7: returns, tills, undo ---------------------------------------------------------------------------------


def test_O5_the_rest_of_what_was_answered_in_part_is_another_question() -> None:
    """The first answer still stands beside its own in Review, and must not be taken for the rest as well."""
    shop = Book()
    (first,) = shop.read(an_order(a_line(3, shipped=left((9, 3)), returned=3), version=12)).questions
    shop.say(good=2, at=at(13))
    (rest,) = questions(shop.lines["1"])
    assert rest.key != first.key
    late = booked(an_order(a_line(3)), an_order(a_line(3, cancelled=3, freely=False), version=9))
    (first,) = questions(late.lines["1"])
    late.say(gone=1)
    (rest,) = questions(late.lines["1"])
    assert rest.key != first.key


def test_O5_returns_that_the_channel_tells_apart_stay_told() -> None:
    shop = booked(an_order(a_line(3, shipped=left((9, 3)), returned=2, returned_apart=True), version=12))
    assert not shop.read(an_order(a_line(3, shipped=left((9, 3)), returned_apart=True), version=13)).facts
    assert "2 of MUG were returned" in questions(shop.lines["1"])[0].text


def test_O5_returns_are_asked_and_answered_in_parts() -> None:
    shop = Book()
    booking = shop.read(an_order(a_line(3, shipped=left((9, 3)), returned=3), version=12))
    assert (shop.figures(), kinds_asked(booking)) == ("7/0/7", ["return"])
    shop.say(good=2, at=at(13))
    assert "1 of MUG" in questions(shop.lines["1"])[0].text
    shop.say(broken=1)
    assert (shop.figures(), shop.stock().damaged) == ("9/0/9", 1)
    assert not questions(shop.lines["1"])


def test_O5_at_most_what_was_shipped_comes_back() -> None:
    shop = booked(an_order(a_line(3, shipped=left((9, 3)), returned=9), version=12))
    shop.say(good=9, at=at(13))
    assert shop.figures() == "10/0/10"


def test_O5_cancel_then_refund_with_restock_of_one_line_is_back_once() -> None:
    shop = booked(an_order(a_line(2, cancelled=2, returned=2, restocked=2), version=3), trust_restock=True)
    shop.say(good=2, at=at(4))
    assert shop.figures() == "10/0/10"


def test_O5_a_policy_may_trust_a_channel_that_says_restocked() -> None:
    order = an_order(a_line(3, shipped=left((9, 3)), returned=2, restocked=1, taken_at=at(12)), version=13)
    shop = booked(order, trust_restock=True)
    assert shop.figures() == "8/0/8"
    assert shop.facts[-1].occurred_at == at(12)
    assert "1 of MUG" in questions(shop.lines["1"], Policy(trust_restock=True))[0].text
    assert booked(order).figures() == "7/0/7"


def test_O5_trusted_and_answered_are_the_same_unit_once() -> None:
    order = an_order(a_line(3, shipped=left((9, 3)), returned=2, restocked=2), version=13)
    shop = booked(order, trust_restock=True)
    shop.say(good=1, at=at(14))
    assert shop.figures() == "9/0/9"
    shop.say(good=1, broken=1)
    assert (shop.figures(), shop.stock().damaged) == ("8/0/8", 1), "a person's word comes first"


def test_O5_a_restock_without_a_time_keeps_that_of_the_version_that_showed_it() -> None:
    line = a_line(3, shipped=left((9, 3)), returned=1, restocked=1)
    shop = booked(an_order(line, version=13), an_order(line, version=15), trust_restock=True)
    assert [f.occurred_at for f in shop.facts if f.kind is Kind.RETURN] == [at(13)]


THREE_BACK = {"shipped": left((9, 3)), "returned": 3}


def test_O5_not_arrived_gives_nothing_and_ends_the_question() -> None:
    shop = booked(an_order(a_line(3, **THREE_BACK), version=12))
    shop.say(good=1, absent=2, at=at(13))
    assert (shop.figures(), questions(shop.lines["1"])) == ("8/0/8", ())
    shop.say(good=3)
    assert shop.figures() == "10/0/10", "they arrived after all"


def test_O5_already_counted_stays_counted_when_that_count_is_undone() -> None:
    shop = booked(an_order(a_line(3, **THREE_BACK), version=12))
    shop.count(10, 14)
    shop.say(counted=3, at=at(15), heard=(Word("counted", 3, at(14)),))
    assert (shop.figures(), questions(shop.lines["1"])) == ("10/0/10", ())
    shop.facts.append(Fact("undo", "MUG", Kind.REVERSAL, at(16), strikes="count 14"))
    assert shop.figures() == "10/0/10"


def test_O5_answers_on_two_sides_of_a_count_keep_their_own_times() -> None:
    shop = booked(an_order(a_line(3, **THREE_BACK), version=12))
    shop.say(good=1, at=at(13), heard=(Word("good", 1, at(13)),))
    shop.count(8, 14)
    shop.say(good=2, at=at(15), heard=(Word("good", 1, at(13)), Word("good", 1, at(15))))
    assert shop.figures() == "9/0/9"


def test_O5_a_person_may_know_of_a_return_before_the_channel_does() -> None:
    shop = booked(an_order(a_line(3, shipped=left((9, 3))), version=9))
    shop.say(came=1, good=1, at=at(12))
    assert shop.figures() == "8/0/8"
    assert not shop.read(an_order(a_line(3, shipped=left((9, 3)), returned=1), version=13)).questions
    two = shop.read(an_order(a_line(3, shipped=left((9, 3)), returned=2), version=14))
    assert "1 of MUG" in two.questions[0].text
    shop.say(came=9, good=9)
    assert shop.figures() == "10/0/10", "at most what was shipped"


def test_O6_marked_at_last_with_a_count_between_keeps_its_time_unasked() -> None:
    shop = booked(an_order(a_line(2)), at_once=True)
    shop.count(8, 5)
    booking = shop.read(an_order(a_line(2, shipped=left((9, 2))), version=9))
    assert (booking.questions, shop.figures()) == ((), "8/0/8")


def test_O6_at_once_counts_a_paid_sale_as_shipped() -> None:
    assert booked(an_order(a_line(2)), at_once=True).figures() == "8/0/8"
    assert booked(an_order(a_line(2), paid=False), at_once=True).figures() == "10/2/8"


def test_O6_a_cancellation_gives_on_hand_back_until_the_channel_says_shipped() -> None:
    paid, later = an_order(a_line(2)), {"version": 3}
    assert booked(paid, an_order(a_line(2, cancelled=2), **later), at_once=True).figures() == "10/0/10"
    refunded = an_order(a_line(2, cancelled=2, returned=2), **later)
    shop = booked(paid, refunded, at_once=True)
    shop.say(good=2, at=at(4))
    assert shop.figures() == "10/0/10"
    shop = booked(paid, an_order(a_line(2, **LATE), version=9), at_once=True)
    shop.say(gone=2)
    assert shop.figures() == "8/0/8"


def test_O6_marked_shipped_later_moves_nothing_more() -> None:
    shop = booked(an_order(a_line(2)), an_order(a_line(2, shipped=left((9, 2))), version=9), at_once=True)
    assert shop.figures() == "8/0/8"


def test_O7_a_line_left_out_is_read_but_not_counted_until_that_is_undone() -> None:
    shop = booked(an_order(a_line(3, shipped=left((9, 1))), version=9))
    shop.leave_out()
    assert shop.figures() == "10/0/10"
    shop.read(an_order(a_line(3, shipped=left((9, 3))), version=10))
    assert shop.figures() == "10/0/10"
    shop.leave_out(counted=True)
    assert shop.figures() == "7/0/7"


# O8 to O11: what we do not know, or do not count ----------------------------------------------------------------


def test_O8_known_lines_count_and_the_unknown_one_waits() -> None:
    shop = Book()
    order = an_order(a_line(2), a_line(1, id="2", sku="CUP", ref=Ref("item-2")))
    booking = book_order({}, order, lambda line: ("MUG" if line.sku == "MUG" else None, 1), channel="shop")
    shop._keep(booking.lines, booking.facts)
    assert shop.figures() == "10/2/8"
    assert kinds_asked(booking) == ["unknown_sku"]
    assert "CUP" in booking.questions[0].text


def test_O8_a_mapped_line_is_counted_at_its_own_time() -> None:
    shop = Book(sku=None)
    order = an_order(a_line(2, shipped=left((9, 2))), version=11)
    shop.read(order)
    shop.count(8, 10)
    assert shop.figures() == "8/0/8"
    shop.sku = "MUG"
    assert [f.occurred_at for f in shop.read(order).facts] == [at(0), at(9)]
    assert shop.figures() == "8/0/8"


def test_O8_a_line_that_waits_is_read_on_and_counted_once_when_mapped() -> None:
    shop = Book(sku=None)
    shop.read(an_order(a_line(2)))
    shop.read(an_order(a_line(2, shipped=left((9, 1))), version=9))
    shop.sku, shop.pack_size = "MUG", 2
    shop.read(an_order(a_line(2), version=1))
    assert shop.figures() == "8/2/6"


def test_O8_nothing_is_asked_about_a_line_that_would_move_nothing() -> None:
    assert not Book(sku=None).read(an_order(a_line(2, cancelled=2, id="9"), a_line(0))).questions[1:]
    assert not Book(sku=None).read(an_order(a_line(0))).questions


def test_O9_an_order_that_is_gone_is_asked_and_nothing_assumed() -> None:
    shop = booked(an_order(a_line(2), a_line(1, id="2", shipped=left((1, 1)))))
    gone = an_order(state=OrderState.GONE, version=5)
    booking = shop.read(gone)
    assert shop.figures() == "9/2/7"
    assert kinds_asked(booking) == ["gone_order"], "what is shipped needs no answer"
    assert not booking.facts
    assert all(t.change == 0 and t.edited for t in booking.taken)
    assert not shop.read(replace(gone, read_at=at(8))).taken


def test_O9_an_order_that_comes_back_is_read_on() -> None:
    shop = booked(an_order(a_line(2)), an_order(state=OrderState.GONE, version=5))
    shop.read(an_order(a_line(2), read_at=None))
    assert shop.lines["1"].state is OrderState.GONE, "a late delivery of the version we know"
    assert not shop.read(an_order(a_line(2), read_at=at(6))).questions
    shop.read(an_order(state=OrderState.GONE, version=5))
    assert shop.lines["1"].state is OrderState.OPEN, "a read that began before"
    shop.read(an_order(a_line(2, shipped=left((7, 2))), version=7))
    assert shop.figures() == "8/0/8"


def test_O9_a_read_that_began_before_it_was_gone_does_not_bring_it_back() -> None:
    shop = booked(an_order(a_line(2), read_at=at(1)), an_order(state=OrderState.GONE, version=5))
    shop.read(an_order(a_line(2), read_at=at(4)))
    assert shop.lines["1"].state is OrderState.GONE


def test_O9_lines_of_an_order_that_is_gone_are_not_read() -> None:
    shop = booked(an_order(a_line(2)), an_order(a_line(5), state=OrderState.GONE, version=5))
    assert shop.figures() == "10/2/8"


def test_O9_a_look_that_missed_a_newer_delivery_is_not_believed() -> None:
    shop = booked(an_order(a_line(2), version=6, read_at=None), an_order(state=OrderState.GONE, version=5))
    assert shop.lines["1"].state is OrderState.OPEN


def test_O9_an_order_that_is_gone_and_unknown_adds_nothing() -> None:
    assert booked(an_order(state=OrderState.GONE)).lines == {}


def test_O10_copies_are_read_and_not_counted() -> None:
    shop = Book()
    assert not shop.read(an_order(a_line(2)), counted=False).questions
    assert not shop.read(an_order(a_line(2, **LATE), version=8)).questions
    shop.read(an_order(a_line(2, shipped=left((9, 2))), version=9))
    assert shop.figures() == "10/0/10"


def test_O11_orders_that_the_channel_ships_move_nothing() -> None:
    assert booked(an_order(a_line(2), by_channel=True)).figures() == "10/0/10"
    assert booked(an_order(a_line(2)), an_order(a_line(2), by_channel=True, version=2)).figures() == "10/0/10"


# B2: before the opening -----------------------------------------------------------------------------------------


def old(**how: Any) -> dict[str, Any]:
    return {"placed": -24 * 10, **how}


def opened_at(_: str | None) -> datetime:
    return OPENED


def test_B2_shipped_last_week_and_marked_delivered_on_day_2_is_nothing() -> None:
    shop = Book(opened_at=opened_at)
    booking = shop.read(an_order(a_line(2, shipped=left((48, 2))), **old(version=48)))
    assert not booking.facts
    assert not booking.questions
    shop.read(an_order(a_line(2, shipped=left((48, 2)), returned=1), **old(version=72)))
    shop.say(good=1, at=at(72))
    assert shop.figures() == "11/0/11"


def test_B2_what_was_open_at_the_opening_is_open() -> None:
    shop = Book(opened_at=opened_at)
    shop.read(an_order(a_line(3, shipped=left((1, 1)))), at_opening=True)
    assert shop.figures() == "9/2/7", "placed since the figure was read: no baseline"
    shop = Book(opened_at=opened_at)
    booking = shop.read(an_order(a_line(3, shipped=left((-200, 1))), **old(version=-100)), at_opening=True)
    assert (shop.figures(), booking.questions) == ("10/2/8", ())
    shop.read(an_order(a_line(3, shipped=left((9, 3))), **old(version=9)))
    assert shop.figures() == "8/0/8"


def test_B2_open_units_of_a_line_not_known_at_the_opening_are_committed_and_asked() -> None:
    shop = Book(opened_at=opened_at)
    booking = shop.read(an_order(a_line(3, shipped=left((5, 1))), **old(version=5)))
    assert (shop.figures(), kinds_asked(booking)) == ("10/2/8", ["before_opening"])
    later = shop.read(an_order(a_line(3, shipped=left((5, 1), (9, 2))), **old(version=9)))
    assert (shop.figures(), later.questions) == ("8/0/8", ())


def test_B2_a_known_line_is_never_given_a_baseline_again() -> None:
    shop = booked(an_order(a_line(3), **old(version=-100)))
    shop.read(an_order(a_line(3, shipped=left((9, 2))), **old(version=9)), opened_at=opened_at, at_opening=True)
    assert shop.lines["1"].baseline is None
    assert shop.figures() == "8/1/7"


def test_B2_cancelled_and_returned_before_the_opening_are_finished() -> None:
    late = {**LATE, "cancelled_at": at(-150)}
    shop = Book(opened_at=opened_at)
    booking = shop.read(
        an_order(a_line(2, **late), a_line(2, id="2", shipped=left((-160, 2)), returned=1), **old(version=-100)),
        at_opening=True,
    )
    assert not booking.facts
    assert not booking.questions
    after = an_order(a_line(2), a_line(2, id="2", shipped=left((-160, 2)), returned=2), **old(version=5))
    assert kinds_asked(shop.read(after)) == ["return"]
    assert shop.figures() == "10/2/8", "the first was paid after all"
    shop.say("2", good=2, at=at(6))
    assert shop.figures() == "11/2/9"


def test_B2_a_line_mapped_after_its_sku_was_opened() -> None:
    shop = Book(sku=None, opened_at=lambda sku: OPENED if sku else None)
    order = an_order(a_line(3, shipped=left((2, 1))), **old(version=3))
    shop.read(order)
    shop.sku = "MUG"
    assert kinds_asked(shop.read(order)) == ["before_opening"]
    assert shop.figures() == "10/2/8"


def test_B2_a_line_unknown_at_the_opening_keeps_its_level_of_then() -> None:
    shop = Book(sku=None, opened_at=opened_at)
    shop.read(an_order(a_line(3), **old(version=-80)), at_opening=True)
    shop.read(an_order(a_line(3, shipped=left((4, 1))), **old(version=4)))
    shop.sku = "MUG"
    shop.read(an_order(a_line(3, shipped=left((4, 1), (5, 1))), **old(version=5)))
    assert shop.figures() == "8/1/7"


def test_B5_open_orders_of_a_channel_added_later_are_committed() -> None:
    shop = Book(opened_at=opened_at)
    shop.read(an_order(a_line(4), **old(version=-80)), at_opening=True)
    assert shop.figures() == "10/4/6"


def test_K6_a_pack_of_six_commits_six_and_stays_so() -> None:
    shop = booked(an_order(a_line(1)), pack_size=6)
    assert shop.figures() == "10/6/4"
    shop.pack_size = 12
    shop.read(an_order(a_line(2, shipped=left((2, 1))), version=2))
    assert shop.figures() == "4/6/-2"


def test_K6_a_pack_returned_is_six_units() -> None:
    order = an_order(a_line(1, shipped=left((2, 1)), returned=1, restocked=1), version=3)
    assert booked(order, pack_size=6, trust_restock=True).figures() == "10/0/10"
    assert "6 of MUG" in Book(pack_size=6).read(order).questions[0].text


# what a channel took off its own figure -------------------------------------------------------------------------


def test_P1_what_the_channel_took_off_is_the_difference_of_its_levels() -> None:
    shop = Book()
    assert not shop.read(an_order(a_line(2, taken=0))).taken
    (taken,) = shop.read(an_order(a_line(2, taken=2, taken_at=at(2)), version=2)).taken
    assert (taken.ref, taken.sku, taken.change, taken.at, taken.edited) == (REF, "MUG", 2, at(2), False)
    assert not shop.read(an_order(a_line(2, taken=0), version=1)).taken


def test_P2_edits_and_cancellations_say_that_they_are() -> None:
    shop = booked(an_order(a_line(2, taken=2, taken_at=at(1))))
    (more,) = shop.read(an_order(a_line(3, taken=3, taken_at=at(2)), version=2)).taken
    assert (more.change, more.at, more.edited) == (1, at(2), True)
    (fewer,) = shop.read(an_order(a_line(3, cancelled=3, taken=0, taken_at=at(2)), version=3)).taken
    assert (fewer.change, fewer.at, fewer.edited) == (-3, at(3), True), "the time of the first taking is none of it"


def test_P2_taken_and_given_back_between_two_readings_is_said() -> None:
    for first in ([], [an_order(a_line(2), state=OrderState.PENDING)]):
        shop = booked(*first)
        (unsure,) = shop.read(an_order(a_line(2, cancelled=2), version=3)).taken
        assert (unsure.change, unsure.at, unsure.edited) == (0, at(3), True)
    (unsure,) = Book().read(an_order(a_line(2, cancelled=2, taken_at=at(1)), version=3)).taken
    assert (unsure.at, unsure.edited) == (at(3), True), "given back later than it was taken"


def test_P2_a_sale_of_which_nobody_says_when_has_no_time() -> None:
    (taken,) = Book().read(an_order(a_line(2, taken=2))).taken
    assert (taken.change, taken.at, taken.edited) == (2, None, False)


def test_P2_a_line_edited_away_or_moved_to_another_listing_says_so_for_each_listing() -> None:
    shop = booked(an_order(a_line(2, taken=2, taken_at=at(1))))
    (gone,) = shop.read(an_order(version=2)).taken
    assert (gone.change, gone.at, gone.edited) == (-2, at(2), True)
    shop = booked(an_order(a_line(2, taken=2, taken_at=at(1))))
    moved = shop.read(an_order(a_line(2, ref=Ref("item-2"), taken=2, taken_at=at(2)), version=2)).taken
    assert [(t.ref, t.change, t.edited) for t in moved] == [(REF, -2, True), (Ref("item-2"), 2, True)]


def test_book_takes_one_line_as_book_order_takes_them_all() -> None:
    order = an_order(a_line(2, taken=2, taken_at=at(1)))
    one = book(None, order, order.lines[0], channel="shop", sku="MUG")
    every = book_order({}, order, lambda _: ("MUG", 1), channel="shop")
    assert ((one.state,), one.facts, one.questions, one.taken) == (
        every.lines,
        every.facts,
        every.questions,
        every.taken,
    )
    assert one.taken_change == 2


def test_a_line_stored_before_people_could_say_more_is_read_as_ever() -> None:
    line = booked(an_order(a_line(2))).lines["1"]
    values = codec.line_values(replace(line, said=Said(back=1, at=at(5))))
    stored = json.loads(values["state"])
    for name in ("absent", "counted", "came", "waits", "heard"):
        del stored["line"]["said"][name]
    read = codec.line_of(SimpleNamespace(state=json.dumps(stored)))  # type: ignore[arg-type]
    assert read == replace(line, said=Said(back=1, at=at(5)))


def test_every_question_is_of_a_kind_that_the_guard_knows() -> None:
    asked = [
        *Book(sku=None).read(an_order(a_line(2))).questions,
        *Book().read(an_order(a_line(2, **LATE))).questions,
        *Book().read(an_order(a_line(2, shipped=left((1, 1)), returned=1))).questions,
        *Book(opened_at=opened_at).read(an_order(a_line(2), **old())).questions,
        *booked(an_order(a_line(2))).read(an_order(state=OrderState.GONE, version=5)).questions,
    ]
    kinds = {q.kind for q in asked}
    assert len(kinds) == 5
    assert kinds <= guard.KINDS.keys()
    assert all(q.reference == "#77" and q.sku == "MUG" for q in asked)


# what holds for lines of any shape ------------------------------------------------------------------------------

few = st.integers(0, 4)
seeds = st.integers(0, 2**32 - 1).map(random.Random)
hours = st.integers(0, 30)
said = st.builds(Said, few, few, few, few, few, few, few, hours.map(at), few, few, few)
shipments = st.lists(st.builds(Shipment, hours.map(at), st.integers(1, 2)), max_size=3).map(tuple)
levels = st.builds(
    OrderLine,
    id=st.just("1"),
    ordered=few,
    sku=st.just("MUG"),
    ref=st.just(REF),
    shipped=shipments,
    cancelled=few,
    freely=st.booleans(),
    cancelled_at=st.one_of(st.none(), hours.map(at)),
    returned=few,
    restocked=few,
    taken=few,
    taken_at=st.one_of(st.none(), hours.map(at)),
)
states = st.builds(
    LineState,
    key=st.just("shop/77/1"),
    channel=st.just("shop"),
    order_id=st.just("77"),
    level=levels,
    placed_at=hours.map(at),
    version=hours.map(at),
    read_at=st.none(),
    state=st.sampled_from(OrderState),
    paid=st.booleans(),
    sku=st.just("MUG"),
    pack_size=st.integers(1, 3),
    said=said,
    baseline=st.one_of(st.none(), levels),
)


def total(moves: Mapping[MoveKey, Stock]) -> Stock:
    out = Stock()
    for change in moves.values():
        out = out.plus(change)
    return out


def summed(facts: list[Fact]) -> Stock:
    return total({(f.kind, f.occurred_at + i * timedelta.resolution): f.change for i, f in enumerate(facts)})


@given(states, st.booleans(), st.booleans())
def test_never_more_given_back_than_taken(line: LineState, at_once: bool, trust: bool) -> None:
    moved = total(due(line, Policy(at_once=at_once, trust_restock=trust)))
    most = line.pack_size * max(line.level.ordered, line.level.sent) + line.said.left
    most += line.pack_size * line.baseline.sent if line.baseline else 0
    given_back = line.pack_size * line.baseline.sent if line.baseline else 0  # units shipped before may come back (B2)
    assert -most <= moved.on_hand <= given_back
    assert 0 <= moved.committed <= most
    assert 0 <= moved.damaged <= most
    assert moved.committed - moved.on_hand <= most, "a unit is promised, or gone, once"


@given(states, st.booleans(), st.booleans())
def test_due_moves_each_unit_in_whole_packs_or_by_a_persons_word(line: LineState, at_once: bool, trust: bool) -> None:
    silent = replace(line, said=Said())
    for change in due(silent, Policy(at_once=at_once, trust_restock=trust)).values():
        assert all(n % line.pack_size == 0 for n in change)
        assert any(change)


@given(levels, few, few, few)
def test_the_sums_are_those_of_the_page(level: OrderLine, back: int, gone: int, damaged: int) -> None:
    decided = back + gone + damaged
    level = replace(level, ordered=level.sent + decided + 1, cancelled=decided, freely=False)
    line = book(None, an_order(level), level, channel="shop", sku="MUG").state
    moved = total(due(replace(line, said=Said(back=back, gone=gone, damaged=damaged))))
    assert moved == Stock(-level.sent - gone - damaged, level.ordered - level.sent - decided, damaged)


@given(levels, st.booleans())
def test_B2_a_line_open_at_the_opening_takes_only_what_leaves_after_it(level: OrderLine, paid: bool) -> None:
    shop = Book(opened_at=opened_at)
    shop.read(an_order(level, paid=paid, **old(version=-80)), at_opening=True)
    assert shop.stock().on_hand == 10
    assert shop.stock().committed == max(0, level.ordered - level.sent - level.cancelled)


@given(states, states, st.booleans())
def test_the_difference_makes_what_was_moved_what_should_have_been(a: LineState, b: LineState, at_once: bool) -> None:
    have, want = due(a, Policy(at_once=at_once)), due(b, Policy(at_once=at_once))
    missing = difference(want, have)
    assert all(any(change) for change in missing.values())
    merged = {k: have.get(k, Stock()).plus(missing.get(k, Stock())) for k in {**have, **missing}}
    assert {k: v for k, v in merged.items() if any(v)} == want
    assert difference(want, want) == {}


@given(st.lists(levels, min_size=1, max_size=6), said, st.booleans(), st.booleans(), seeds)
def test_O1_a_line_moves_once_in_whatever_order_its_readings_come(
    seen: list[OrderLine], word: Said, at_once: bool, trust: bool, rng: random.Random
) -> None:
    # A level of which the channel gives no time takes that of a reading; its amount is the same all the same.
    readings = [an_order(level, version=100 + i) for i, level in enumerate(seen)]
    ends = []
    for order in (readings, rng.sample(readings, len(readings)), readings + readings, readings[-1:]):
        shop = booked(*order, at_once=at_once, trust_restock=trust)
        shop.say(**{f: getattr(word, f) for f in ("back", "gone", "damaged", "kept", "left", "good", "broken", "at")})
        line = shop.lines["1"]
        assert (
            summed(shop.facts[1:])
            == total(line.moved)
            == total(due(line, Policy(at_once=at_once, trust_restock=trust)))
        )
        ends.append(total(line.moved))
    assert ends[0] == ends[1] == ends[2] == ends[3]


@given(
    st.lists(levels.map(lambda x: replace(x, cancelled_at=at(7), taken_at=at(8))), min_size=1, max_size=6),
    st.lists(hours, max_size=3, unique=True),
    seeds,
)
def test_O1_where_the_channel_gives_times_every_count_between_gives_the_same_on_hand(
    seen: list[OrderLine], counts: list[int], rng: random.Random
) -> None:
    readings = [an_order(level, version=100 + i) for i, level in enumerate(seen)]
    ends = set()
    for order in (readings, rng.sample(readings, len(readings)), readings[-1:]):
        shop = booked(*order, trust_restock=True)
        for hour in counts:
            shop.count(7, hour)
        ends.add(shop.stock())
    assert len(ends) == 1


lines_of_an_order = st.lists(st.tuples(st.sampled_from("123"), levels), max_size=3, unique_by=lambda x: x[0])


@given(st.lists(lines_of_an_order, min_size=1, max_size=5), seeds)
def test_O1_orders_whose_lines_come_and_go_end_where_their_last_version_says(
    seen: list[list[tuple[str, OrderLine]]], rng: random.Random
) -> None:
    versions = [an_order(*(replace(x, id=i) for i, x in lines), version=100 + n) for n, lines in enumerate(seen)]
    in_turn = booked(*versions)
    twice = booked(*versions, *rng.sample(versions, len(versions)))
    assert in_turn.stock() == twice.stock()
    assert in_turn.facts == twice.facts
    present = {line.id for line in versions[-1].lines}
    for line_id, line in in_turn.lines.items():
        if line_id not in present:
            assert total(line.moved).committed == 0
            assert total(line.moved).on_hand == -line.level.sent


@given(st.lists(levels, min_size=1, max_size=5), st.booleans())
def test_facts_carry_their_own_keys_and_their_sum(seen: list[OrderLine], at_once: bool) -> None:
    shop = Book(at_once=at_once)
    for i, level in enumerate(seen):
        before = shop.lines.get("1")
        booking = shop.read(an_order(level, version=100 + i))
        assert booking.lines[0].revision == (before.revision if before else 0) + bool(booking.facts)
        assert all(any(f.change) for f in booking.facts)


@pytest.fixture(scope="module")
def stock_model(shared: Path) -> ModuleType:
    """The executable reading of the laws, to be compared with; skips where it is absent."""
    path = shared / "model" / "stock_model.py"
    if not path.is_file():
        pytest.skip(f"no model of the laws here: {path} is absent")
    spec = importlib.util.spec_from_file_location("stock_model", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["stock_model"] = module
    spec.loader.exec_module(module)
    return module


def test_due_is_the_models_due(stock_model: ModuleType) -> None:
    @given(states, st.booleans())
    def holds(line: LineState, at_once: bool) -> None:
        # The model lets cancellations from before the opening stand open, and returns from before be counted.
        if line.baseline is not None:
            line = replace(line, baseline=replace(line.baseline, cancelled=0, returned=0))
        line = replace(line, level=replace(line.level, cancelled_at=line.level.cancelled_at or line.version))
        words = (line.said.back, line.said.gone, line.said.damaged, line.said.kept, line.said.left)
        line = replace(line, said=replace(line.said, absent=0, counted=0, came=0))  # words that the model has not
        word = stock_model.Said(*words, line.said.good, line.said.broken, line.said.at)
        base = None if line.baseline is None else as_model(line, line.baseline)
        want = stock_model.due(as_model(line, line.level), word, at_once, base)
        assert due(line, Policy(at_once=at_once)) == {
            (Kind(kind), when): Stock(*change) for (kind, when), change in want.items()
        }

    def as_model(line: LineState, level: OrderLine) -> Any:
        n = line.pack_size
        return stock_model.Line(
            level.ordered * n,
            tuple((s.at, s.units * n) for s in level.shipped),
            level.cancelled * n,
            level.freely,
            level.returned * n,
            line.paid,
            line.placed_at,
            level.cancelled_at,
        )

    holds()
