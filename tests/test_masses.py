"""Held for their number: many changes at once, many to zero, a column cleared, half the rows gone, a jump (H1-H3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sheets_sync import answering, masses, review
from sheets_sync.config import LimitSettings
from sheets_sync.masses import CLEARED, MASS, Holds, Row, find, rows_of
from sheets_sync.model import Fact, Kind, Origin, Question, Stock, StockKey
from sheets_sync.sandbox.shops import Seed
from sheets_sync.sheet import tabs
from tests.world import World

pytestmark = pytest.mark.xdist_group("masses")  # one world for all of them

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
FEW = Holds(edits=3, zeros=2, jump=500)


def rows(*typed: int | None, tag: int = 10) -> list[Row]:
    return [Row(f"S{n}", "e", tag, figure) for n, figure in enumerate(typed)]


def held(
    fresh: list[Row], cleared: list[Row] | None = None, open_: list[Question] | None = None, **how: object
) -> list[tuple[str, int]]:
    found, _ = find(fresh, cleared or [], open_ or [], FEW, {}, AT, **how)  # type: ignore[arg-type]
    return [(question.kind, len(rows_of(question))) for question in found]


def one(fresh: list[Row]) -> Question:
    (question,), _ = find(fresh, [], [], FEW, {"S0": 2, "S1": 1}, AT)
    return question


def test_from_how_many_on_it_is_held() -> None:
    assert held(rows(8, 8)) == []
    assert held(rows(8, 8, 8)) == [(MASS, 3)]
    assert held(rows(0, 8)) == [] and held(rows(0, 0)) == [(MASS, 2)]
    assert held(rows(0, 0, tag=0)) == [], "they were at zero"
    assert held([], rows(None, None)) == [(CLEARED, 2)]
    assert find(rows(*[0] * 500), rows(*[None] * 500), [], Holds(), {}, AT) == ([], frozenset())


def test_H1_later_edits_are_judged_alone_and_sales_change_nothing() -> None:
    question = one(rows(1, 2, 3))
    assert held([*rows(1, 2, 3), Row("boss", "e", 5, 4)], open_=[question]) == [(MASS, 3)]
    again, _ = find([*rows(1, 2, 3), Row("boss", "e", 5, 4)], [], [question], FEW, {}, AT)
    assert again == [question], "the same hash: his approval holds for these rows"


def test_H1_rows_only_leave_it_and_only_where_two_looks_say_so() -> None:
    question = one(rows(1, 2, 3))
    stale = rows(1, 2)
    found, left = find(stale, [], [question], FEW, {}, AT)
    assert (found, left) == ([question], {("e", "S2")}), "this look may be an old one"
    (smaller,), _ = find(stale, [], [question], FEW, {}, AT, left_before=left)
    assert rows_of(smaller) == stale and smaller.key != question.key
    assert find(rows(1, 2, 3), [], [question], FEW, {}, AT, left_before=left)[0] == [question], "it was an old one"
    assert find([], [], [question], FEW, {}, AT, away={"S0", "S1", "S2"})[0] == [question], "sorted, or gone for now"


def test_the_question_says_what_was_seen_and_what_it_would_do() -> None:
    assert one(rows(0, 2, 13, 9)).text == (
        "held: 4 counts were changed at once, 1 of them to zero (S0 10 to 0, S1 10 to 2, S2 10 to 13 and 1 more), "
        "-16 units in all. It would change 3 listings. Was that meant? Approve in Review, or put them back."
    )


def test_half_the_rows_gone_is_one_question() -> None:
    gone = [f"S{n}" for n in range(10)]
    assert masses.missing(gone, 21, AT) is None and masses.missing(gone[:9], 9, AT) is None
    question = masses.missing(gone, 20, AT)
    assert question is not None and question.text.startswith(
        "? 10 of 20 rows are gone (S0, S1, S2 …). Nothing was changed"
    )
    assert masses.skus_of(question) == gone


@pytest.mark.parametrize(
    ("before", "after", "jumps"),
    [
        (10, 1000, True), (10, 509, False), (60, 599, False), (60, 600, True), (0, 500, True), (1000, 2000, False),
        (900, 0, False),
    ],
)  # fmt: skip
def test_a_count_that_rises_tenfold_and_by_many(before: int, after: int, jumps: bool) -> None:
    assert masses.jumps(before, after, FEW) is jumps


# in the sheet ---------------------------------------------------------------------------------------------------

SKUS = [f"S{n:02}" for n in range(1, 21)]
AS_SHOWN = sorted(range(1, 21), key=str)  # rows are added in the order of the shop's numbers, as text


class Shop(World):
    """Twenty SKUs with 10 each; three changes at once are many, and two zeros."""

    def answer(self, kind: str, word: str) -> None:
        (question,) = [q for q in self.open() if q.kind == kind]
        assert word in [answer.word for answer in review.offered(question)]
        answering.answer(self.desk, review.short_id(question), word)
        self.sheet_passes()

    def open(self) -> list[Question]:
        with self.ledger.read() as view:
            return view.questions()

    def kinds(self) -> list[str]:
        return sorted(question.kind for question in self.open())

    def counts(self) -> dict[str, int]:
        """On hand where it is not 10."""
        with self.ledger.read() as view:
            found = {sku: view.balances([sku])[StockKey(sku)].stock.on_hand for sku in SKUS}
        return {sku: n for sku, n in found.items() if n != 10}

    def column(self, start: str, *figures: str) -> None:
        """A paste into On hand from that SKU's row down."""
        cell = f"{self.letter(tabs.ON_HAND)}{self.row(start)}"
        self.store.type(self.book.spreadsheet_id, tabs.STOCK, cell, [[figure] for figure in figures])
        self.sheet_passes()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("shop")
    made = Shop(
        folder, vendors=("woocommerce",), seeds=[Seed(SKUS[AS_SHOWN.index(n)], "Thing", 10) for n in range(1, 21)]
    )
    limits = LimitSettings(hold_edits=3, hold_zeros=2, hold_jump=500)
    made.settings = replace(made.settings, limits=limits)
    made.desk = made.new_desk()
    try:
        made.begin()
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def as_before(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every SKU has 10 again, and nothing is asked."""
    yield
    if "shop" not in request.fixturenames:
        return
    shop: Shop = request.getfixturevalue("shop")
    for sku, n in shop.counts().items():
        shop.type(sku, str(int(str(shop.cell(sku))) + 10 - n))
        shop.sheet_passes()
    assert (shop.counts(), shop.kinds()) == ({}, [])


def test_H1_a_paste_is_held_and_the_boss_goes_on(shop: Shop) -> None:
    shop.column("S01", "1", "2", "3", "4")
    shop.type("S09", "8")
    shop.sheet_passes()
    assert shop.counts() == {"S09": 8}, "an edit of its own, later"
    assert shop.kinds() == ["mass"] and "4 counts were changed at once" in shop.open()[0].text
    assert "It would change 4 listings" in shop.open()[0].text
    assert shop.status("S02") == (
        "held with others that were changed at once. Type 10 to put it back, or answer in Review."
    )
    shop.channel_pass("woocommerce")
    assert (shop.figure("woocommerce", "S02"), shop.figure("woocommerce", "S09")) == (10, 8)
    shop.restart()
    shop.sheet_passes()
    assert (shop.counts(), shop.kinds()) == ({"S09": 8}, ["mass"])
    shop.answer("mass", "approve")
    assert shop.counts() == {"S01": 1, "S02": 2, "S03": 3, "S04": 4, "S09": 8}
    assert shop.kinds() == []


def test_H3_approved_late_it_applies_to_the_figure_of_then_or_is_asked_alone(shop: Shop) -> None:
    order = shop.shops["woocommerce"].shop.buy("S01", 9)
    shop.column("S01", "8", "8", "8")
    shop.shops["woocommerce"].shop.ship(order)
    shop.channel_pass("woocommerce")
    shop.sheet_passes()
    assert shop.counts() == {"S01": 1} and shop.cell("S01") == 8, "a held cell is not rewritten (H2)"
    shop.answer("mass", "approve")
    assert shop.counts() == {"S01": 1, "S02": 8, "S03": 8}
    assert shop.kinds() == ["below_zero"]
    shop.type("S01", "1")
    shop.sheet_passes()
    shop.type("S01", "10")
    shop.sheet_passes()


def test_H2_put_back_by_hand_it_ends_and_by_an_answer_too(shop: Shop) -> None:
    shop.column("S05", "0", "0")
    assert shop.kinds() == ["mass"] and "2 of them to zero" in shop.open()[0].text
    shop.column("S05", "10")
    assert shop.kinds() == ["mass"] and "1 counts" in shop.open()[0].text.replace("held: ", "")
    shop.answer("mass", "put back")
    assert (shop.cell("S05"), shop.cell("S06"), shop.counts()) == (10, 10, {})


def test_a_cleared_column_is_one_question_and_is_put_back(shop: Shop) -> None:
    shop.column("S01", *[""] * len(SKUS))
    assert (shop.kinds(), shop.counts()) == (["cleared"], {})
    shop.answer("cleared", "put back")
    assert [shop.cell(sku) for sku in SKUS] == [10] * len(SKUS)


def test_H3_a_jump_is_asked_and_may_be_meant(shop: Shop) -> None:
    shop.column("S07", "1000")
    assert (shop.kinds(), shop.counts()) == (["jump"], {})
    assert shop.status("S07").startswith("held: 10 to 1000 is +990, ten times what was there or more")
    shop.answer("jump", "record it")
    assert shop.counts() == {"S07": 1000}


def test_half_the_rows_deleted_is_one_question_and_they_are_written_again(shop: Shop) -> None:
    shop.store.delete_rows(shop.book.spreadsheet_id, tabs.STOCK, shop.row("S11"), 10)
    shop.sheet_passes()
    assert (shop.kinds(), shop.counts()) == (["rows_missing"], {})
    shop.answer("rows_missing", "put back")
    assert sorted(sku for sku in shop.skus()[1:] if sku) == SKUS
    assert [shop.cell(sku) for sku in SKUS] == [10] * len(SKUS)


# in the gap of an exchange --------------------------------------------------------------------------------------


def written_while(shop: Shop, act: Callable[[], object], key: str) -> None:
    """S01 to S04 are to be written, as one more of each came; what people do happens just before the write."""
    with shop.ledger.begin() as tx:
        more = [Fact(f"{key}:{n}", f"S0{n}", Kind.ADJUSTMENT, shop.clock(), Stock(1)) for n in range(1, 5)]
        tx.append(more)
    shop.faults.just_before(act)
    shop.sheet_passes()


def test_H2_many_changes_found_only_in_an_image_are_one_question(shop: Shop) -> None:
    def paste() -> None:
        cell = f"{shop.letter(tabs.ON_HAND)}{shop.row('S01')}"
        shop.store.type(shop.book.spreadsheet_id, tabs.STOCK, cell, [["1"], ["2"], ["3"], ["10"]])
        shop.type("S02", "count it", tabs.NOTE)

    written_while(shop, paste, "a")
    assert shop.counts() == {f"S0{n}": 11 for n in range(1, 5)}
    (question,) = shop.open()
    assert (question.kind, question.origin, len(rows_of(question))) == (MASS, Origin.IMAGE, 3)
    assert "3 counts were changed at once" in question.text and "while we wrote" in question.text
    assert "It would change 3 listings" in question.text
    assert shop.cell("S02") == 11 and shop.status("S02").startswith("held with others")
    shop.restart()
    shop.sheet_passes()
    assert shop.open() == [question], "no cell shows it: only an answer ends it"
    with shop.ledger.begin() as tx:
        tx.append([Fact("a:sold", "S01", Kind.ADJUSTMENT, shop.clock(), Stock(-5))])  # S01 has 6: -9 would be -3
    shop.answer("mass", "approve")
    assert shop.counts() == {"S01": 6, "S02": 3, "S03": 4, "S04": 11}
    assert shop.kinds() == ["below_zero"] and "You typed 1" in shop.open()[0].text
    shop.answer("below_zero", "put back")
    event = shop.events("S02")[-1]
    assert (event.fact.note, event.change.on_hand, event.fact.batch[:7]) == ("count it", -8, "review-")


def test_H2_put_back_and_H4_a_column_sorted_in_the_gap(shop: Shop) -> None:
    def swap() -> None:
        shop.type("S01", "12")
        shop.type("S02", "10")

    with shop.ledger.begin() as tx:
        tx.append([Fact("b:found", "S02", Kind.ADJUSTMENT, shop.clock(), Stock(2))])
    shop.sheet_passes()
    written_while(shop, swap, "b")
    assert shop.counts() == {"S01": 11, "S02": 13, "S03": 11, "S04": 11}
    assert shop.kinds() == ["mass"] and "sorted without its rows" in shop.open()[0].text
    shop.answer("mass", "put back")
    assert shop.counts() == {"S01": 11, "S02": 13, "S03": 11, "S04": 11}


def test_H2_a_held_row_that_was_sorted_under_our_write_goes_back_and_stays_held(shop: Shop) -> None:
    shop.column("S01", "1", "2", "3")
    shop.type("S19", "9")  # in whose row S02 stands by then
    shop.faults.just_before(lambda: shop.store.sort(shop.book.spreadsheet_id, tabs.STOCK, shop.letter(tabs.SKU), True))
    shop.sheet_passes()
    assert (shop.counts(), shop.kinds()) == ({"S19": 9}, ["mass"])
    assert [shop.cell(f"S0{n}") for n in (1, 2, 3)] == [1, 2, 3]
    shop.answer("mass", "put back")
    shop.store.sort(shop.book.spreadsheet_id, tabs.STOCK, shop.letter(tabs.SKU), False)
    shop.sheet_passes()
