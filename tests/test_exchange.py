"""The batch, word for word, and what its image means: properties first, then the page that writes an exchange out."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sheets_sync import exchange
from sheets_sync.edits import (
    NOTE,
    ON_HAND,
    REASON,
    SKU,
    STATUS,
    TAG_EXCHANGE,
    TAG_FIGURE,
    TAG_SKU,
    TITLE,
    Known,
    RowWrite,
)
from sheets_sync.exchange import Image, Intent, Place, Settlement, compose, digest, plan, settle
from sheets_sync.guard import Limits
from sheets_sync.model import Cell, Kind, Origin, Stock

AT, NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC), datetime(2026, 3, 2, 9, 1, tzinfo=UTC)
PLACE = Place(stock=101, exchange=900, ledger="led-5f1c", spreadsheet="1AbC")
HEADER = (None, SKU, TITLE, TAG_SKU, TAG_FIGURE, TAG_EXCHANGE, ON_HAND, REASON, NOTE, "Shelf", STATUS)
BEFORE, NEW, OLD = "1604417325", "2093318842", "1588001231"
MUG, SCARF = "00123", "1E5"
KNOWN = Known({MUG: Stock(7), SCARF: Stock(20)})


def a_write(row: int, sku: str, seen: int, now: int, status: str, **more: Any) -> RowWrite:
    return RowWrite(row, sku, seen, {TAG_FIGURE: now, ON_HAND: now, STATUS: status}, True, **more)


WRITES = (
    a_write(5, MUG, 8, 5, "-2 recorded, now 5; for exactly 8 use Set to", clears=True),
    a_write(9000, SCARF, 25, 25, "+5 recorded, now 25"),
)
INTENT = plan(NEW, BEFORE, HEADER, WRITES, frozenset({MUG, SCARF}), AT)
MUG_ROW: tuple[Cell, ...] = (MUG, "Mug, blue", MUG, 10, OLD, 7, "damage", None, "A-3", "ok")
SCARF_ROW: tuple[Cell, ...] = (SCARF, "Scarf", SCARF, 20, BEFORE, 25, None, None, "B-1", "ok")


def an_image(*rows: tuple[Cell, ...], header: tuple[Cell, ...] = HEADER[1:]) -> Image:
    return Image(NEW, BEFORE, header, rows)


def changes(settlement: Settlement) -> dict[str, Stock]:
    return {fact.sku: fact.change for fact in settlement.facts}


# properties -----------------------------------------------------------------------------------------------------

SOME = [f"S{n}" for n in range(5)]
typed = st.dictionaries(st.sampled_from(SOME), st.integers(100, 300), max_size=5)
orders = st.permutations(SOME)


def rows_of(now: dict[str, int], order: list[str]) -> list[tuple[Cell, ...]]:
    """Rows of SKUs that we wrote as 200, some typed over."""
    return [(sku, f"title {sku}", sku, 200, OLD, now.get(sku, 200), None, None, None, "ok") for sku in order]


def an_intent(order: list[str], rows: list[int], seen: dict[str, int]) -> Intent:
    writes = [a_write(row, order[row - 2], seen.get(order[row - 2], 200), 200, "s") for row in rows]
    return plan(NEW, BEFORE, HEADER, writes, frozenset(SOME), AT)


STOCK = Known({sku: Stock(200) for sku in SOME})
some_rows = st.lists(st.integers(2, 6), unique=True, min_size=1).map(sorted)


@given(typed, typed, orders, orders, some_rows)
def test_however_rows_moved_each_row_overwritten_counts_what_was_typed_in_it(
    seen: dict[str, int], now: dict[str, int], before: list[str], after: list[str], rows: list[int]
) -> None:
    intent = an_intent(before, rows, seen)
    cells = rows_of(now, after)
    image = an_image(*(cells[row - 2] for row in intent.image))
    settlement = settle(image, intent, STOCK, NOW)
    overwritten = {after[row - 2] for row in rows}
    expected = {s: figure - 200 for s, figure in now.items() if s in overwritten and figure != 200}
    assert {sku: change.on_hand for sku, change in changes(settlement).items()} == expected
    assert settlement.questions == () and settlement.put_back == ()


@given(typed, orders, some_rows)
def test_an_image_settled_again_with_what_it_took_counts_nothing(
    now: dict[str, int], order: list[str], rows: list[int]
) -> None:
    intent = an_intent(order, rows, now)
    image = an_image(*(rows_of(now, order)[row - 2] for row in intent.image))
    once = settle(image, intent, STOCK, NOW)
    again = settle(image, intent, replace(STOCK, taken=once.taken), NOW)
    assert again.facts == ()
    assert once == settle(image, intent, STOCK, NOW)


@given(typed, orders, some_rows, st.integers(0, 9), st.integers(1, 3))
def test_columns_inserted_in_the_gap_exchange_nothing_and_everything_goes_back(
    now: dict[str, int], order: list[str], rows: list[int], at: int, count: int
) -> None:
    intent = an_intent(order, rows, now)
    wide = [(*cells[:at], *[None] * count, *cells[at:]) for cells in rows_of(now, order)]
    header = (*HEADER[1 : at + 1], *[None] * count, *HEADER[at + 1 :])[:10]
    image = an_image(*(wide[row - 2][:10] for row in intent.image), header=header)
    settlement = settle(image, intent, STOCK, NOW)
    assert settlement.facts == () and settlement.questions == ()
    sheet = {cells[at + count if at == 0 else 0]: list(cells) for cells in wide}
    whole = [*HEADER[1 : at + 1], *[None] * count, *HEADER[at + 1 :]]
    kept = {sku: list(cells) for sku, cells in sheet.items()}
    _overwrite(sheet, intent, order)
    for item in settlement.put_back:
        column = whole.index(item["column"])
        row = sheet[item["sku"]]
        assert row[column] == item["expect"]
        row[column] = item["value"]
    named = [n for n, name in enumerate(whole) if name is not None]
    assert {s: [row[n] for n in named] for s, row in sheet.items()} == {
        s: [row[n] for n in named] for s, row in kept.items()
    }


def _overwrite(sheet: dict[Cell, list[Cell]], intent: Intent, order: list[str]) -> None:
    """What the batch does to rows whose columns have moved: it writes by position."""
    at = {header: column - 1 for header, column in intent.columns.items()}
    for write in intent.rows:
        row = sheet[order[write.row - 2]]
        row[at[TAG_SKU]] = row[at[SKU]]
        for header, value in write.cells.items():
            row[at[header]] = value
        row[at[TAG_EXCHANGE]] = intent.exchange


@given(typed, orders, some_rows)
def test_an_intention_is_kept_as_it_was(now: dict[str, int], order: list[str], rows: list[int]) -> None:
    intent = an_intent(order, rows, now)
    assert exchange.load(exchange.dump(intent)) == intent


@given(st.lists(st.integers(2, 400), unique=True, min_size=1), st.integers(0, 60))
def test_an_image_has_every_row_written_and_few_others(rows: list[int], gap: int) -> None:
    writes = [a_write(row, "S", 1, 1, "s") for row in rows]
    intent = plan(NEW, BEFORE, HEADER, writes, frozenset({"S"}), AT, gap=gap)
    assert set(rows) <= set(intent.image)
    assert list(intent.image) == sorted(set(intent.image))
    extra = [row for row in intent.image if row not in rows]
    assert all(any(0 < other - row <= gap for other in rows) for row in extra)


@given(st.lists(st.integers(2, 3_000), unique=True, min_size=1), st.integers(15, 200), st.integers(5_000, 60_000))
def test_a_batch_stays_within_its_limits(rows: list[int], requests: int, size: int) -> None:
    writes = [a_write(row, "S", 1, 1, "s" * 40, clears=row % 3 == 0) for row in sorted(rows)]
    limits = Limits(batch_bytes=size, batch_requests=requests)
    fit = exchange.fitting(writes, limits)
    assert fit >= 1
    if fit > 1:
        batch = compose(plan(NEW, BEFORE, HEADER, writes[:fit], frozenset({"S"}), AT), PLACE)
        assert len(batch) <= requests
        assert len(json.dumps({"requests": batch}, separators=(",", ":"))) <= size


@given(typed, orders)
def test_the_same_image_has_the_same_digest_however_its_cells_end(now: dict[str, int], order: list[str]) -> None:
    image = an_image(*rows_of(now, order))
    padded = replace(image, rows=tuple((*row, None, None) for row in image.rows), header=(*image.header, None))
    assert digest(image) == digest(padded)
    assert digest(image) != digest(replace(image, previous="1"))


def test_an_image_is_read_only_where_it_is_whole_and_ours() -> None:
    rows: list[list[Cell]] = [[NEW, BEFORE, "led-5f1c", "1AbC", "101"], list(HEADER[1:]), list(MUG_ROW), [NEW]]
    assert exchange.read_image(rows, NEW) == an_image(MUG_ROW)
    assert exchange.read_image(rows, OLD) is None
    assert exchange.read_image(rows[:-1], NEW) is None
    assert exchange.read_image([], NEW) is None


# the page that writes one exchange out --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written_out(shared: Path) -> list[dict[str, Any]]:
    blocks = re.findall(r"```json\n(.*?)```", (shared / "EXCHANGE.md").read_text(encoding="utf-8"), re.DOTALL)
    requests: list[dict[str, Any]] = json.loads(blocks[1])["requests"]
    return requests


@pytest.mark.parametrize("number", range(16))
def test_the_batch_is_the_one_written_out(written_out: list[dict[str, Any]], number: int) -> None:
    """But for the second copy of On hand, one column further right, which RULES.md S6 asks for besides."""
    ours = [r for r in compose(INTENT, PLACE) if r.get("copyPaste", {}).get("pasteType") != "PASTE_FORMULA"]
    ours[3]["updateSheetProperties"]["properties"]["gridProperties"]["columnCount"] -= 1
    assert len(ours) == len(written_out)
    assert ours[number] == written_out[number]


def test_the_image_written_out_settles_as_it_says() -> None:
    settlement = settle(an_image(MUG_ROW, SCARF_ROW), INTENT, KNOWN, NOW)
    mug, scarf = settlement.facts
    assert (mug.sku, mug.change, mug.reason, mug.key) == (MUG, Stock(-3, 0, 3), "damage", f"edit:{OLD}:{MUG}")
    assert (scarf.sku, scarf.change, scarf.kind) == (SCARF, Stock(5), Kind.ADJUSTMENT)
    assert settlement.taken == {(OLD, MUG): 7, (BEFORE, SCARF): 25}
    assert (mug.occurred_at, scarf.occurred_at) == (NOW, AT)  # typed in the gap; seen by the look


def test_rows_swapped_in_the_gap_give_the_same_two_events() -> None:
    straight = settle(an_image(MUG_ROW, SCARF_ROW), INTENT, KNOWN, NOW)
    swapped = settle(an_image(SCARF_ROW, MUG_ROW), INTENT, KNOWN, NOW)
    assert changes(straight) == changes(swapped)


def test_a_column_inserted_at_c_gives_all_back() -> None:
    header = (SKU, None, *HEADER[2:10])
    rows = [(row[0], None, *row[1:9]) for row in (MUG_ROW, SCARF_ROW)]
    settlement = settle(an_image(*rows, header=header), INTENT, KNOWN, NOW)
    back = {(item["sku"], item["column"]): item["value"] for item in settlement.put_back}
    assert settlement.facts == ()
    for sku, row in (MUG, MUG_ROW), (SCARF, SCARF_ROW):
        named = dict(zip(HEADER[1:], row, strict=True))
        for column in (TAG_SKU, TAG_FIGURE, TAG_EXCHANGE, ON_HAND):
            assert back[sku, column] == named[column]
    assert back[MUG, REASON] == "damage"


# one row at a time ----------------------------------------------------------------------------------------------


def of_one(row: tuple[Cell, ...], write: RowWrite = WRITES[0], knows: Known = KNOWN) -> Settlement:
    intent = plan(NEW, BEFORE, HEADER, [write], frozenset({MUG, SCARF, "new"}), AT)
    return settle(an_image(row), intent, knows, NOW)


def mug(**cells: Cell) -> tuple[Cell, ...]:
    named = dict(zip(map(str, HEADER[1:]), MUG_ROW, strict=True)) | {REASON: None}
    names = {"sku": SKU, "on_hand": ON_HAND, "tag_sku": TAG_SKU, "tag": TAG_FIGURE, "exchange": TAG_EXCHANGE,
             "reason": REASON, "note": NOTE}  # fmt: skip
    return tuple((named | {names[name]: cell for name, cell in cells.items()}).values())


def test_our_own_figure_is_no_edit() -> None:
    assert of_one(mug(on_hand=10)) == Settlement()


def test_S2_what_would_go_below_zero_is_held_with_its_tag_used() -> None:
    settlement = of_one(mug(on_hand=2))
    (question,) = settlement.questions
    assert (question.kind, question.origin, question.typed) == ("below_zero", Origin.IMAGE, 2)
    assert settlement.facts == () and settlement.taken == {(OLD, MUG): 2}


def test_text_in_the_gap_is_asked_and_an_emptied_cell_is_not() -> None:
    (question,) = of_one(mug(on_hand="12 pcs")).questions
    assert (question.kind, question.typed) == ("text", "12 pcs")
    assert of_one(mug(on_hand=None)) == Settlement()


def test_a_used_tag_is_asked() -> None:
    (question,) = of_one(mug(on_hand=8), knows=replace(KNOWN, taken={(OLD, MUG): 8})).questions
    assert question.kind == "used_tag"


@pytest.mark.parametrize(
    "row", [mug(sku="never seen"), mug(sku=SCARF, on_hand=8), mug(sku="new", tag_sku=None, tag=None)]
)
def test_a_row_that_should_not_have_been_overwritten_goes_back(row: tuple[Cell, ...]) -> None:
    settlement = of_one(row)
    assert settlement.facts == () and settlement.questions == ()
    back = {item["column"]: item["value"] for item in settlement.put_back}
    named = dict(zip(map(str, HEADER[1:]), row, strict=True))
    assert back.items() >= {name: named[name] for name in (TAG_SKU, TAG_FIGURE, TAG_EXCHANGE, ON_HAND)}.items()


def test_what_was_typed_in_a_row_without_a_sku_is_asked() -> None:
    (question,) = of_one((None, None, None, None, None, 12)).questions
    assert (question.kind, question.typed, question.sku) == ("lost_cell", 12, "")
    assert of_one((None,)) == Settlement()


def test_our_figure_that_stays_in_a_row_without_a_sku_is_remembered() -> None:
    write = RowWrite(5, None, 5, dict.fromkeys((TAG_SKU, TAG_FIGURE, TAG_EXCHANGE, ON_HAND)))
    ours = mug(sku=None, tag_sku=None, tag=5, on_hand=5)
    assert of_one(ours, write) == Settlement()
    intent, header = replace(INTENT, rows=(write,), image=(5,)), (*HEADER[1:6], None, *HEADER[6:-1])
    moved = (*ours[:5], None, *ours[5:-1])
    (left,) = settle(an_image(moved, header=header), intent, KNOWN, NOW).left
    assert (left["sku"], left["expect"]) == ("", 5)
    typed = (*moved[:6], 6, *moved[7:])
    assert settle(an_image(typed, header=header), intent, KNOWN, NOW) == Settlement()


def test_a_row_whose_sku_we_overwrote_is_known_by_what_we_wrote_there() -> None:
    """Columns moved in the gap, and our figure and Status stood where the SKU and a person's note had been."""
    ids = ((1, SKU, 5), (2, NOTE, "ok"))
    write = RowWrite(5, None, 10, {SKU: MUG, NOTE: None, STATUS: "ok"}, put_backs=ids)
    assert of_one(mug(sku=5, on_hand=10, note="ok"), write) == Settlement(restored=(1, 2))
    beside = replace(write, put_backs=(*ids, (3, ON_HAND, 10)))
    assert of_one(mug(sku=5, on_hand=12, note="ok"), beside) == Settlement(restored=(1, 2, 3)), "it was not overwritten"
    another = of_one(mug(sku=6, on_hand=10, note="mine"), write)
    assert another.restored == () and [q.typed for q in another.questions] == [6, "mine"]


