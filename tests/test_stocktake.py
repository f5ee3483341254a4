"""Stock-takes, the pure side: headers, cells, rows summed, counts against the ledger, and what nobody believes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheets_sync import bulk, names, stock, stocktake, tally
from sheets_sync.model import LONG_AGO, Balance, Cell, Fact, Kind, Stock, StockKey
from sheets_sync.stocktake import APART, IN_COUNT, Grouped, Line, Names, Row, Take
from sheets_sync.tally import Tally

DAY = datetime(2026, 3, 2, tzinfo=UTC)
NOW = DAY + timedelta(hours=20)
SKUS = frozenset({"A", "B", "C", "00123", "4711", "04711"})
NO_ROWS = bulk.sift(
    bulk.Table.of(()), (), Names(SKUS), bulk.Standing(), UTC, NOW, allowance=timedelta(0), default_at=None, choice=None
).plain


def at(hour: float) -> datetime:
    return DAY + timedelta(hours=hour)


# headers and cells ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "row", "where"),
    [
        ([["SKU", "Counted"]], 1, {"SKU": 0, "Counted": 1}),
        ([["Post"], [True], ["…"], ["SKU", "Counted", "Note"]], 4, {"SKU": 0, "Counted": 1, "Note": 2}),
        ([["SKU", "Counted"], ["Menge", None, "EAN"]], 2, {"Counted": 0, "Barcode": 2}),
        ([["item_number", "QTY", "Scanned-At", "Shelf"]], 1, {"SKU": 0, "Counted": 1, "Counted at": 2, "Note": 3}),
        ([["Code", "SKU", "Qty", "Counted"]], 1, {"SKU": 1, "Counted": 3}),
    ],
)
def test_a_header_is_found_by_its_words(rows: list[list[Cell]], row: int, where: Mapping[str, int]) -> None:
    header = stocktake.header_of(rows)
    assert header is not None and (header.row, dict(header.at)) == (row, where)


def test_rows_without_a_header_are_none_and_a_header_twice_is_told() -> None:
    assert stocktake.header_of([["A", 3], ["B", 4]]) is None
    header = stocktake.header_of([["SKU", "Counted", "Counted"]])
    assert header is not None and header.twice == ("Counted",)


@pytest.mark.parametrize("cell", [12, "12", " 12 ", "12.0", "12,00"])
def test_text_that_can_be_read_in_one_way_is_read(cell: Cell) -> None:
    assert stocktake.units_of(cell) == 12


@pytest.mark.parametrize(
    "cell", [None, "", "12 pcs", "1o", "3.5", 3.5, "1,000", "1.000", -2, "-2", True, "1E5", "#N/A", 4006381333931, "١٢"]
)
def test_C4_what_is_no_count_is_told_and_never_0(cell: Cell) -> None:
    assert isinstance(stocktake.units_of(cell), str)


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("cell", "then"),
    [
        (46083 + (10 * 60 + 41) / 1440, "2026-03-02T09:41:59.999999"),
        ("2026-03-02 10:41", "2026-03-02T09:41:59.999999"),
        ("2.3.2026 10:41", "2026-03-02T09:41:59.999999"),
        ("2026-03-02T10:41:07", "2026-03-02T09:41:07"),
        ("2026-03-02T10:41Z", "2026-03-02T10:41:59.999999"),
    ],
)
def test_C2_a_minute_means_its_end(cell: Cell, then: str) -> None:
    assert stocktake.moment_of(cell, BERLIN) == datetime.fromisoformat(then).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (46083, "no time of day"), ("2026-03-02", "no time of day"), (0.4452, "10:41 has no date"),
        ("03/02/2026 10:41", "no time that can be read"), ("10:41", "no time that can be read"), (True, "no time"),
        ("2026-10-25 02:30", "clocks were changed"), ("2026-03-29 02:30", "clocks were changed"),
    ],
)  # fmt: skip
def test_a_time_that_may_mean_two_is_told_and_not_guessed(cell: Cell, says: str) -> None:
    assert says in str(stocktake.moment_of(cell, BERLIN))


@pytest.mark.parametrize(
    ("code", "sku", "says"),
    [
        ("A", "A", ""), (" A ", "A", ""), ("a", "", "Is it A?"), ("123", "", "Is it 00123?"),
        (4711, "", "may also stand"),
        ("4711", "4711", ""), ("4006381333931", "B", ""), (4006381333931, "B", ""), ("036000291452", "C", ""),
        ("36000291452", "C", ""), ("999", "", "several SKUs"), (46083, "", "Is it a date (2026-03-02)"),
        ("2026-02-01 00:00:00", "", "looks like a date"), ("1. Feb", "", "looks like a date"),
        ("4,00638E+12", "", "shortened"),
        (None, "", "missing"), (3.5, "", "plain text"), (True, "", "plain text"),
    ],
)  # fmt: skip
def test_what_a_row_names(code: Cell, sku: str, says: str) -> None:
    codes = {
        names.bare(c): skus for c, skus in {"4006381333931": ("B",), "036000291452": ("C",), "999": ("A", "B")}.items()
    }
    found, why = Names(SKUS, codes).of(code)
    assert found == sku and says in why and bool(found) != bool(why)


# rows summed (C4, C5) -------------------------------------------------------------------------------------------


def grouped(*rows: Sequence[Cell], names: Names | None = None, **how: Any) -> Grouped:
    given = [Row(number, *cells) for number, cells in enumerate(rows, start=5)]
    return stocktake.group(given, [at(9)] * len(given), names or Names(SKUS), UTC, NOW, **how)


def test_C4_several_rows_are_summed_and_said() -> None:
    take = grouped(("A", 9, "2026-03-02 10:00", "shelf"), ("B", 1), ("A", 3, "2026-03-02 11:00", "back")).takes["A"]
    assert (take.units, take.rows, take.sums, take.note) == (12, (5, 7), (9, 3), "shelf; back")
    assert take.at == at(11) + timedelta(seconds=59, microseconds=999_999)
    line = stocktake.reckon(take, balance(12), None, None, NOW)
    assert "counted 12 (9 + 3 in rows 5 and 7) at 11:00" in stocktake.said(line, UTC, NOW)


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([("A", 9, None, "shelf"), ("A", 9, None, "Shelf")], "same note"),
        ([("A", 9), ("A", "1o")], "cannot be read"),
        ([("A", 9, None, None, "in the count"), ("A", 1, None, None, "packed apart")], "different words"),
    ],
)
def test_C4_rows_that_cannot_be_summed_do_not_count(rows: list[Sequence[Cell]], says: str) -> None:
    found = grouped(*rows, ("B", 4))
    assert set(found.takes) == {"B"}, "the good rows go on"
    assert says in found.flags[5] and found.named >= {"A", "B"}


def test_C4_a_blank_row_says_that_it_is_blank_and_spoils_nothing() -> None:
    found = grouped(("A", 9), ("A", None, None, "back"), ("C", None, None, "x"))
    assert found.takes["A"].units == 9 and found.flags[6].startswith("blank")
    assert (found.blank, "C" in found.named) == ({"C"}, False), "a row without a figure was not counted"


def test_C5_a_counted_kit_adds_its_components_to_theirs() -> None:
    names = Names(SKUS, kits={"SET": {"A": 2, "B": 1}})
    found = grouped(("A", 5), ("SET", 3), names=names)
    assert {sku: take.units for sku, take in found.takes.items()} == {"A": 11, "B": 3}
    assert found.kits[6] == "a kit: adds 6 of A, 3 of B"
    spoiled = grouped(("A", 5), ("SET", "x"), ("C", 1), names=names)
    assert set(spoiled.takes) == {"C"}


def test_a_time_for_all_is_for_rows_without_one_and_none_may_be_to_come() -> None:
    found = grouped(("A", 1), ("B", 1, "2026-03-02 10:00"), ("C", 1, "2026-03-03 10:00"), default_at=at(8))
    assert (found.takes["A"].at, found.takes["A"].given) == (at(8), True)
    assert found.takes["B"].at > at(10) and "still to come" in found.flags[7]


# against the ledger (C1 to C3) ----------------------------------------------------------------------------------


def balance(on_hand: int, committed: int = 0, last_at: datetime = LONG_AGO) -> Balance:
    return Balance(StockKey("A"), Stock(on_hand, committed), 1, True, last_at)


def opened(n: int) -> Fact:
    return Fact("open", "A", Kind.OPENING, at(-100), count=n)


def moved(when: float, on_hand: int = 0, committed: int = 0, kind: Kind = Kind.SHIPMENT, line: str = "") -> Fact:
    return Fact(f"{kind}{when}{line}", "A", kind, at(when), Stock(on_hand, committed), line=line)


def reckoned(facts: list[Fact], units: int, when: float, choice: str | None = IN_COUNT, *, given: bool = True) -> Line:
    take = Take("A", units, at(when), given, (5,), at(when))
    return stocktake.reckon(take, None, facts, choice, NOW)


def posted(facts: list[Fact], line: Line) -> int:
    return stock.on_hand([*facts, stocktake.fact_of(line, "stock-take-1", actor="")])


def whole(lines: Sequence[Line]) -> Tally:
    return Tally.of(NO_ROWS, lines)


def obstacles(lines: Sequence[Line], choice: str | None) -> list[str]:
    return tally.obstacles(whole(lines), choice)


def test_C2_what_left_since_stays_counted_and_the_page_says_so() -> None:
    facts = [opened(14), moved(9, -2), moved(11, -2)]
    line = reckoned(facts, 12, 10 + 41 / 60)
    assert (line.expected, line.difference, line.now) == (12, 0, 10)
    assert stocktake.said(line, UTC, NOW, posted=True) == "posted: counted 12 at 10:41; 2 shipped since; now 10"
    assert posted(facts, line) == 10


def test_C2_a_figure_without_a_time_whose_sku_moved_is_asked_about() -> None:
    facts = [opened(100), moved(-12, -40)]
    line = reckoned(facts, 100, 11, given=False)
    assert line.moved and "when was it counted?" in obstacles([line], IN_COUNT)[0]
    timed = reckoned(facts, 100, -36)
    assert obstacles([timed], IN_COUNT) == [] and posted(facts, timed) == 60
    old = reckoned([opened(100), moved(-40, -40)], 60, 11, given=False)
    assert obstacles([old], IN_COUNT) == []


@pytest.mark.parametrize(
    ("choice", "count", "expected", "difference", "after"),
    [(APART, 7, 7, 0, 12), (IN_COUNT, 12, 12, 0, 12), (IN_COUNT, 7, 12, -5, 7), (APART, 6, 7, -1, 11)],
)
def test_C3_open_orders_in_the_count_or_packed_apart(
    choice: str, count: int, expected: int, difference: int, after: int
) -> None:
    facts = [opened(12), moved(8, 0, 5, Kind.ORDER, "L")]
    line = reckoned(facts, count, 10, choice)
    assert (line.expected, line.difference, posted(facts, line)) == (expected, difference, after)


@pytest.mark.parametrize("left", [9, 11])
def test_C3_units_packed_apart_leave_the_count_whenever_they_left(left: float) -> None:
    facts = [opened(12), moved(8, 0, 5, Kind.ORDER, "L")]
    counted = stocktake.fact_of(reckoned(facts, 7, 10, APART), "s", actor="")
    assert stock.on_hand([*facts, counted, moved(left, -5, -5, Kind.SHIPMENT, "L")]) == 7


def test_C3_an_order_shipped_in_part_before_the_count_keeps_what_was_counted() -> None:
    facts = [opened(12), moved(8, 0, 5, Kind.ORDER, "L"), moved(9, -2, -2, Kind.SHIPMENT, "L")]
    line = reckoned(facts, 7, 10, APART)
    assert (line.expected, line.apart, line.now, posted(facts, line)) == (7, 3, 10, 10)
    counted = stocktake.fact_of(line, "s", actor="")
    assert stock.on_hand([*facts, counted, moved(11, -3, -3, Kind.SHIPMENT, "L")]) == 7


def test_C3_is_asked_only_where_orders_are_open_and_a_row_may_answer_for_itself() -> None:
    facts = [opened(12), moved(8, 0, 5, Kind.ORDER, "L")]
    assert "in the count, or packed apart" in obstacles([reckoned(facts, 7, 10, None)], None)[0]
    assert obstacles([reckoned(facts, 7, 7, None)], None) == [], "the order came later"
    own = stocktake.reckon(Take("A", 7, at(10), True, (5,), at(10), APART), None, facts, None, NOW)
    assert (obstacles([own], None), own.now) == ([], 12)


def test_C4_rows_with_a_movement_between_their_times_are_flagged() -> None:
    take = Take("A", 12, at(12), True, (5, 8), at(10), sums=(9, 3))
    facts = [opened(14), moved(11, -2)]
    assert "moved between" in stocktake.reckon(take, None, facts, None, NOW).why
    assert stocktake.reckon(take._replace(first_at=at(11.5)), None, facts, None, NOW).why == ""


def test_C1_a_later_count_stands_and_a_first_count_has_nothing_expected() -> None:
    later = Fact("later", "A", Kind.STOCK_TAKE, at(12), count=8)
    line = reckoned([opened(12), later], 7, 10)
    assert (line.difference, line.now) == (-5, 8) and "a later count stands" in stocktake.said(line, UTC, NOW)
    first = stocktake.reckon(Take("A", 3, at(10), True, (5,), at(10)), None, [], None, NOW)
    assert (first.expected, first.difference) == (None, None)
    assert stocktake.fact_of(first, "s", actor="").kind is Kind.OPENING


MOVES = st.lists(
    st.builds(
        moved,
        st.floats(-50, 19, allow_nan=False),
        st.integers(-5, 5),
        st.integers(0, 5),
        st.sampled_from([Kind.SHIPMENT, Kind.RETURN, Kind.ADJUSTMENT]),
        st.sampled_from(["", "L", "M"]),
    ),
    max_size=8,
)


@given(MOVES, st.integers(0, 30), st.floats(-20, 19, allow_nan=False), st.sampled_from([IN_COUNT, APART]))
def test_what_is_shown_is_what_posting_makes_of_it(moves: list[Fact], units: int, when: float, choice: str) -> None:
    facts = [opened(10), *(replace(f, key=str(n)) for n, f in enumerate(moves))]
    line = reckoned(facts, units, when, choice)
    assert posted(facts, line) == line.now
    counted = stocktake.fact_of(line, "s", actor="")
    assert stock.on_hand([*facts, counted], at(when)) == units + line.apart, "then and there"
    assert line.expected == stock.on_hand(facts, at(when)) - line.apart
    if max(f.occurred_at for f in facts) <= at(when) and choice == IN_COUNT:
        known = Stock(stock.on_hand(facts), sum(f.change.committed for f in facts))
        quick = stocktake.reckon(line.take, Balance(StockKey("A"), known, 1, True), None, choice, NOW)
        assert (quick.total, quick.expected, quick.now) == (line.total, line.expected, line.now)


# improbable -----------------------------------------------------------------------------------------------------


def lines(pairs: Sequence[tuple[int, int]]) -> list[Line]:
    """(expected, counted) a row."""
    return [
        Line(Take(f"S{n}", counted, at(9), True, (n + 5,), at(9)), counted, expected, counted)
        for n, (expected, counted) in enumerate(pairs)
    ]


def doubts(pairs: Sequence[tuple[int, int]], *, zeroed: int = 0, stocked: int = 100, twice: int = 0) -> str:
    return " ".join(tally.improbable(whole(lines(pairs)), twice, zeroed, stocked))


SHELF = [3, 8, 5, 12, 7, 20, 1, 9, 4, 6, 11, 2]


def test_what_nobody_should_believe_is_named() -> None:
    assert doubts([(n, n + (i % 4 == 0)) for i, n in enumerate(SHELF)]) == "", "an honest count"
    assert "differ, by" in doubts([(n, n * 3) for n in SHELF])
    assert "were counted 0" in doubts([(n, 0 if i < 6 else n) for i, n in enumerate(SHELF)])
    assert "counts that the row above should have" in doubts(list(zip(SHELF[1:], SHELF, strict=False)))
    assert "counts that the row below should have" in doubts(list(zip(SHELF, SHELF[1:], strict=False)))
    assert "ten times as high" in doubts([(10, 1000), *((n, n) for n in SHELF)])
    assert "not counted and would become 0" in doubts([(1, 1)], zeroed=60)
    assert doubts([(1, 1)], zeroed=20) == ""
    assert "pasted twice" in doubts([(n, n) for n in SHELF], twice=10)


def test_totals_and_their_words() -> None:
    found = lines([(10, 8), (5, 9), (3, 3)])
    costed = [n._replace(take=n.take._replace(cost=stocktake.cost_of("2,50"))) for n in found]
    totals = tally.totals(4, 1, whole(costed))
    assert (totals.differ, totals.up, totals.down, str(totals.value)) == (2, 4, 2, "5.00")
    assert totals.words() == (
        "4 rows, 3 SKUs counted, 2 differ (4 units up, 2 down), value +5.00, 1 row flagged and not counted."
    )


def test_a_figure_keeps_its_name_wherever_its_row_is_sorted_to() -> None:
    keys = bulk.figure_keys("ABA", [1, 2, 1], [None] * 3)
    assert len(set(keys)) == 3 and set(bulk.figure_keys("AAB", [1, 1, 2], [None] * 3)) == set(keys)
    assert bulk.figure_keys("A", [2], [None])[0] not in keys
