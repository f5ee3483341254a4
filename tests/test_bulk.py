"""Rows told at once mean what they mean one by one: whole tables against whole ledgers, both ways."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sheets_sync import counting, stock, stocktake, tally
from sheets_sync.bulk import Standing, Table
from sheets_sync.counting import Preview, Wishes
from sheets_sync.model import Balance, Cell, Event, Fact, Kind, Stock, StockKey
from sheets_sync.stocktake import APART, IN_COUNT, Grouped, Line, Names, Row
from sheets_sync.tally import Tally
from tests.test_stocktake import NO_ROWS

DAY = datetime(2026, 3, 2, tzinfo=UTC)
NOW = DAY + timedelta(hours=20)
FIRST_SEEN = DAY + timedelta(hours=9)
SKUS = ("A", "B", "C", "4711")
NAMES = Names(frozenset({*SKUS, "NEW"}), {"4006381333931": ("B",)}, {"SET": {"A": 2}})
HOURS = st.sampled_from([-60, -30, 8, 9, 9.5, 12])


class Books:
    """A ledger of a few SKUs, in memory: as much of a view as a comparison asks for."""

    def __init__(self) -> None:
        self.events: dict[str, list[Event]] = {}
        self.balances: dict[str, Balance] = {}

    def post(self, fact: Fact) -> None:
        history = self.events.setdefault(fact.sku, [])
        balance = self.balances.get(fact.sku) or Balance(StockKey(fact.sku))
        made, self.balances[fact.sku] = stock.post(balance, history, fact, recorded_at=NOW, next_id=len(history) + 1)
        history += made

    def get(self, name: str, default: Any = None) -> Any:
        return default

    def moves(self, since: Mapping[str, datetime], location: str) -> Iterator[tuple[object, ...]]:
        for event in (e for sku in since for e in self.events[sku]):
            fact = event.fact
            if fact.occurred_at > since[fact.sku] or fact.strikes is not None:
                change = event.change
                yield fact.sku, fact.kind.value, fact.occurred_at, change[0], change[1], fact.count, fact.strikes

    def histories(self, skus: Collection[str]) -> dict[str, list[Event]]:
        return {sku: self.events[sku] for sku in skus if sku in self.events}


@st.composite
def ledgers(draw: st.DrawFn) -> Books:
    books = Books()
    for sku in SKUS:
        if draw(st.integers(0, 7)):
            books.post(Fact(f"open-{sku}", sku, Kind.OPENING, DAY - timedelta(hours=100), count=20))
        for n in range(draw(st.integers(0, 3))):
            at = DAY + timedelta(hours=draw(HOURS))
            match draw(st.sampled_from(["sale", "order", "return", "typed", "count", "strike"])):
                case "sale":
                    books.post(Fact(f"{sku}{n}", sku, Kind.SHIPMENT, at, Stock(on_hand=-2)))
                case "order":
                    books.post(Fact(f"{sku}{n}", sku, Kind.ORDER, at, Stock(committed=3), line=f"L{n}"))
                    if draw(st.booleans()):
                        left = at + timedelta(hours=draw(st.sampled_from([-1, 1, 24])))
                        books.post(Fact(f"{sku}{n}s", sku, Kind.SHIPMENT, left, Stock(-3, -3), line=f"L{n}"))
                case "return":
                    books.post(Fact(f"{sku}{n}", sku, Kind.RETURN, at, Stock(on_hand=1)))
                case "typed":
                    books.post(Fact(f"{sku}{n}", sku, Kind.ADJUSTMENT, at, Stock(on_hand=draw(st.integers(-2, 2)))))
                case "count":
                    books.post(Fact(f"{sku}{n}", sku, Kind.STOCK_TAKE, at, count=draw(st.integers(0, 30))))
                case "strike":
                    strikes = {e.fact.strikes for e in books.events.get(sku, ())}
                    keys = [e.fact.key for e in books.events.get(sku, ()) if e.is_fact and e.fact.key not in strikes]
                    if keys:
                        books.post(Fact(f"{sku}{n}", sku, Kind.REVERSAL, at, strikes=draw(st.sampled_from(keys))))
    return books


ODD = st.tuples(
    st.sampled_from([*SKUS, "NEW", "NOPE", "4006381333931", "SET", None, 7]),
    st.sampled_from([0, 20, "3", "1o", None, 3.5, 2_000_000]),
    st.sampled_from([None, "2026-03-02 10:00", 46083.4, "soon", "2026-03-09 10:00"]),
    st.sampled_from([None, "shelf", " back "]),
    st.sampled_from([None, "packed apart", "?"]),
    st.sampled_from([None, "2,50", 1]),
)


def good(sku: str) -> st.SearchStrategy[tuple[Cell, ...]]:
    times = st.sampled_from([None, "2026-03-02 08:59", "2026-03-02T09:00:00.5", "2026-03-01 03:00"])
    return st.tuples(
        st.just(sku), st.integers(0, 25), times, st.sampled_from([None, " x"]),
        st.sampled_from([None, None, None, "packed apart", "in the count"]), st.sampled_from([None, "2,50"]),
    )  # fmt: skip


TABLES = st.tuples(*map(good, SKUS), st.lists(ODD, max_size=3)).map(lambda found: [*found[:-1], *found[-1]])


def one_by_one(books: Books, rows: list[Row], wishes: Wishes, how: dict[str, Any]) -> tuple[Grouped, list[Line]]:
    seen = [FIRST_SEEN] * len(rows)
    grouped = stocktake.group(rows, seen, NAMES, UTC, NOW, default_at=wishes.default_at, **how)
    lines, flags = [], dict(grouped.flags)
    for sku, take in grouped.takes.items():
        facts = [e.fact for e in books.events.get(sku, ()) if e.is_fact]
        line = stocktake.reckon(take, books.balances.get(sku), facts, wishes.choice, NOW)
        if line.why:
            flags |= dict.fromkeys(take.rows, f"? {counting.why_not_summed(sku, take)}")
        else:
            lines.append(line)
    return replace(grouped, flags=flags), lines


@settings(max_examples=60, deadline=None)
@given(
    ledgers(), TABLES,
    st.sampled_from([None, None, None, DAY + timedelta(hours=8), NOW + timedelta(days=1)]),
    st.sampled_from([None, None, IN_COUNT, APART]), st.booleans(),
)  # fmt: skip
def test_rows_told_at_once_are_told_as_one_by_one(
    books: Books, cells: list[tuple[Cell, ...]], default_at: datetime | None, choice: str | None, full: bool
) -> None:
    same_as_one_by_one(books, cells, default_at, choice, full=full)


def test_rows_of_one_sku_and_orders_packed_apart_since_go_one_by_one() -> None:
    books = Books()
    for sku in ("A", "B"):
        books.post(Fact(f"open-{sku}", sku, Kind.OPENING, DAY, count=20))
    books.post(Fact("o", "A", Kind.ORDER, DAY + timedelta(hours=8), Stock(committed=3), line="L"))
    books.post(Fact("s", "A", Kind.SHIPMENT, DAY + timedelta(hours=12), Stock(-3, -3), line="L"))
    rest: tuple[Cell, ...] = ("2026-03-02 10:00", None, None, None)
    same_as_one_by_one(books, [("A", 17, *rest), ("B", 9, *rest), ("B", 11, *rest)], None, APART, full=False)
    same_as_one_by_one(books, [("A", 17, *rest), ("B", 9, *rest), ("B", None, *rest)], None, IN_COUNT, full=True)


def same_as_one_by_one(
    books: Books, cells: list[tuple[Cell, ...]], default_at: datetime | None, choice: str | None, *, full: bool
) -> None:
    rows = [Row(number, *values) for number, values in enumerate(cells, start=5)]
    wishes = Wishes(full, NOW if full else None, choice, default_at)
    how = {"allowance": timedelta(seconds=60)}
    standing = Standing(books.balances.values())
    view: Any = books
    found = counting.compare(
        view, standing, Table.of(rows), [FIRST_SEEN] * len(rows), NAMES, wishes, UTC, NOW, **how
    )  # fmt: skip
    grouped, lines = one_by_one(books, rows, wishes, how)
    assert found.lines == {line.take.sku: line for line in lines}
    assert (found.grouped.flags, found.grouped.kits, found.grouped.blank) == (
        grouped.flags, grouped.kits, grouped.blank,
    )  # fmt: skip
    assert (found.named, found.takes) == (grouped.named, grouped.takes)
    told = dict(zip(found.plain.skus, found.plain.said(UTC, NOW), strict=True))
    assert told == {sku: stocktake.said(found.lines[sku], UTC, NOW) for sku in told}
    assert_as_a_whole(found, len(rows), grouped, lines, choice)


def assert_as_a_whole(found: Preview, rows: int, grouped: Grouped, lines: list[Line], choice: str | None) -> None:
    every = Tally.of(NO_ROWS, [*lines, *found.zeroed.values()])
    assert found.totals == tally.totals(rows, len(grouped.flags), every)
    assert sorted(found.counts, key=lambda n: n.take.sku) == sorted(
        [*lines, *found.zeroed.values()], key=lambda n: n.take.sku
    )
    ours, theirs = sorted(found.obstacles), sorted(tally.obstacles(every, choice))
    assert [sorted(o.split()) for o in ours] == [sorted(o.split()) for o in theirs], "but for the order of SKUs"


def test_balances_by_column_are_kept_up_whatever_changes() -> None:
    books = [Balance(StockKey(sku), Stock(n), 1, True, DAY) for n, sku in enumerate("ABC")]
    standing = Standing(books)
    books[1] = replace(books[1], stock=Stock(9, 4), counted=False)
    books.append(Balance(StockKey("D"), Stock(7)))
    for now in (books, books[1:], [*books[1:], books[0]], []):
        standing.refresh(now)
        fresh = Standing(now)
        assert standing.place == fresh.place and standing.get("E") is None
        assert [c.tolist() for c in standing.columns] == [c.tolist() for c in fresh.columns]
    assert Standing(books).places(["D", None, 7, "A"]).tolist() == [3, -1, -1, 0]
    assert Standing(books).get("B") == books[1] and Standing(books).stocked == 1