def test_a_second_mistaken_write_keeps_what_waits_under_the_first() -> None:
    ours, scarfs = mug(tag=5, on_hand=5), replace(WRITES[0], sku=SCARF)
    waits = replace(KNOWN, misplaced=frozenset({(MUG, 5)}))
    back = {item["column"]: item["value"] for item in of_one(ours, scarfs, knows=waits).put_back}
    assert back[ON_HAND] == back[TAG_FIGURE] == 5
    assert of_one(ours, scarfs).put_back == (), "a row that has only moved is put right by the next exchange"
    assert of_one(ours, knows=waits).put_back == ()


def test_a_copy_of_a_mistaken_write_asks_about_what_it_overwrote() -> None:
    intent, header = replace(INTENT, rows=WRITES[:1], image=(5,)), (*HEADER[1:9], None, STATUS)
    moved = settle(an_image(mug(on_hand=8), header=header), intent, KNOWN, NOW)
    assert moved.undone == {(NEW, MUG): (8, OLD)} and moved.questions == ()
    copied = mug(tag=5, on_hand=5, exchange=NEW)
    (question,) = of_one(copied, knows=replace(KNOWN, undone={(NEW, MUG): 8})).questions
    assert (question.kind, question.sku, question.typed) == ("lost_cell", MUG, 8)
    typed_over = of_one(mug(tag=5, on_hand=6, exchange=NEW), knows=replace(KNOWN, undone={(NEW, MUG): 8}))
    assert changes(typed_over) == {MUG: Stock(1)} and [question.typed for question in typed_over.questions] == [8]
    assert of_one(copied).questions == () and of_one(mug(on_hand=10)).undone == {}


