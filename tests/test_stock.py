"""Law 2, by its figures (RULES.md) and by properties that any history must have."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheets_sync import stock
from sheets_sync.errors import AlreadyReversed, BadInput, LedgerBroken
from sheets_sync.model import LONG_AGO, MAIN, Balance, Event, Fact, Kind, Stock, StockKey

DAY = datetime(2026, 3, 2, tzinfo=UTC)
KEY = StockKey("A", MAIN)


def T(hour: float, minute: int = 0) -> datetime:
    return DAY + timedelta(hours=hour, minutes=minute)


def moves(key: str, when: datetime, on: int = 0, com: int = 0, dam: int = 0, line: str = "") -> Fact:
    return Fact(key, KEY.sku, Kind.ADJUSTMENT, when, Stock(on, com, dam), line=line)


def counts(key: str, when: datetime, n: int, *apart: str) -> Fact:
    return Fact(key, KEY.sku, Kind.STOCK_TAKE, when, count=n, apart=frozenset(apart))


EVENING = T(20)


def strikes(key: str, struck: str, when: datetime = EVENING) -> Fact:
    return Fact(key, KEY.sku, Kind.REVERSAL, when, strikes=struck)


def opened(n: int) -> Fact:
    return Fact("open", KEY.sku, Kind.OPENING, T(-9), count=n)


@dataclass(frozen=True)
class Book:
    """A ledger of one SKU at one place, as small as it gets."""

    balance: Balance = Balance(KEY)
    events: tuple[Event, ...] = ()

    def record(self, fact: Fact) -> Book:
        needed = self.events if stock.needs_history(self.balance, fact) else ()
        made, balance = stock.post(
            self.balance, needed, stock.checked(fact), recorded_at=T(24), next_id=len(self.events) + 1
        )
        return Book(balance, (*self.events, *made))

    @property
    def figures(self) -> str:
        s = self.balance.stock
        return f"{s.on_hand}/{s.committed}/{s.available}"


def recorded(*facts: Fact) -> Book:
    book = reduce(Book.record, facts, Book())
    assert book.balance.stock == stock.fold(facts)
    return book


def after(n: int, *facts: Fact) -> str:
    return recorded(opened(n), *facts).figures


# the figures ----------------------------------------------------------------------------------------------------


def test_S1_a_typed_change_counts_from_what_the_ledger_holds() -> None:
    assert after(10, moves("ship", T(9), -3), moves("typed", T(10), -2)) == "5/0/5"


@pytest.mark.parametrize(
    ("then", "figures"),
    [([], "5/0/5"), ([strikes("u", "edit")], "7/0/7"), ([moves("more", T(11), 5)], "10/0/10")],
    ids=["as it stands", "undone", "plus five"],
)
def test_S4_an_edit_undone_or_made_again(then: list[Fact], figures: str) -> None:
    assert after(10, moves("edit", T(9), -2), moves("ship", T(10), -3), *then) == figures


def test_S8_a_row_is_recorded_as_a_change() -> None:
    assert after(10, moves("row", T(9), 1)) == "11/0/11"


def test_S11_damage_moves_units_and_repaired_moves_them_back() -> None:
    harm, mend, toss = moves("d", T(1), -2, dam=2), moves("r", T(2), 2, dam=-2), moves("t", T(2), dam=-2)
    for facts, want in (([harm], (8, 0, 2)), ([harm, mend], (10, 0, 0)), ([harm, toss], (8, 0, 0))):
        assert recorded(opened(10), *facts).balance.stock == Stock(*want)


def test_O2_gone_takes_the_time_of_the_cancellation() -> None:
    """Cancelled 09:00, counted 8 at 10:00, answered "gone" at 11:00."""
    order, gone = moves("o", T(8), com=2), moves("gone", T(9), -2, -2)
    assert after(10, order, counts("c", T(10), 8), gone) == "8/0/8"


def test_O7_an_orders_events_undone_are_as_if_it_had_never_been() -> None:
    ordered, shipped, back = moves("o", T(8), com=3), moves("s", T(9), -3, -3), moves("r", T(12), 1)
    undo = [strikes(f"u{key}", key) for key in ("o", "s", "r")]
    assert after(10, ordered, shipped, back) == "8/0/8"
    assert after(10, ordered, shipped, back, *undo) == "10/0/10"
    assert after(10, ordered, shipped, counts("c", T(10), 7), back, *undo) == "7/0/7"
    redo = [strikes(f"uu{key}", f"u{key}", T(21)) for key in ("o", "s", "r")]
    assert after(10, ordered, shipped, back, *undo, *redo) == "8/0/8"


def test_O8_a_line_mapped_later_counts_with_its_own_time() -> None:
    late = [moves("o", T(8), com=2), moves("s", T(9), -2, -2)]
    assert after(10, counts("c", T(10), 8), *late) == "8/0/8"


def test_C1_a_mistake_before_a_count_is_undone_without_a_trace() -> None:
    assert after(10, moves("t", T(9), 90), counts("c", T(10), 11), strikes("u", "t")) == "11/0/11"


def test_C1_a_shipment_learned_after_the_count_and_then_the_count_undone() -> None:
    told = [counts("c", T(10), 7), moves("s", T(9), -2)]
    assert after(12, *told) == "7/0/7"
    assert after(12, *told, strikes("u", "c")) == "10/0/10"


def test_C1_of_two_counts_the_first_undone() -> None:
    assert after(12, counts("c", T(10), 7), counts("d", T(12), 8), strikes("u", "c")) == "8/0/8"


def test_C1_an_undo_may_itself_be_undone() -> None:
    assert after(10, moves("t", T(9), -2), strikes("u", "t"), strikes("v", "u")) == "8/0/8"
    assert after(10, counts("c", T(9), 4), strikes("u", "c"), strikes("v", "u")) == "4/0/4"


def test_C2_a_count_is_right_about_its_own_time() -> None:
    ship = moves("s", T(33), -40)
    assert after(100, ship, counts("c", T(20), 100)) == "60/0/60"
    assert after(100, ship, counts("c", T(35), 100)) == "100/0/100"


def test_C2_a_count_has_seen_what_happened_at_its_very_moment() -> None:
    count, move = counts("c", T(10, 1), 4), moves("s", T(10, 1), -1)
    assert after(5, count, move) == after(5, move, count) == "4/0/4"


def test_C2_of_two_counts_of_one_moment_the_later_recorded_stands() -> None:
    assert after(5, counts("c", T(10), 4), counts("d", T(10), 6)) == "6/0/6"
    assert after(5, counts("c", T(10), 4), counts("d", T(10), 6), strikes("u", "d")) == "4/0/4"
    assert after(5, counts("c", T(10), 4), moves("m", T(11), -1), counts("d", T(10), 6)) == "5/0/5"


@pytest.mark.parametrize("left", [T(9), T(11)], ids=["left before the count", "left after it"])
def test_C3_units_packed_apart_were_added_and_leave_the_count_whenever_they_left(left: datetime) -> None:
    ordered = moves("o", T(8), com=5, line="L")
    count = counts("c", T(10), 7 + 5, "L")
    assert after(12, ordered, count) == "12/5/7"
    ship = moves("s", left, -5, -5, line="L")
    assert after(12, ordered, count, ship) == after(12, ordered, ship, count) == "7/0/7"


def test_C6_the_count_before_stands_again() -> None:
    first, second = counts("c", T(10), 7), counts("d", T(12), 8)
    assert after(12, first, second, strikes("u", "d")) == "7/0/7"
    assert after(12, first, second, strikes("u", "d"), strikes("v", "c", T(21))) == "12/0/12"


def test_B1_a_sku_whose_counts_are_all_struck_has_none() -> None:
    assert not recorded(moves("m", T(1), 1)).balance.counted
    assert recorded(opened(10), moves("m", T(1), 1)).balance.counted
    struck = recorded(opened(10), moves("m", T(1), 1), strikes("u", "open"))
    assert not struck.balance.counted and struck.figures == "1/0/1"
    assert recorded(opened(10), counts("c", T(1), 4), strikes("u", "c")).balance.counted


# the statement --------------------------------------------------------------------------------------------------


def test_a_correction_says_which_count_it_restores() -> None:
    monday, tuesday = moves("ship", T(9), -2), counts("count", T(33), 7)
    shipment, correction = recorded(opened(12), tuesday, monday).events[-2:]
    assert (shipment.change, shipment.balance) == (Stock(-2), Stock(5))
    assert (correction.change, correction.balance, correction.corrects) == (Stock(2), Stock(7), "count")
    assert (correction.fact.key, correction.fact.kind) == ("correction:ship", Kind.CORRECTION)
    assert correction.seq == shipment.seq + 1 and correction.id == shipment.id + 1


def test_a_correction_after_the_only_count_is_struck_names_that_count() -> None:
    book = recorded(moves("a", T(8), 5), counts("c", T(10), 7), moves("late", T(9), -2), strikes("u", "c"))
    assert (book.figures, book.events[-1].corrects) == ("3/0/3", "c")


def test_an_event_keeps_what_a_count_or_a_strike_came_to() -> None:
    book = recorded(opened(12), counts("c", T(10), 7), strikes("u", "c"))
    assert [(e.fact.change.on_hand, e.balance.on_hand) for e in book.events] == [(12, 12), (-5, 7), (5, 12)]


# what is refused ------------------------------------------------------------------------------------------------


def test_a_reversal_cannot_be_made_twice() -> None:
    book = recorded(opened(10), moves("m", T(9), 1), strikes("u", "m"))
    with pytest.raises(AlreadyReversed, match="'m' was undone already by 'u', event 3"):
        book.record(strikes("again", "m"))
    with pytest.raises(AlreadyReversed):
        book.record(strikes("v", "u")).record(strikes("again", "m"))


def test_a_correction_cannot_be_undone() -> None:
    book = recorded(opened(12), counts("c", T(10), 7), moves("s", T(9), -2))
    with pytest.raises(BadInput, match="undo the fact 's' or the count 'c' instead"):
        book.record(strikes("u", "correction:s"))


def test_only_what_was_recorded_can_be_undone() -> None:
    with pytest.raises(BadInput, match="nothing was recorded as 'm' for A at main"):
        recorded(opened(1)).record(strikes("u", "m"))


def test_a_history_that_is_not_whole_is_noticed() -> None:
    book = recorded(opened(12), counts("c", T(10), 7))
    with pytest.raises(LedgerBroken, match="1 events where its balance says 2"):
        stock.post(book.balance, book.events[:1], moves("s", T(9), -2), recorded_at=T(24), next_id=3)


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (moves("k", T(1), 1.5), "on_hand must be a whole number of units, not 1.5"),  # type: ignore[arg-type]
        (moves("k", T(1), com=True), "committed must be a whole number"),
        (counts("k", T(1), 7.0), "count must be a whole number"),  # type: ignore[arg-type]
        (counts("k", T(1), 10**13), "slip of the keyboard"),
        (moves("k", datetime(2026, 3, 2), 1), "no time zone"),  # noqa: DTZ001 - that is the point
        (moves("", T(1), 1), "key of a fact is missing"),
        (replace(moves("k", T(1), 1), sku=""), "sku of a fact is missing"),
        (replace(moves("k", T(1), 1), location=""), "location of a fact is missing"),
        (replace(moves("k", T(1), 1), note="a\0b"), "note has a character"),
        (replace(moves("k", T(1), 1), sku="a\ud800"), "sku has a character"),
        (moves("correction:k", T(1), 1), "belong to the ledger's own"),
        (replace(moves("k", T(1), 1), kind=Kind.CORRECTION), "a correction is no fact"),
        (replace(moves("k", T(1), 1), kind=Kind.REVERSAL), "names the fact that it strikes"),
        (replace(strikes("k", "m"), kind=Kind.ORDER), "names the fact that it strikes"),
        (replace(strikes("k", "m"), count=1), "cannot both count and strike"),
        (replace(moves("k", T(1), 1), apart=frozenset("L")), "only a count names lines"),
        (replace(moves("k", T(1), 1), kind=Kind.OPENING), "opening needs a count"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_fact_is_refused_by_name(fact: Fact, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        stock.checked(fact)


def test_times_are_kept_in_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    fact = stock.checked(moves("k", T(12).astimezone(there), 1))
    assert fact.occurred_at.tzinfo is UTC and fact.occurred_at == T(12)


def test_what_the_ledger_worked_out_is_not_compared() -> None:
    count, strike, move = counts("c", T(1), 4), strikes("u", "c"), moves("m", T(1), 4)
    assert stock.differing(count, replace(count, change=Stock(9))) == []
    assert stock.differing(strike, replace(strike, change=Stock(9))) == []
    assert stock.differing(move, replace(move, change=Stock(9), note="x")) == ["change", "note"]


# the properties -------------------------------------------------------------------------------------------------

LINES = ("", "L", "M")
few = st.integers(-5, 5)
times = st.integers(0, 12).map(T)


@st.composite
def histories(draw: st.DrawFn, *, one_count_a_moment: bool = False) -> list[Fact]:
    """Facts in the order of learning: moves, counts, strikes of anything not struck yet."""
    told: list[Fact] = []
    counted: set[datetime] = set()
    for i in range(draw(st.integers(0, 9))):
        what, when = draw(st.sampled_from(["move", "count", "strike"])), draw(times)
        free = [f for f in told if all(g.strikes != f.key for g in told)]
        if what == "strike" and free:
            told.append(strikes(f"{i}", draw(st.sampled_from(free)).key, when))
        elif what == "count" and not (one_count_a_moment and when in counted):
            counted.add(when)
            apart = draw(st.sets(st.sampled_from(LINES[1:])))
            told.append(counts(f"{i}", when, draw(st.integers(0, 20)), *apart))
        else:
            told.append(moves(f"{i}", when, draw(few), draw(few), draw(few), draw(st.sampled_from(LINES))))
    return told


def shuffled(facts: Sequence[Fact], rng: random.Random) -> list[Fact]:
    """Another order of learning: any, but a strike comes after what it strikes."""
    waiting, known, out = rng.sample(list(facts), len(facts)), {None}, list[Fact]()
    while waiting:
        fact = next(f for f in waiting if f.strikes in known)
        waiting.remove(fact)
        known.add(fact.key)  # type: ignore[arg-type]
        out.append(fact)
    return out


@given(histories())
def test_after_every_fact_the_balance_is_the_fold(facts: list[Fact]) -> None:
    book = Book()
    for i, fact in enumerate(facts, start=1):
        book = book.record(fact)
        assert book.balance.stock == stock.fold(facts[:i])


@given(histories())
def test_the_statement_adds_up(facts: list[Fact]) -> None:
    book, running = recorded(*facts), Stock()
    for number, event in enumerate(book.events, start=1):
        running = running.plus(event.change)
        assert (event.balance, event.seq, event.id) == (running, number, number)
        assert event.fact.change == event.change
    told = book.balance
    assert (told.stock, told.seq, told.event_id) == (running, len(book.events), len(book.events))
    assert told.counted == any(f.count is not None for f in stock.standing(facts))
    assert told.last_at == max((f.occurred_at for f in facts), default=LONG_AGO)
    assert told.last_count_at == max((f.occurred_at for f in facts if f.count is not None), default=LONG_AGO)


@given(histories())
def test_a_correction_changes_on_hand_only_and_names_a_count(facts: list[Fact]) -> None:
    counted = {f.key for f in facts if f.count is not None}
    for event in recorded(*facts).events:
        if not event.is_fact:
            assert event.corrects in counted
            assert event.change == Stock(on_hand=event.change.on_hand) != Stock()


@given(histories())
def test_the_newest_is_struck_without_a_history(facts: list[Fact]) -> None:
    book = recorded(*facts)
    if not book.events or not book.events[-1].is_fact or book.events[-1].fact.strikes is not None:
        return
    newest = book.events[-1]
    besides = any(f.count is not None and f.key != newest.fact.key for f in stock.standing(facts))
    told = stock.Newest(newest.seq, newest.change, besides if newest.fact.count is not None else book.balance.counted)
    strike = strikes("now", newest.fact.key, T(5))
    by_law = stock.post(book.balance, book.events, strike, recorded_at=T(13), next_id=99)
    assert stock.post(book.balance, (), strike, recorded_at=T(13), next_id=99, newest=told) == by_law


@given(histories())
def test_the_fast_road_is_the_slow_one(facts: list[Fact]) -> None:
    book = Book()
    for fact in facts:
        if not stock.needs_history(book.balance, fact):
            fast, slow = stock._by_sum(book.balance, fact), stock._by_law(book.balance, book.events, fact)
            assert (fast.change, 0, fast.counted) == (slow.change, slow.correction, slow.counted)
        book = book.record(fact)


@given(st.lists(st.tuples(times, few), max_size=8), st.integers(0, 20))
def test_the_plain_road_is_fast(made: list[tuple[datetime, int]], n: int) -> None:
    """Facts told as they happen, after the last count, never read a history."""
    book = Book()
    facts = [counts("c", DAY, n), *(moves(f"{i}", when, k) for i, (when, k) in enumerate(sorted(made)))]
    for fact in [*facts, counts("d", T(20), n)]:
        seen_by_the_count = fact.count is None and fact.occurred_at == DAY
        assert stock.needs_history(book.balance, fact) == seen_by_the_count
        book = book.record(fact)


@given(histories(one_count_a_moment=True), st.randoms(use_true_random=False))
def test_the_same_facts_learned_in_any_order_give_the_same_stock(facts: list[Fact], rng: random.Random) -> None:
    assert recorded(*shuffled(facts, rng)).balance.stock == stock.fold(facts)


@given(histories(), times, st.integers(0, 9))
def test_a_count_and_its_undo_leave_no_trace(facts: list[Fact], when: datetime, n: int) -> None:
    assert recorded(*facts, counts("c", when, n), strikes("u", "c")).balance.stock == stock.fold(facts)


@given(histories(), times, few)
def test_a_move_and_its_undo_leave_no_trace(facts: list[Fact], when: datetime, n: int) -> None:
    assert recorded(*facts, moves("m", when, n, n, n), strikes("u", "m")).balance.stock == stock.fold(facts)


@given(histories(), st.data())
def test_an_undo_and_its_undo_leave_no_trace(facts: list[Fact], data: st.DataObject) -> None:
    free = [f for f in facts if all(g.strikes != f.key for g in facts)]
    if free:
        struck = data.draw(st.sampled_from(free))
        more = [strikes("u", struck.key), strikes("v", "u")]
        assert recorded(*facts, *more).balance.stock == stock.fold(facts)


@given(histories(), times, st.integers(0, 9))
def test_a_count_is_right_at_its_moment(facts: list[Fact], when: datetime, n: int) -> None:
    assert stock.on_hand([*facts, counts("c", when, n)], when) == n


@given(histories(one_count_a_moment=True))
def test_the_figures_are_those_of_the_model(facts: list[Fact]) -> None:
    """The specification's own reading of law 2, event by event."""
    model = _model()
    ledger = reduce(model.append, [_theirs(model, fact) for fact in facts], ())
    ours = recorded(*facts).events
    assert [(e.is_fact, e.change.on_hand, e.balance.on_hand) for e in ours] == [
        (e.fact is not None, e.change, e.after) for e in ledger
    ]


