"""Why is it 7: the statement, its sum in words and as a formula, and what an oversell says of itself."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sheets_sync import cli, statement, stock
from sheets_sync.ledger import Ledger
from sheets_sync.model import LONG_AGO, Balance, Event, Fact, Kind, Reason, Stock, StockKey
from sheets_sync.sandbox.sheet.store import Store

DAY = datetime(2026, 3, 2, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return DAY + timedelta(minutes=minutes)


def tell(when: datetime) -> str:
    return f"{when:%H:%M}"


@dataclass
class Book:
    """A ledger of one SKU; each fact is learned when it happened, unless told otherwise."""

    balance: Balance = Balance(StockKey("A"))
    events: tuple[Event, ...] = ()

    def record(self, fact: Fact, learned: float | None = None) -> Book:
        when = fact.occurred_at if learned is None else at(learned)
        made, self.balance = stock.post(
            self.balance, self.events, fact, recorded_at=when, next_id=len(self.events) + 1
        )  # fmt: skip
        self.events += made
        return self


def counted(minute: float, n: int, *, key: str = "", apart: frozenset[str] = frozenset()) -> Fact:
    return Fact(key or f"count{minute}", "A", Kind.STOCK_TAKE, at(minute), count=n, apart=apart)


def typed(minute: float, n: int) -> Fact:
    return Fact(f"edit{minute}", "A", Kind.ADJUSTMENT, at(minute), Stock(n), source="sheet", reason=Reason.LOSS)


def sold(minute: float, units: int, shop: str, number: str) -> Fact:
    return Fact(
        f"order{number}", "A", Kind.ORDER, at(minute), Stock(0, units), source=shop, reference=number,
        line=f"{shop}/{number}/1",
    )  # fmt: skip


def sent(minute: float, units: int, shop: str, number: str) -> Fact:
    return Fact(
        f"sent{number}", "A", Kind.SHIPMENT, at(minute), Stock(-units, -units), source=shop, reference=number,
        line=f"{shop}/{number}/1",
    )  # fmt: skip


def strike(minute: float, key: str) -> Fact:
    return Fact(f"undo{key}", "A", Kind.REVERSAL, at(minute), strikes=key)


def words(book: Book) -> str:
    return "\n".join(statement.statement(book.events).sentences(tell))


# the statement --------------------------------------------------------------------------------------------------


def test_why_7() -> None:
    book = Book().record(counted(0, 12)).record(sold(5, 3, "shopify", "1001")).record(sent(9, 3, "shopify", "1001"))
    book.record(typed(12, -2)).record(sold(15, 1, "etsy", "77"))
    assert words(book) == (
        "On hand is 7: event 1 counted 12 at 00:00; -3 by 1 shipment; -2 by 1 adjustment.\n"
        "Committed is 1: 1 for order 77 at etsy.\n"
        "Available is 6: 7 on hand less 1 committed."
    )


def test_what_happened_before_a_count_was_seen_by_it() -> None:
    book = Book().record(counted(0, 12)).record(counted(60, 7))
    book.record(Fact("late", "A", Kind.ADJUSTMENT, at(30), Stock(-2)), learned=90)
    said = statement.statement(book.events)
    assert [(row.event.fact.kind.value, row.does) for row in said.rows] == [
        ("stock_take", "before the count of event 2, which has seen it"),
        ("stock_take", "the last count: it is right about everything before it"),
        ("adjustment", "before the count of event 2, which has seen it"),
        ("correction", "restores the count of event 2"),
    ]
    assert said.sentences(tell)[0] == "On hand is 7: event 2 counted 7 at 01:00; nothing has moved it since."


def test_what_is_struck_says_by_what_and_counts_no_more() -> None:
    book = Book().record(counted(0, 12)).record(typed(10, 90)).record(strike(20, "edit10"))
    said = statement.statement(book.events)
    assert [row.does for row in said.rows][1:] == ["struck by event 3", "strikes event 2"]
    assert said.now.on_hand == 12 and said.since == ()
    book.record(strike(30, "undoedit10"))
    said = statement.statement(book.events)
    assert said.rows[2].does == "strikes event 2, and is struck itself by event 4"
    assert [e.id for e in said.since] == [2] and said.now.on_hand == 102


def test_units_packed_apart_are_told() -> None:
    line = frozenset({"etsy/5/1"})
    book = Book().record(counted(0, 12)).record(sold(5, 5, "etsy", "5"))
    book.record(Fact("take", "A", Kind.STOCK_TAKE, at(60), count=12, apart=line)).record(sent(30, 5, "etsy", "5"), 90)
    assert "counted 12 at 01:00; -5 that the count had added for open orders and that have left." in words(book)


def test_a_sku_that_was_never_counted() -> None:
    book = Book().record(sold(5, 5, "etsy", "5"))
    assert words(book).startswith("On hand is 0: no count stands, so it begins at 0.")
    assert statement.oversell(book.events) is None, "orders of a SKU without a count only wait"


# oversells ------------------------------------------------------------------------------------------------------


def test_two_shops_sell_the_last_unit() -> None:
    book = Book().record(counted(0, 1)).record(sold(10, 1, "shopify", "1001"), learned=12)
    book.record(sold(11, 1, "etsy", "77"), learned=13)
    found = statement.oversell(book.events)
    assert found is not None and (found.short, found.known, found.hold_back) == (1, 1, 1)
    assert found.sentences(tell) == [
        "Oversold by 1 at 00:11:",
        "  00:00  we knew of 1 available",
        "  00:10  order 1001 at shopify: -1, available 0 (we learned of it at 00:12)",
        "  00:11  order 77 at etsy: -1, available -1 (we learned of it at 00:13)",
        "Sold meanwhile: shopify (1) and etsy (1). A hold back of 1 on each listing of A would have prevented it.",
    ]


@pytest.mark.parametrize(
    ("known", "sales", "there", "hold_back"),
    [
        (10, {"a": 10, "b": 1}, 10, 1),
        (10, {"a": 6, "b": 6}, 10, 5),
        (10, {"a": 12}, 10, 0),  # more than it could have shown
        (10, {"a": 4, "b": 4}, 5, 8),  # and 5 found missing meanwhile: (10 - h) twice is at most 5
        (10, {"a": 1}, -1, None),
        (10**12, {"a": 10**12, "b": 3}, 10**12, 3),
    ],
)
def test_the_hold_back_that_is_enough(known: int, sales: dict[str, int], there: int, hold_back: int | None) -> None:
    assert statement.enough(known, sales, there) == hold_back


def test_an_oversell_by_a_count_blames_no_sale() -> None:
    book = Book().record(counted(0, 3)).record(sold(1, 2, "etsy", "5")).record(counted(60, 1))
    found = statement.oversell(book.events)
    assert found is not None and found.short == 1
    assert found.sentences(tell)[-1].startswith("No sale raced here: a count or a change by hand")


def test_a_listing_that_showed_too_much_is_told_apart() -> None:
    book = Book().record(counted(0, 2)).record(sold(30, 5, "etsy", "5"))
    found = statement.oversell(book.events)
    assert found is not None and found.before is None
    assert found.sentences(tell)[-1] == (
        "Sold: etsy (5). There never were as many, so the listing showed more than it should."
    )
    book = Book().record(counted(0, 4)).record(sold(30, 3, "etsy", "5"), 40).record(sold(31, 3, "etsy", "6"), 41)
    found = statement.oversell(book.events)
    assert found is not None and found.hold_back == 0
    assert "so it showed more than it should" in found.sentences(tell)[-1]


def test_an_oversell_that_was_mended_is_still_told() -> None:
    book = Book().record(counted(0, 1)).record(sold(10, 1, "a", "1"), 12).record(sold(11, 1, "b", "2"), 13)
    book.record(typed(60, 5))
    found = statement.oversell(book.events)
    assert found is not None and found.over
    assert ", and mended since:" in found.sentences(tell)[0]


# the same sum as a formula --------------------------------------------------------------------------------------


def test_the_exported_ledger_sums_to_the_same_by_formula(tmp_path: Path) -> None:
    """In the local sheet, over the file as `ledger export` writes it, for SKUs that spreadsheets like to confuse."""
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db")
    with ledger.begin() as tx:
        for n, sku in enumerate(("00123", "123", "1E5", 'a "b"', "A", "a"), start=1):
            tx.append([Fact(f"o{sku}", sku, Kind.OPENING, LONG_AGO, count=10 * n)])
            tx.append([Fact(f"s{sku}", sku, Kind.ORDER, at(1), Stock(0, n))])
            tx.append([Fact(f"c{sku}", sku, Kind.STOCK_TAKE, at(9), count=7 * n)])
            tx.append([Fact(f"l{sku}", sku, Kind.ADJUSTMENT, at(5), Stock(-2))])
    out = io.StringIO()
    cli._export(ledger, out)
    with ledger.read() as view:
        balances = {key.sku: balance.stock for key, balance in view.balances().items()}
    ledger.close()
    store = Store()
    book = store.create("Export", tabs=("Ledger",)).spreadsheet_id
    rows = [row[:9] for row in csv.reader(io.StringIO(out.getvalue()))]
    store.type(book, "Ledger", "A1", [[row[0], f"'{row[1]}", *row[2:]] for row in rows])
    sums = [[statement.formula(sku, column) for column in "FGH"] for sku in balances]
    store.type(book, "Ledger", "K1", sums)
    shown = [tuple(row[10:13]) for row in store.rows(book, "Ledger")[: len(balances)]]
    assert dict(zip(balances, shown, strict=True)) == {sku: tuple(held) for sku, held in balances.items()}