def test_a_blank_cell_of_a_row_that_was_meant_to_be_another_goes_back() -> None:
    """What was overwritten there before may still have to go back, and only into a row that shows it was."""
    of_mug = mug(on_hand=None, tag="misplaced")
    assert of_one(of_mug) == Settlement()
    back = {item["column"]: item["value"] for item in of_one(of_mug, WRITES[1]).put_back}
    assert back.items() >= {ON_HAND: None, TAG_FIGURE: "misplaced"}.items()


def test_H4_a_figure_held_in_its_cell_is_no_edit_where_its_row_moved_under_our_write() -> None:
    held = replace(KNOWN, moved={(OLD, MUG): 8})
    for write in WRITES:
        settlement = of_one(mug(on_hand=8), write, held)
        assert settlement.facts == () and settlement.questions == ()
        assert {item["column"]: item["value"] for item in settlement.put_back}[ON_HAND] == 8
    assert of_one(mug(on_hand=9), knows=held).facts  # another figure was typed over it since


def test_S5_texts_go_back_where_no_edit_was_settled_and_go_where_one_was() -> None:
    back = of_one(mug(on_hand=10, reason="loss", note="n")).put_back
    assert [(item["column"], item["value"], item["expect"]) for item in back] == [
        (REASON, "loss", None),
        (NOTE, "n", None),
    ]
    later = of_one(mug(on_hand=8, reason="loss"), replace(WRITES[0], clears=False)).put_back
    assert [(item["column"], item["value"], item["expect"]) for item in later] == [(REASON, None, "loss")]