def _model() -> ModuleType:
    path = Path(__file__).resolve().parents[1].parent / "shared" / "model" / "stock_model.py"
    if "stock_model" not in sys.modules:
        if not path.is_file():
            pytest.skip(f"no model here: {path} is absent")
        spec = importlib.util.spec_from_file_location("stock_model", path)
        assert spec is not None and spec.loader is not None
        sys.modules["stock_model"] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["stock_model"]


def _theirs(model: Any, fact: Fact) -> Any:
    minutes = (fact.occurred_at - DAY) // timedelta(minutes=1)
    move = model.Stock(*fact.change) if fact.count is None else model.Stock()
    return model.Fact(fact.key, minutes, move, fact.count, fact.strikes, fact.apart, fact.line)


def test_text_fields_of_a_fact_are_all_checked() -> None:
    """A field added to the model is checked too, or this fails."""
    plain = {"kind", "occurred_at", "change", "count", "apart"}
    assert set(stock._TEXTS) == {name for name in Fact.__dataclass_fields__ if name not in plain}


def _keys(events: Iterable[Event]) -> list[str]:
    return [event.fact.key for event in events]


def test_a_late_fact_that_no_count_has_seen_needs_no_correction() -> None:
    assert _keys(recorded(opened(10), moves("b", T(12), -1), moves("a", T(9), -1)).events) == ["open", "b", "a"]