def test_S7_a_new_row_opens_by_the_figure_in_the_image() -> None:
    write = a_write(5, "new", 4, 4, "s", opens=True)
    (fact,) = of_one(mug(sku="new", tag_sku=None, tag=None, exchange=None, on_hand=6), write).facts
    assert (fact.kind, fact.count, fact.key) == (Kind.OPENING, 6, f"open:{NEW}:new")


def test_H2_the_ledgers_figure_typed_over_a_held_one_is_no_edit() -> None:
    freed = replace(WRITES[0], seen=7, frees=True)
    assert of_one(mug(on_hand=7), freed).facts == ()
    assert changes(of_one(mug(on_hand=6), freed)) == {MUG: Stock(-4)}


def test_law_2_what_is_typed_after_a_count_counts_though_our_clock_went_back_since() -> None:
    counted = NOW + timedelta(hours=1)
    knows = replace(KNOWN, counted_at={MUG: counted})
    (fact,) = of_one(mug(), knows=knows).facts
    assert fact.occurred_at > counted
    (fact,) = of_one(mug(), knows=replace(KNOWN, counted_at={MUG: NOW})).facts
    assert fact.occurred_at <= NOW  # the count came while we looked, and has seen it
    between, seen = AT + timedelta(seconds=30), replace(WRITES[0], seen=7)
    (fact,) = of_one(mug(), seen, replace(KNOWN, counted_at={MUG: between})).facts
    assert fact.occurred_at == AT
    (fact,) = of_one(mug(), seen, replace(KNOWN, counted_at={MUG: between}, counted_before=frozenset({MUG}))).facts
    assert fact.occurred_at > between  # the count was there before we looked, though our clock went back before it
